"""Sensitivity to the head: every arm with a tuned linear head on the same features.

The penalty of each arm (and of each initialisation of `random`) is chosen on validation, in folds on
that of the fold. A fold's test probabilities are kept, for the folds are joined from these.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from ..events import TICK, Event, log, progress
from ..heads.groups import finished
from ..heads.linear import PENALTIES, LinearFit, fit_linear
from ..machine import cpu_cores
from ..stats.evaluation import metric_estimates
from ..stats.intervals import Difference
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate
from . import roles
from .clinical_answers import LinearHead
from .crossval import Fold
from .tested_images import TestedImages
from .trained_arm import TrainedStudy, load_arrays, save_arrays

AT_ONCE_BYTES = 2**30  # of the features that are fitted at once, as float64
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
    yield log(f"Linear heads of {len(frozen.features)} arms.")
    matrices = {id(features): _matrices(features) for features in frozen.features.values()}
    fits = yield from _fit_all(
        matrices, data.labels, split["train"], split["val"], len(data.classes)
    )
    probabilities: dict[str, np.ndarray] = {}
    chosen: dict[str, tuple[float, ...]] = {}
    for arm, features in frozen.features.items():
        own = fits[id(features)]  # an arm that was chosen has the features of another
        each = zip(own, matrices[id(features)], strict=True)
        probabilities[arm] = np.stack([fit.probabilities(one[split["test"]]) for fit, one in each])
        chosen[arm] = tuple(fit.penalty for fit in own)
    if study.config.fold:
        arrays = {arm: p.astype(np.float32) for arm, p in probabilities.items()}
        save_arrays(study.run.linear_head_predictions, arrays)
    return measure(TestedImages.of(study), probabilities, chosen)


def _matrices(features: np.ndarray) -> list[np.ndarray]:
    """The matrices (n, D) of features (n, D), or (S, n, D) with one a seed."""
    return list(features if features.ndim == 3 else features[None])


def _fit_all(
    matrices: Mapping[int, Sequence[np.ndarray]],
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    classes: int,
) -> Generator[Event, None, dict[int, list[LinearFit]]]:
    """The fit at the best penalty of every matrix (n, D), the largest first, each on a core of its own."""
    what, started, stopped = "Linear heads", time.monotonic(), threading.Event()

    def choose(matrix: np.ndarray) -> LinearFit:
        best: LinearFit | None = None
        for fit in fit_linear(matrix, labels, train, val, classes):
            if stopped.is_set():
                raise CancelledError
            best = fit if best is None or fit.val_loss < best.val_loss else best
        assert best is not None  # there are penalties
        return best

    jobs = [(key, place) for key, every in matrices.items() for place in range(len(every))]
    widest = max(one.shape[1] for every in matrices.values() for one in every)
    at_once = max(1, min(cpu_cores(), len(jobs), AT_ONCE_BYTES // (8 * len(train) * widest)))
    blas = ThreadpoolController().select(user_api="blas")
    with (
        blas.limit(limits=max(1, cpu_cores() // at_once)),
        ThreadPoolExecutor(at_once, "linear heads") as workers,
    ):
        try:
            jobs.sort(key=lambda job: -matrices[job[0]][job[1]].shape[1])
            running = {job: workers.submit(choose, matrices[job[0]][job[1]]) for job in jobs}
            while not finished(running.values()):
                done = sum(one.done() for one in running.values())
                yield progress(done, len(jobs), "heads", what=what, started=started)
                yield TICK
        finally:
            stopped.set()
    return {
        key: [running[key, place].result() for place in range(len(every))]
        for key, every in matrices.items()
    }


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
