"""The evaluation of a test set: every metric of every arm with intervals, every pair's differences with tests.

Intervals are those of intervals.py, and the p beside each is that of its interval: it holds what groups,
seeds and folds add. The one primary test is VAE − ImageNet in balanced accuracy. Its row also has the p
of sign flips over groups, which conditions on the trained weights. Where another pair stands in for it,
that row has this p too but is one of the secondary tests. Those are corrected together by Holm (1979);
a study divides them into families (study.families).

Out-of-fold predictions have each image's own class prior, and what differs between folds beyond
groups and seeds is a further component of the variance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..records import named
from .intervals import FEW_GROUPS, MARGINS, Component, Difference, Interval, interval
from .metrics import METRICS, all_metrics, decide, ece, recall
from .multiple_tests import sign_flip, with_holm
from .paired import Estimate, Pair, arm_pairs, combine
from .resampling import Design, Resamples, make_design, replicates

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
        majority: {metric: interval} of always predicting the training shares of the classes that the
            set has, and deciding for the commonest.
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
    named: bool | None = None,
    group_caution: str = "",
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
        primary: the pair of the primary comparison, which sign flips test as well.
        named: whether this is the pair named in advance, else it is marked as a stand-in; by default
            where it is VAE − ImageNet.
        group_caution: what is not known of the groups, one of the cautions; empty where all is.
        folds: (N,) the fold of each image of out-of-fold predictions.

    Raises:
        DataError: where the set is empty or has unlabelled images.
    """
    named = primary == PRIMARY if named is None else named
    labels, classes = np.asarray(labels), len(class_names)
    if not len(labels) or labels.min() < 0:
        raise DataError("The test set is empty or has images without a label: leave those out.")
    design = make_design(labels, groups, classes)
    drawn = Resamples.draw(design, resamples, seed, "bootstrap", jackknife_first=False)
    p_snc = {arm: np.asarray(p, np.float64) for arm, p in probabilities.items()}
    scored = {arm: metric_estimates(drawn, p, log_prior, folds) for arm, p in p_snc.items()}
    majority = metric_estimates(drawn, _majority(log_prior, labels), np.zeros(classes), None)
    differences = [
        difference(a, b, metric, scored)
        for a, b in arm_pairs(list(probabilities), primary)
        for metric in METRICS
    ]
    seeds = min(len(p) for p in probabilities.values())
    return Evaluation(
        arms={arm: _intervals(one) for arm, one in scored.items()},
        majority=_intervals(majority),
        per_class={arm: class_recalls(one["recall"], class_names) for arm, one in scored.items()},
        differences=tuple(
            _tested(differences, design, log_prior, probabilities, primary, named, seed)
        ),
        groups=len(design.stratum),
        cautions=tuple(test_set_cautions(design, class_names, group_caution, seeds)),
    )


