"""How do the arms fare with fewer labels? The study's heads, trained again on nested shares of the training groups.

What is fixed: the number of updates (not of epochs), the study's one setting, and the test set. The setting was
chosen on the validation loss of heads with all labels and is not chosen anew for a share: a validation set that
dwarfs the training labels would be labels in disguise. Each seed draws its own groups, within strata of class, at
least one group of every class; a larger share contains the smaller ones. Features are standardised, and decisions
adjusted, with the share's own statistics and class shares. The full share is the study's own result.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..events import TICK, Event, log, progress
from ..files import writing
from ..heads.grid import Heads
from ..heads.parallel import train_groups
from ..records import to_json
from ..seeds import stream_seed
from ..stats.intervals import Difference
from ..stats.metrics import all_metrics
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, Scorer
from ..stats.resampling import make_design, replicates
from .questions import TrainedStudy
from .verdict import choose_pair

METRICS = ("balanced_accuracy", "macro_auroc", "accuracy")
NOTE = (
    "Every share trains for the same number of updates at the study's one setting, which was chosen on validation with "
    "all labels; each seed draws its own groups, nested and at least one a class. Intervals hold that draw too."
)


@dataclass(frozen=True, kw_only=True)
class FractionDifference(Difference):
    """The difference of two arms in one metric at one share of the labels."""

    fraction: float
    metric: str


def label_efficiency(study: TrainedStudy) -> Generator[Event, None, dict]:
    """{fractions, updates, setting, note, rows, differences, crossing}; the last fraction is always 1.

    rows: an arm and fraction each, with images and groups (mean over seeds) and an interval of every metric.
    differences: of the primary pair, and of ImageNet and both, at each fraction.
    """
    if study.heads is None:
        return {
            "fractions": [],
            "updates": 0,
            "rows": [],
            "differences": [],
            "crossing": None,
            "note": "Label efficiency trains heads on cached features: it needs the regime 'frozen'.",
        }
    fractions = sorted({*study.config.label_fractions, 1.0})
    test, classes = study.data.members("test"), len(study.data.classes)
    scorer = Scorer(
        study.data.labels[test],
        study.data.groups[test],
        classes,
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
    )
    scores, sizes, kept = {}, {}, {}
    for fraction in fractions:
        probabilities, priors, subsets = yield from _predict(study, fraction)
        sizes[fraction] = _size(study, subsets)
        kept |= {
            f"{fraction:g} {arm}": np.asarray(p_snc, np.float32)
            for arm, p_snc in probabilities.items()
        }
        kept[f"{fraction:g} prior"] = np.stack(priors)
        for arm, p_snc in probabilities.items():
            scores[arm, fraction] = score(scorer, p_snc, priors)
            yield TICK
    if study.config.fold:
        save_label_predictions(study.run.label_efficiency_predictions, kept)
    rate, decay = study.heads.grid[study.setting]
    return {
        "fractions": fractions,
        "updates": study.heads.steps,
        "note": NOTE,
        "setting": {"learning_rate": rate, "weight_decay": decay},
        **compared(
            scorer, scores, sizes, {arm: study.trained[arm].arm.label for arm in study.heads.arms}
        ),
    }


def save_label_predictions(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep a fold's test probabilities and log priors at every share, to be put together with those of other folds."""
    with writing(path) as file:
        np.savez(file, **arrays)


def compared(
    scorer: Scorer,
    scores: Mapping[tuple[str, float], Mapping[str, Estimate]],
    sizes: Mapping[float, dict],
    labels: Mapping[str, str],
) -> dict:
    """{rows, differences, crossing} of the `score` of every arm and fraction; labels {arm: name on screen}."""
    arms, fractions = list(labels), list(sizes)
    rows = [
        {
            "arm": arm,
            "fraction": fraction,
            **sizes[fraction],
            **{m: to_json(scores[arm, fraction][m].interval(m)) for m in METRICS},
            "by_seed": scores[arm, fraction]["balanced_accuracy"].by_seed.tolist(),
        }
        for fraction in fractions
        for arm in arms
    ]
    differences = [
        FractionDifference.of(
            a,
            b,
            (scores[a, fraction][m] - scores[b, fraction][m]).interval(),
            fraction=fraction,
            metric=m,
        )
        for a, b in _pairs(arms)
        for fraction in fractions
        for m in METRICS
    ]
    differences = to_json(with_holm(differences))
    return {
        "rows": rows,
        "differences": differences,
        "crossing": crossing(differences, choose_pair(arms), labels),
    }


