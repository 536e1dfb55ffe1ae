"""The evaluation of a test set: every metric of every arm with intervals, every pair's differences with tests.

Intervals are those of intervals.py. The one primary test is VAE − ImageNet in balanced accuracy, by
sign flips over groups: it tests these trained heads, the interval also their seeds. Where another
pair stands in for it, that row has the p of the sign flips too but is one of the secondary tests.
Those are corrected together by Holm (1979).

Out-of-fold predictions have each image's own class prior, and what differs between folds beyond
groups and seeds is a further component of the variance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import t as student

from ..errors import DataError
from ..records import named
from .intervals import FEW_GROUPS, LEVEL, Component, Difference, Interval, fold_component, interval
from .metrics import METRICS, all_metrics, decide, recall
from .multiple_tests import sign_flip, with_holm
from .paired import Estimate, Pair, arm_pairs
from .resampling import Resamples, make_design, replicates

POWER, MARGIN = 0.80, 0.02
Metrics = dict[str, Interval]
PRIMARY: Pair = ("vae", "imagenet")
Values = dict[str, np.ndarray]  # {metric: (..., S)} and "recall" (..., S, C)


@dataclass(frozen=True, kw_only=True)
class ClassRecall:
    """Recall of one class (per-class sensitivity): test images n, groups, and the interval."""

    class_name: str = field(metadata=named("class"))
    n: int
    groups: int
    recall: Interval


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measures.

    Args:
        arms: {arm: {metric: interval}}.
        majority: {metric: interval} of always predicting the training shares.
        per_class: {arm: recall of each class}.
        differences: of every pair of arms in every metric.
        groups: number of test groups.
        cautions: sentences on what limits these numbers.
    """

    arms: dict[str, Metrics]
    majority: Metrics
    per_class: dict[str, tuple[ClassRecall, ...]]
    differences: tuple[Difference, ...]
    groups: int
    cautions: tuple[str, ...]

    def difference(self, pair: Pair, metric: str) -> Difference:
        """The row of one pair, in its direction, and one metric."""
        return next(row for row in self.differences if row.of_pair(pair, metric))


def evaluate(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    class_names: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
    primary: Pair = PRIMARY,
    grouped: bool = True,
    folds: np.ndarray | None = None,
) -> Evaluation:
    """All test statistics of a study.

    Args:
        labels: (N,) class indices.
        groups: (N,) ids of patients or lesions.
        probabilities: {arm: (S, N, C)} plain softmax.
        log_prior: (C,), or (N, C) of out-of-fold predictions.
        class_names: (C,).
        resamples: of the bootstrap.
        seed: of the resamples.
        primary: the pair that sign flips test; another than VAE − ImageNet is marked as a stand-in.
        grouped: False where the set has no group ids (each image its own group): a caution says so.
        folds: (N,) the fold of each image of out-of-fold predictions.

    Raises:
        DataError: where the set is empty or has unlabelled images.
    """
    labels, classes = np.asarray(labels), len(class_names)
    if not len(labels) or labels.min() < 0:
        raise DataError("The test set is empty or has images without a label: leave those out.")
    design = make_design(labels, groups, classes)
    drawn = Resamples.draw(design, resamples, seed, "bootstrap", jackknife_first=False)
    test = _TestSet(log_prior, folds, drawn)
    scored = {arm: _ScoredArm(test, np.asarray(p, np.float64)) for arm, p in probabilities.items()}
    majority = _ScoredArm(test, test.majority(), in_folds=False)
    differences = [
        _difference(a, b, metric, scored)
        for a, b in arm_pairs(list(probabilities), primary)
        for metric in METRICS
    ]
    seeds = min(len(p) for p in probabilities.values())
    return Evaluation(
        arms={arm: one.intervals() for arm, one in scored.items()},
        majority=majority.intervals(),
        per_class={arm: one.per_class(class_names) for arm, one in scored.items()},
        differences=tuple(_tested(differences, test, probabilities, primary, seed)),
        groups=test.groups,
        cautions=tuple(_cautions(test, class_names, grouped, seeds)),
    )


@dataclass(frozen=True)
class _TestSet:
    """A labelled test set with its resamples, as `evaluate` takes it."""

    log_prior: np.ndarray
    folds: np.ndarray | None
    resamples: Resamples

    @property
    def labels(self) -> np.ndarray:
        return self.resamples.design.labels

    @property
    def groups(self) -> int:
        return len(self.resamples.design.stratum)

    def groups_of(self, c: int) -> int:
        """Groups with an image of class c."""
        return len(np.unique(self.resamples.design.group[self.labels == c]))

    def majority(self) -> np.ndarray:
        """Probabilities (1, N, C) that are the training shares; their mean, since folds' own would rank images."""
        shares = np.exp(np.where(np.isfinite(self.log_prior), self.log_prior, -np.inf))
        shares = shares if shares.ndim == 1 else shares.mean(0)
        return np.broadcast_to(shares, (1, len(self.labels), len(shares)))


