"""Sensitivity to the head: every arm with a tuned linear head on the same features.

The penalty of each arm (and of each initialisation of `random`) is chosen on validation, in folds on
that of the fold. A fold's test probabilities are kept, for the folds are joined from these.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Mapping, Sequence

import numpy as np

from ..events import TICK, Event, log, progress
from ..heads.linear import PENALTIES, LinearFit, fit_linear
from ..stats.evaluation import metric_estimates
from ..stats.intervals import Difference
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate
from . import roles
from .clinical_answers import LinearHead
from .crossval import Fold
from .tested_images import TestedImages
from .trained_arm import TrainedStudy, load_arrays, save_arrays

METRICS = ("balanced_accuracy", "macro_auroc")
NOTE = (
    "Linear head: multinomial logistic regression on the same features, its penalty chosen on validation for each "
    "arm. p values are corrected for their number (Holm)."
)


def linear_head(study: TrainedStudy) -> Generator[Event, None, LinearHead]:
    """Every arm of the regime `frozen` with a linear head, on the study's test images."""
    frozen, data = study.frozen, study.data
    if frozen is None:
        return LinearHead(note="A linear head needs fixed features: the regime 'frozen'.")
    split = {name: data.members(name) for name in ("train", "val", "test")}
    probabilities: dict[str, np.ndarray] = {}
    chosen: dict[str, tuple[float, ...]] = {}
    started = time.monotonic()
    yield log(f"Linear heads of {len(frozen.features)} arms.")
    first_with: dict[int, str] = {}  # an arm that was chosen has the features of another
    for place, (arm, features) in enumerate(frozen.features.items()):
        if (same := first_with.setdefault(id(features), arm)) != arm:
            probabilities[arm], chosen[arm] = probabilities[same], chosen[same]
            continue
        parts, penalties = [], []
        for matrix in features if features.ndim == 3 else features[None]:
            best: LinearFit | None = None
            fits = fit_linear(matrix, data.labels, split["train"], split["val"], len(data.classes))
            for fit in fits:
                best = fit if best is None or fit.val_loss < best.val_loss else best
                yield TICK
            assert best is not None  # there are penalties
            parts.append(best.probabilities(matrix[split["test"]]))
            penalties.append(best.penalty)
        probabilities[arm], chosen[arm] = np.stack(parts), tuple(penalties)
        done, count = place + 1, len(frozen.features)
        yield progress(done, count, "arms", what="Linear heads", started=started)
    if study.config.fold:
        arrays = {arm: p.astype(np.float32) for arm, p in probabilities.items()}
        save_arrays(study.run.linear_head_predictions, arrays)
    return measure(TestedImages.of(study), probabilities, chosen)


def join_linear_heads(study: TrainedStudy, folds: Sequence[Fold]) -> LinearHead | None:
    """The linear heads of all folds as one; None where a fold has none."""
    stored = [fold.run.linear_head_predictions for fold in folds]
    if not all(path.exists() for path in stored):
        return None
    test, arrays = TestedImages.of(study), [load_arrays(path) for path in stored]
    assert test.folds is not None  # the study is one of folds
    probabilities, chosen = {}, {}
    for arm, first in arrays[0].items():
        if arm not in study.trained:
            continue
        joined = np.empty((len(first), len(test.labels), len(test.classes)))
        for fold, of_fold in zip(folds, arrays, strict=True):
            joined[:, test.folds == fold.number] = of_fold[arm]
        answers = [fold.result.linear_head or LinearHead() for fold in folds]
        chosen[arm] = tuple(p for answer in answers for p in answer.chosen.get(arm, ()))
        probabilities[arm] = joined
    return measure(test, probabilities, chosen)


def measure(
    test: TestedImages,
    probabilities: Mapping[str, np.ndarray],
    chosen: Mapping[str, tuple[float, ...]],
) -> LinearHead:
    """Balanced accuracy and macro-AUROC of linear heads, and the differences of each arm and the opponent.

    probabilities: {arm: (S, n, C)} of the test images, S of one arm 1 or as many as seeds.
    """
    seeds = max(len(p) for p in probabilities.values())
    estimates: dict[str, dict[str, Estimate]] = {}
    for arm, p_snc in probabilities.items():
        own = metric_estimates(test.resamples, p_snc, test.log_prior, test.folds)
        estimates[arm] = {metric: _repeated(own[metric], seeds) for metric in METRICS}
    opponent = roles.opponent(list(estimates)) or test.opponent
    opponent = opponent if opponent in estimates else None
    differences = [
        Difference.of(
            arm, opponent, (of[metric] - estimates[opponent][metric]).interval(), metric=metric
        )
        for arm, of in estimates.items()
        if opponent is not None and arm != opponent
        for metric in METRICS
    ]
    return LinearHead(
        opponent=opponent,
        strengths=PENALTIES,
        chosen=dict(chosen),
        arms={
            arm: {metric: of[metric].interval(metric) for metric in METRICS}
            for arm, of in estimates.items()
        },
        differences=tuple(with_holm(differences)),
        note=NOTE,
    )


def _repeated(estimate: Estimate, seeds: int) -> Estimate:
    """An estimate without seeds as one of equal seeds: so that differences to one with seeds hold their variance."""
    if len(estimate.by_seed) == seeds:
        return estimate
    by_fold = estimate.by_fold
    return dataclasses.replace(
        estimate,
        by_seed=np.repeat(estimate.by_seed, seeds, 0),
        drawn=np.repeat(estimate.drawn, seeds, 1),
        by_fold=None if by_fold is None else np.repeat(by_fold, seeds, 1),
    )
