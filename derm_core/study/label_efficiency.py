"""Label efficiency: the study's heads trained again on nested shares of the training groups.

What is fixed: the number of updates (not of epochs), each arm's own setting (beside it the shared
one), and the test set. Settings were chosen on the validation loss of heads with all labels and are
not chosen anew for a share: a validation set that dwarfs the training labels would in effect be
further labels. Each seed draws its own groups, within strata of class, at least one group of every
class; a larger share contains the smaller ones. Features are standardised, and decisions adjusted,
with the share's own statistics and class shares. The full share is the study's own result.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from ..events import TICK, Event, log, progress
from ..heads.grid import Heads
from ..heads.groups import train_groups
from ..seeds import stream_seed
from ..stats.intervals import MARGINS, Difference
from ..stats.metrics import all_metrics
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, Pair, Scorer
from ..stats.resampling import make_design, replicates
from .answers import Crossing, LabelEfficiency, LabelRow, SharedLabels
from .frozen import make_heads
from .roles import choose_pair, headline_pairs
from .study_data import StudyData
from .trained_arm import FrozenHeads, TrainedStudy, save_arrays

Scores = dict[tuple[str, float], dict[str, Estimate]]  # {(arm, fraction): {metric: estimate}}
Predicted = dict[tuple[str, int], np.ndarray]  # {(arm, setting): (S, n, C)}
METRICS = ("balanced_accuracy", "macro_auroc", "accuracy")
NOTE = (
    "Every share trains for the same number of updates at each arm's own setting, which was chosen on validation with "
    "all labels; each seed draws its own groups, nested and at least one a class. Intervals hold that draw too."
)


def label_efficiency(study: TrainedStudy) -> Generator[Event, None, LabelEfficiency]:
    """Heads trained on shares of the labels; the last share is always 1, the study's own result.

    Differences at each share are those of the pairs that the headline speaks of.
    """
    frozen, config = study.frozen, study.config
    if frozen is None:
        return LabelEfficiency(
            updates=0,
            note="Label efficiency trains heads on cached features: it needs the regime 'frozen'.",
        )
    fractions = sorted({*config.label_fractions, 1.0})
    tuned: Scores = {}
    shared: Scores = {}
    sizes, arrays, arms = {}, {}, frozen.heads.arms
    for fraction in fractions:
        probabilities, priors, subsets = yield from _predict(study, frozen, fraction)
        sizes[fraction] = _size(study.data, subsets)
        arrays[f"{fraction:g} prior"] = np.stack(priors)
        scored = {}
        for key, p_snc in probabilities.items():
            scored[key] = score(study.scorer, p_snc, priors)
            yield TICK
        for arm in arms:
            for scores, setting in ((tuned, frozen.best[arm]), (shared, frozen.shared)):
                scores[arm, fraction] = scored[arm, setting]
                name = share_key(fraction, arm, scores is shared)
                arrays[name] = np.asarray(probabilities[arm, setting], np.float32)
    labels = {arm: study.trained[arm].arm.label for arm in arms}
    if config.fold:
        save_arrays(study.run.label_efficiency_predictions, arrays)
    return LabelEfficiency(
        fractions=tuple(fractions),
        updates=frozen.heads.first.steps,
        note=NOTE,
        shared=shared_labels(shared, sizes, labels),
        **compare_scores(tuned, sizes, labels),
    )


def share_key(fraction: float, arm: str, shared: bool = False) -> str:
    """The name of an arm's predictions at a share of the labels, at its own setting or the shared one."""
    return f"{fraction:g} {'shared ' if shared else ''}{arm}"


def shared_labels(
    scores: Scores, sizes: Mapping[float, dict[str, Any]], labels: Mapping[str, str]
) -> SharedLabels:
    """`compare_scores` of the setting that all arms share."""
    fields = compare_scores(scores, sizes, labels)
    return SharedLabels(rows=fields["rows"], differences=fields["differences"])