class _ScoredArm:
    """Every metric of one arm, and "recall": by seed, under every resample and, with `in_folds`, in each fold."""

    def __init__(self, test: _TestSet, p_snc: np.ndarray, in_folds: bool = True):
        self.test = test
        self.by_seed = _values(test.labels, p_snc, test.log_prior)
        design, weights = test.resamples.design, test.resamples.weights
        self.drawn = replicates(design, p_snc, test.log_prior, weights)
        self.by_fold: Values = {}
        if test.folds is not None and in_folds:
            each = [test.folds == fold for fold in np.unique(test.folds)]
            parts = [_values(test.labels[i], p_snc[:, i], test.log_prior[i]) for i in each]
            self.by_fold = {m: np.stack([part[m] for part in parts]) for m in self.by_seed}

    def intervals(self) -> Metrics:
        return {m: self._interval(m, self.test.groups, ...) for m in METRICS}

    def per_class(self, class_names: Sequence[str]) -> tuple[ClassRecall, ...]:
        return tuple(
            ClassRecall(
                class_name=name,
                n=int((self.test.labels == c).sum()),
                groups=self.test.groups_of(c),
                recall=self._interval("recall", self.test.groups_of(c), (..., c)),
            )
            for c, name in enumerate(class_names)
        )

    def _interval(self, metric: str, groups: int, at: Any) -> Interval:
        by_seed = self.by_seed[metric][at]
        parts = self.test.resamples.components(self.drawn[metric][at])
        if self.by_fold:
            parts = parts + fold_component(self.by_fold[metric][at], parts, by_seed)
        return interval(by_seed, parts, groups, metric)

    def estimate(self, metric: str) -> Estimate:
        return Estimate(self.by_seed[metric], self.drawn[metric], self.test.resamples)


def _values(labels: np.ndarray, p_snc: np.ndarray, log_prior: np.ndarray) -> Values:
    classes = p_snc.shape[-1]
    recalls = recall(labels, decide(p_snc, log_prior), classes)
    return {**all_metrics(labels, p_snc, log_prior), "recall": recalls}


def _difference(a: str, b: str, metric: str, scored: Mapping[str, _ScoredArm]) -> Difference:
    """a − b on the same groups and, where both have as many, the same seeds; p from Student's t."""
    one, other = scored[a], scored[b]
    change = one.estimate(metric) - other.estimate(metric)
    parts = change.components()
    values = (one.by_seed[metric], other.by_seed[metric])
    if len(values[0]) != len(values[1]):
        counts = [(v, len(v)) for v in values if len(v) > 1]
        parts += [Component(float(v.var(ddof=1)) / n, n - 1.0) for v, n in counts]
    if one.by_fold:
        by_fold = one.by_fold[metric] - other.by_fold[metric]
        parts = parts + fold_component(by_fold, parts, change.by_seed)
    gap = interval(change.by_seed, parts, FEW_GROUPS)
    row = Difference.of(a, b, gap, metric=metric, equivalent=False, primary=False, stand_in=False)
    if gap.se is None or gap.low is None or gap.high is None:
        return row
    reach = student.ppf((1 + LEVEL) / 2, gap.df) + student.ppf(POWER, gap.df)
    within = gap.low > -MARGIN and gap.high < MARGIN
    return dataclasses.replace(
        row, detectable=float(reach * gap.se), equivalent=metric != "log_loss" and within
    )


def _tested(
    rows: Sequence[Difference],
    test: _TestSet,
    probabilities: Mapping[str, np.ndarray],
    primary: Pair,
    seed: int,
) -> list[Difference]:
    """p by sign flips for the primary test or its stand-in; Holm's correction over all but the primary."""
    named = next(iter(rows), None)
    if named is None or not named.of_pair(primary, "balanced_accuracy"):
        return with_holm(rows)
    design, others = test.resamples.design, rows[1:]
    correct = [
        (decide(probabilities[arm], test.log_prior) == design.labels).mean(0) for arm in primary
    ]
    p = sign_flip(design, correct[0] - correct[1], seed=seed)
    if primary == PRIMARY:
        return [dataclasses.replace(named, p=p, primary=True), *with_holm(others)]
    return with_holm([dataclasses.replace(named, p=p, stand_in=True), *others])


def _cautions(test: _TestSet, class_names: Sequence[str], grouped: bool, seeds: int) -> list[str]:
    by_class = [(name, test.groups_of(c)) for c, name in enumerate(class_names)]
    few = [f"{name} ({n})" for name, n in by_class if 0 < n < FEW_GROUPS]
    absent = [name for name, n in by_class if n == 0]
    cautions = []
    if test.groups < FEW_GROUPS:
        cautions.append(
            f"The test set has {test.groups} groups: intervals of shares are Wilson's, and nothing here is firm."
        )
    if few:
        cautions.append(
            f"Fewer than {FEW_GROUPS} test groups in {', '.join(few)}: recall there has Wilson's interval, and "
            "balanced accuracy rests on few lesions."
        )
    if absent:
        cautions.append(
            f"No test images of {', '.join(absent)}: left out of balanced accuracy and AUROC."
        )
    if not grouped:
        cautions.append("This test set has no group ids: its intervals are optimistic.")
    if seeds < 2:
        cautions.append("One seed: its share of chance is not in the intervals.")
    return cautions