def _predict(
    study: TrainedStudy, fraction: float
) -> Generator[Event, None, tuple[dict, list[np.ndarray], list[np.ndarray]]]:
    """Test probabilities {arm: (S, n, C)}, log priors (C,) a seed and training rows a seed, at one fraction."""
    train, test, seeds = (
        study.data.members("train"),
        study.data.members("test"),
        study.config.seeds,
    )
    if fraction == 1:
        return (
            {arm: study.trained[arm].probabilities["test"] for arm in study.heads.arms},
            [study.log_prior] * len(seeds),
            [train] * len(seeds),
        )
    data = study.data
    subsets = [
        train[
            draw(
                data.labels[train],
                data.groups[train],
                len(data.classes),
                fraction,
                seed,
            )
        ]
        for seed in seeds
    ]
    heads = [_heads(study, index, rows) for index, rows in enumerate(subsets)]
    groups = [group for one in heads for group in one.groups]
    yield log(
        f"Label efficiency: {len(seeds) * len(study.heads.arms)} heads on {fraction:.3g} of the training groups."
    )
    started, total = time.monotonic(), study.heads.steps * len(groups)
    for _ in train_groups(groups, study.heads.steps, {study.heads.steps}, lambda group: None):
        yield progress(
            sum(group.heads.steps for group in groups),
            total,
            "updates",
            what=f"Heads on {fraction:.3g} of the labels",
            started=started,
        )
        yield TICK
    probabilities = {
        arm: np.concatenate(
            [
                one.probabilities(arm, 0, of_seed(study.features[arm], index)[..., test, :])
                for index, one in enumerate(heads)
            ]
        )
        for arm in study.heads.arms
    }
    return probabilities, [one.log_prior for one in heads], subsets


def of_seed(features: np.ndarray, index: int) -> np.ndarray:
    """(n, D) features as they are; of (S, n, D), those of one seed (1, n, D)."""
    return features if features.ndim == 2 else features[index : index + 1]


def _heads(study: TrainedStudy, index: int, rows: np.ndarray) -> Heads:
    """All arms of one seed on the training `rows`, untrained, at the study's setting."""
    (rate, decay), config = study.heads.grid[study.setting], study.config
    return Heads(
        {arm: of_seed(study.features[arm], index) for arm in study.heads.arms},
        study.data.labels,
        rows,
        study.data.members("val"),
        classes=len(study.data.classes),
        seeds=config.seeds[index : index + 1],
        learning_rates=(rate,),
        weight_decays=(decay,),
        hidden=config.hidden,
        updates=study.heads.steps,
        batch_size=config.batch_size,
        loss=config.loss,
        device=study.heads.device,
        together=True,
    )  # single heads are so small that calls cost more than arithmetic


def draw(
    labels: np.ndarray, groups: np.ndarray, classes: int, fraction: float, seed: int
) -> np.ndarray:
    """Rows of a share of the groups, ascending: of each stratum (a group's rarest class) the first round(share · m) of
    the seed's random order, one at least, and one group more for a class that has images yet no stratum of its own."""
    design = make_design(labels, groups, classes)
    order = np.random.default_rng(stream_seed(seed, "label share")).permutation(len(design.stratum))
    kept = np.zeros(len(order), bool)
    for c in range(classes):
        members = order[design.stratum[order] == c]
        kept[members[: max(1, round(fraction * len(members)))]] = True
    for c in np.setdiff1d(labels, design.stratum):
        holders = np.unique(design.group[labels == c])
        kept[order[np.isin(order, holders)][0]] = True
    return np.flatnonzero(kept[design.group])