def compare_scores(
    scores: Scores, sizes: Mapping[float, dict[str, Any]], labels: Mapping[str, str]
) -> dict[str, Any]:
    """The fields rows, differences and crossing of LabelEfficiency.

    Args:
        scores: `score` of every arm and fraction.
        sizes: {fraction: {"images", "groups"}}.
        labels: {arm: its name}.
    """
    arms, fractions = list(labels), list(sizes)
    rows = []
    for fraction, size in sizes.items():
        for arm in arms:
            of = scores[arm, fraction]
            numbers: dict[str, Any] = {m: of[m].interval(m) for m in METRICS}
            numbers["by_seed"] = tuple(of["balanced_accuracy"].by_seed.tolist())
            rows.append(LabelRow(arm=arm, fraction=fraction, **size, **numbers))
    differences = with_holm(
        [
            Difference.of(
                a,
                b,
                change.interval(),
                MARGINS[m],
                fraction=fraction,
                metric=m,
                by_fold=change.fold_means,
            )
            for a, b in headline_pairs(arms)
            for fraction in fractions
            for m in METRICS
            for change in [scores[a, fraction][m] - scores[b, fraction][m]]
        ]
    )
    return {
        "rows": tuple(rows),
        "differences": tuple(differences),
        "crossing": crossing(differences, choose_pair(arms), labels),
    }


def _predict(
    study: TrainedStudy, frozen: FrozenHeads, fraction: float
) -> Generator[Event, None, tuple[Predicted, list[np.ndarray], list[np.ndarray]]]:
    """At one fraction: test probabilities {(arm, setting): (S, n, C)}, and a seed log priors (C,) and training rows."""
    data, seeds, arms = study.data, study.config.seeds, frozen.heads.arms
    train, test = data.members("train"), data.members("test")
    if fraction == 1:
        own = {
            (arm, setting): of_arms[arm].probabilities["test"]
            for arm in arms
            for of_arms, setting in (
                (study.shared, frozen.shared),
                (study.trained, frozen.best[arm]),
            )
        }
        return own, [study.log_prior] * len(seeds), [train] * len(seeds)
    labels, groups = data.labels[train], data.groups[train]
    subsets = [
        train[draw_label_share(labels, groups, len(data.classes), fraction, seed)] for seed in seeds
    ]
    needed = frozen.arms_by_setting()
    heads = {
        setting: [_heads(study, frozen, index, rows, setting) for index, rows in enumerate(subsets)]
        for setting in needed
    }
    head_groups = [group for each in heads.values() for one in each for group in one.groups]
    count = len(seeds) * sum(map(len, needed.values()))
    yield log(f"Label efficiency: {count} heads on {fraction:.3g} of the training groups.")
    what, started = f"Heads on {fraction:.3g} of the labels", time.monotonic()
    updates = frozen.heads.first.steps
    for _ in train_groups(head_groups, updates, {updates}, lambda group: None):
        done = sum(group.heads.steps for group in head_groups)
        yield progress(done, updates * len(head_groups), "updates", what=what, started=started)
        yield TICK
    probabilities: Predicted = {}
    for setting, of_setting in needed.items():
        for arm in of_setting:
            each = [
                one.probabilities(arm, 0, of_seed(frozen.features[arm], i)[..., test, :])
                for i, one in enumerate(heads[setting])
            ]
            probabilities[arm, setting] = np.concatenate(each)
    return probabilities, [one.log_prior for one in heads[frozen.shared]], subsets


def of_seed(features: np.ndarray, index: int) -> np.ndarray:
    """(n, D) features as they are; of (S, n, D), those of one seed (1, n, D)."""
    return features if features.ndim == 2 else features[index : index + 1]


def _heads(
    study: TrainedStudy, frozen: FrozenHeads, index: int, rows: np.ndarray, setting: int
) -> Heads:
    """The arms at one setting, of one seed, on the training `rows`, untrained."""
    return make_heads(
        study.config,
        study.data,
        {arm: of_seed(frozen.features[arm], index) for arm in frozen.arms_by_setting()[setting]},
        rows,
        seeds=study.config.seeds[index : index + 1],
        **frozen.options(setting),
        updates=frozen.heads.first.steps,
        device=frozen.heads.first.device,
    )


def draw_label_share(
    labels: np.ndarray, groups: np.ndarray, classes: int, fraction: float, seed: int
) -> np.ndarray:
    """A nested random share of the training groups, within strata of class.

    Of each stratum (a group's rarest class) the first round(share · m) groups of the seed's random
    order, one at least, and one group more for a class that has images yet no stratum of its own.

    Args:
        labels: (n,) of the training images.
        groups: (n,) ids.
        classes: number of classes.
        fraction: the share, above 0, at most 1.
        seed: of the order.

    Returns:
        Rows of the share, ascending.
    """
    design = make_design(labels, groups, classes)
    order = np.random.default_rng(stream_seed(seed, "label share")).permutation(len(design.stratum))
    included = np.zeros(len(order), bool)
    for c in range(classes):
        members = order[design.stratum[order] == c]
        included[members[: max(1, round(fraction * len(members)))]] = True
    for c in np.setdiff1d(labels, design.stratum):
        holders = np.unique(design.group[labels == c])
        included[order[np.isin(order, holders)][0]] = True
    return np.flatnonzero(included[design.group])