def _majority(log_prior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (1, N, C) that are the training shares; their mean, since folds' own would rank images.

    Among the classes that the set has: a constant decision for another would have a balanced
    accuracy of 0, below that of guessing.
    """
    shares = np.exp(np.where(np.isfinite(log_prior), log_prior, -np.inf))
    shares = shares if shares.ndim == 1 else shares.mean(0)
    present = np.isin(np.arange(len(shares)), labels)
    shares = np.where(present, shares, 0) if shares[present].any() else present
    return np.broadcast_to(shares / shares.sum(), (1, len(labels), len(shares)))


def metric_estimates(
    drawn: Resamples, p_snc: np.ndarray, log_prior: np.ndarray, folds: np.ndarray | None
) -> dict[str, Estimate]:
    """Every metric of one arm, and "recall" with a further axis of classes.

    Args:
        drawn: resamples of the test set.
        p_snc: (S, N, C) plain softmax.
        log_prior: (C,), or (N, C) of out-of-fold predictions.
        folds: (N,) the fold of each image of out-of-fold predictions.
    """
    design = drawn.design
    by_seed = _values(design.labels, p_snc, log_prior)
    under = replicates(design, p_snc, log_prior, drawn.weights)
    each = [] if folds is None else [folds == fold for fold in np.unique(folds)]
    if len(each) < 2:
        return {m: Estimate(by_seed[m], under[m], drawn) for m in by_seed}
    parts = [_values(design.labels[i], p_snc[:, i], log_prior[i]) for i in each]
    by_fold = {m: np.stack([part[m] for part in parts]) for m in by_seed}
    without = np.stack([ece(design.labels[~i], p_snc[:, ~i]) for i in each])
    # pseudo-values of the jackknife: a fold alone has more noise in its calibration error than its
    # share of the whole, since the root of a mean square is no mean over images
    by_fold["ece"] = len(each) * by_seed["ece"] - (len(each) - 1) * without
    return {m: Estimate(by_seed[m], under[m], drawn, by_fold[m]) for m in by_seed}


def _intervals(estimates: Mapping[str, Estimate]) -> Metrics:
    return {metric: estimates[metric].interval(metric) for metric in METRICS}


def class_recalls(recalls: Estimate, class_names: Sequence[str]) -> tuple[ClassRecall, ...]:
    """Recall of each class from the estimate "recall" of `metric_estimates`."""
    design, rows = recalls.resamples.design, []
    for c, name in enumerate(class_names):
        groups, images = design.groups_of(c), int((design.labels == c).sum())
        own = _of_class(recalls, c).interval("recall", groups)
        rows.append(ClassRecall(class_name=name, n=images, groups=groups, recall=own))
    return tuple(rows)


def _of_class(recalls: Estimate, c: int) -> Estimate:
    return combine(lambda values: values[..., c], recalls)


def _values(labels: np.ndarray, p_snc: np.ndarray, log_prior: np.ndarray) -> Values:
    classes = p_snc.shape[-1]
    recalls = recall(labels, decide(p_snc, log_prior), classes)
    return {**all_metrics(labels, p_snc, log_prior), "recall": recalls}


def difference(
    a: str, b: str, metric: str, scored: Mapping[str, Mapping[str, Estimate]]
) -> Difference:
    """a − b on the same groups and, where both have as many, the same seeds; p from Student's t."""
    one, other = scored[a][metric], scored[b][metric]
    change = one - other
    parts, values = change.components(), (one.by_seed, other.by_seed)
    if len(values[0]) != len(values[1]):
        counts = [(v, len(v)) for v in values if len(v) > 1]
        parts += [Component(float(v.var(ddof=1)) / n, n - 1.0) for v, n in counts]
    gap = interval(change.by_seed, parts, FEW_GROUPS)
    return Difference.of(
        a,
        b,
        gap,
        MARGINS[metric],
        metric=metric,
        primary=False,
        stand_in=False,
        by_fold=change.fold_means,
    )


def _tested(
    rows: Sequence[Difference],
    design: Design,
    log_prior: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    primary: Pair,
    named: bool,
    seed: int,
) -> list[Difference]:
    """Sign flips for the primary comparison or its stand-in; Holm's correction over all but the primary test."""
    if not rows or not rows[0].of_pair(primary, "balanced_accuracy"):
        return with_holm(rows)
    first, *others = rows
    correct = [(decide(probabilities[arm], log_prior) == design.labels).mean(0) for arm in primary]
    p = sign_flip(design, correct[0] - correct[1], seed=seed) if first.se else None
    if named:
        return [dataclasses.replace(first, p_sign_flip=p, primary=True), *with_holm(others)]
    return with_holm([dataclasses.replace(first, p_sign_flip=p, stand_in=True), *others])


def test_set_cautions(
    design: Design, class_names: Sequence[str], group_caution: str, seeds: int
) -> list[str]:
    """What limits the numbers of a test set: few groups, absent classes, unknown groups, one seed."""
    groups = len(design.stratum)
    by_class = [(name, design.groups_of(c)) for c, name in enumerate(class_names)]
    few = [f"{name} ({n})" for name, n in by_class if 0 < n < FEW_GROUPS]
    absent = [name for name, n in by_class if n == 0]
    cautions = []
    if groups < FEW_GROUPS:
        cautions.append(
            f"The test set has {groups} groups: intervals of shares are Wilson's, and nothing here is firm."
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
    if group_caution:
        cautions.append(group_caution)
    if seeds < 2:
        cautions.append("One seed: its share of chance is not in the intervals.")
    return cautions