def score(scorer: Scorer, p_snc: np.ndarray, priors: Sequence[np.ndarray]) -> dict[str, Estimate]:
    """Each of METRICS on the test set, every seed's decisions adjusted by its own log prior, (C,) or (n, C)."""
    whole, drawn = [], []
    for p_nc, prior in zip(np.asarray(p_snc, np.float64), priors, strict=True):
        whole.append(all_metrics(scorer.design.labels, p_nc[None], prior))
        drawn.append(replicates(scorer.design, p_nc[None], prior, scorer.resamples.weights))
    return {
        m: scorer.estimate(
            np.concatenate([one[m] for one in whole]), np.concatenate([one[m] for one in drawn], 1)
        )
        for m in METRICS
    }


def _size(study: TrainedStudy, subsets: Sequence[np.ndarray]) -> dict[str, float]:
    return {
        "images": float(np.mean([len(rows) for rows in subsets])),
        "groups": float(np.mean([len(np.unique(study.data.groups[rows])) for rows in subsets])),
    }


def _pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """The primary pair, and whether the VAE adds to ImageNet."""
    wanted = [
        choose_pair(arms),
        ("imagenet", "both") if {"imagenet", "both"} <= set(arms) else None,
    ]
    return list(dict.fromkeys(pair for pair in wanted if pair))


def crossing(
    differences: Sequence[dict], pair: tuple[str, str] | None, labels: Mapping[str, str]
) -> dict | None:
    """Where the pair's balanced accuracies are equal, by interpolation over log fraction: {pair, fraction, shown, text}.

    Of several crossings the one with the most labels. shown: whether intervals exclude zero, with opposite signs,
    somewhere below and above it; otherwise the crossing is one of means only.
    """
    if pair is None:
        return None
    rows = sorted(
        (
            row
            for row in differences
            if (row["a"], row["b"]) == pair and row["metric"] == "balanced_accuracy"
        ),
        key=lambda row: row["fraction"],
    )
    a, b = labels[pair[0]], labels[pair[1]]
    apart = [row for row in rows if row["mean"]]
    if not apart:
        return {
            "pair": list(pair),
            "fraction": None,
            "shown": False,
            "text": f"{a} and {b} have the same balanced accuracy at every share of labels tried.",
        }
    fractions, means = (
        np.array([row["fraction"] for row in apart]),
        np.array([row["mean"] for row in apart]),
    )
    changes = np.flatnonzero(np.sign(means[:-1]) != np.sign(means[1:]))
    if not len(changes):
        ahead, behind = (a, b) if means[-1] > 0 else (b, a)
        clear = sum(_clear(row) != 0 for row in apart)
        return {
            "pair": list(pair),
            "fraction": None,
            "shown": False,
            "text": f"The curves do not cross: {ahead} is ahead of {behind} in balanced accuracy at {len(apart)} of "
            f"{len(rows)} shares of labels, and the interval excludes zero at {clear}.",
        }
    k = changes[-1]
    part = means[k] / (means[k] - means[k + 1])
    fraction = float(np.exp(np.log(fractions[k]) + part * np.log(fractions[k + 1] / fractions[k])))
    after = np.sign(means[k + 1])
    shown = any(_clear(row) == -after for row in apart[: k + 1]) and any(
        _clear(row) == after for row in apart[k + 1 :]
    )
    more, fewer = (a, b) if after > 0 else (b, a)
    text = (
        f"{fewer} is ahead with fewer labels, {more} from about {100 * fraction:.3g} % of them on"
        + ("." if shown else "; the intervals do not show this on both sides.")
        + (f" The curves cross {len(changes)} times; this is the last." if len(changes) > 1 else "")
    )
    return {"pair": list(pair), "fraction": fraction, "shown": shown, "text": text}


def _clear(row: dict) -> int:
    """The sign of a difference whose interval excludes zero, else 0."""
    return int(np.sign(row["low"])) if row["low"] * row["high"] > 0 else 0