def score(
    scorer: Scorer, p_snc: np.ndarray, priors: Sequence[np.ndarray] | np.ndarray
) -> dict[str, Estimate]:
    """Each of METRICS on the test set, every seed's decisions adjusted by its own log prior, (C,) or (n, C).

    Of out-of-fold predictions (a scorer with folds) also in each fold: what differs between folds is
    part of the intervals.
    """
    design, weights = scorer.design, scorer.resamples.weights
    by_seed = list(zip(np.asarray(p_snc, np.float64), priors, strict=True))
    drawn = [replicates(design, p_nc[None], prior, weights) for p_nc, prior in by_seed]

    def measured(images: slice | np.ndarray) -> list[dict[str, np.ndarray]]:
        return [
            all_metrics(
                design.labels[images],
                p_nc[None, images],
                prior if prior.ndim == 1 else prior[images],
            )
            for p_nc, prior in by_seed
        ]

    whole, folds = measured(slice(None)), [measured(here) for here in scorer.images_of_folds]
    return {
        m: scorer.estimate(
            _joined(whole, m, 0), _joined(drawn, m, 1), [_joined(one, m, 0) for one in folds]
        )
        for m in METRICS
    }


def _joined(values: Sequence[Mapping[str, np.ndarray]], metric: str, axis: int) -> np.ndarray:
    return np.concatenate([one[metric] for one in values], axis)


def _size(data: StudyData, subsets: Sequence[np.ndarray]) -> dict[str, float]:
    return {
        "images": float(np.mean([len(rows) for rows in subsets])),
        "groups": float(np.mean([len(np.unique(data.groups[rows])) for rows in subsets])),
    }


def crossing(
    differences: Sequence[Difference],
    pair: Pair | None,
    labels: Mapping[str, str],
    own: Sequence[Difference] = (),
) -> Crossing | None:
    """The share of labels at which the pair's balanced accuracies are equal, by interpolation over log fraction.

    Of several crossings the one with the most labels. It is `shown` where differences of
    opposite signs are claimed somewhere below and above it; otherwise it is one of means only.

    Args:
        differences: at each share of labels.
        pair: the arms of the primary comparison.
        labels: what each arm is called.
        own: the study's own tests. They stand for those of all labels, of which they alone say what is claimed.
    """
    if pair is None:
        return None
    at_all = [dataclasses.replace(row, fraction=1.0) for row in own]
    tested = [row for row in differences if row.fraction != 1 or not at_all]
    of_pair = [row for row in (*tested, *at_all) if row.of_pair(pair, "balanced_accuracy")]
    rows = sorted((row for row in of_pair if row.fraction), key=lambda row: row.fraction or 0)
    a, b = labels[pair[0]], labels[pair[1]]
    apart = [row for row in rows if row.mean]
    if not apart:
        same = f"{a} and {b} have the same balanced accuracy at every share of labels tried."
        return Crossing(pair=pair, text=same)
    fractions = np.array([row.fraction for row in apart], float)
    means = np.array([row.mean for row in apart], float)
    changes = np.flatnonzero(np.sign(means[:-1]) != np.sign(means[1:]))
    if not len(changes):
        ahead, behind = (a, b) if means[-1] > 0 else (b, a)
        clear = sum(row.claimed != 0 for row in apart)
        text = (
            f"The curves do not cross: {ahead} is ahead of {behind} in balanced accuracy at {len(apart)} of "
            f"{len(rows)} shares of labels; the difference is shown at {clear or 'none'} of them."
        )
        return Crossing(pair=pair, text=text)
    k = changes[-1]
    part = means[k] / (means[k] - means[k + 1])
    fraction = float(np.exp(np.log(fractions[k]) + part * np.log(fractions[k + 1] / fractions[k])))
    after = np.sign(means[k + 1])
    below = any(row.claimed == -after for row in apart[: k + 1])
    shown = below and any(row.claimed == after for row in apart[k + 1 :])
    more, fewer = (a, b) if after > 0 else (b, a)
    text = (
        f"{fewer} is ahead with fewer labels, {more} from about {100 * fraction:.3g} % of them on"
        + ("." if shown else "; this is not shown on both sides.")
        + (f" The curves cross {len(changes)} times; this is the last." if len(changes) > 1 else "")
    )
    return Crossing(pair=pair, fraction=fraction, shown=shown, text=text)
