"""Operating points: the melanoma threshold, and sensitivity at a given specificity, for one class against the rest.

An image is positive where its score is above the threshold; a threshold is the lowest that reaches
at least the given specificity. The test set's own ROC curve shows what is possible at best. A model
in use has its threshold from other images: sensitivity and specificity on the test set at the
threshold of the validation set are reported beside it. Out of fold, each test image has the threshold
of the validation images of its own fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .image_means import image_means
from .intervals import Interval
from .paired import Estimate
from .resampling import Resamples, make_design

SPECIFICITY = np.linspace(0, 1, 101)
ROUNDING = 1e-9
Numbers = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class OperatingCurve:
    """One arm's sensitivity at each of K specificities: seed means with 95 % intervals by groups and seeds.

    Args:
        threshold: (K,) chosen on validation, mean over seeds (and over folds).
        sensitivity, low, high: (K,) on the test set's own ROC curve.
        given_sensitivity, given_specificity: (K,) on the test set at the thresholds of validation,
            each with its interval's ends `_low` and `_high`.
    """

    threshold: Numbers
    sensitivity: Numbers
    low: Numbers
    high: Numbers
    given_sensitivity: Numbers
    given_sensitivity_low: Numbers
    given_sensitivity_high: Numbers
    given_specificity: Numbers
    given_specificity_low: Numbers
    given_specificity_high: Numbers


def thresholds(positive: np.ndarray, scores: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """Thresholds (K,): for each specificity the lowest that leaves that share of the negatives at or below it.

    Args:
        positive: (n,) bool, whether an image is of the class.
        scores: (n,).
        specificity: (K,), 0 to 1.

    Returns:
        (K,); −inf where every image may be called.
    """
    negatives = np.sort(scores[~positive])[::-1]
    allowed = np.floor((1 - np.asarray(specificity)) * len(negatives) + ROUNDING).astype(int)
    return np.append(negatives, -np.inf)[allowed]


def sensitivities(
    positive: np.ndarray,
    scores: np.ndarray,
    specificity: np.ndarray,
    weights: Iterable[np.ndarray] | None = None,
) -> np.ndarray:
    """Sensitivity (K,) at each specificity (K,), on the set's own ROC curve.

    Args:
        positive: (n,) bool, whether an image is of the class.
        scores: (n,).
        specificity: (K,), 0 to 1.
        weights: R times (n,), for the same under R weightings of the images.

    Returns:
        (K,), or (R, K); NaN where a side weighs nothing.
    """
    order = np.argsort(-scores[~positive], kind="stable")
    # negatives not below each positive
    above = np.searchsorted(-scores[~positive][order], -scores[positive], side="right")
    rank = np.argsort(above, kind="stable")
    shares = []
    for row in [np.ones(len(scores))] if weights is None else weights:
        negatives = np.cumsum(row[~positive][order], dtype=np.float64)
        positives = np.cumsum(row[positive][rank], dtype=np.float64)
        if len(negatives) and len(positives) and negatives[-1] > 0 and positives[-1] > 0:
            limit = ((1 - specificity) + ROUNDING) * negatives[-1]
            allowed = np.searchsorted(negatives, limit, side="right")
            reached = np.searchsorted(above[rank], allowed, side="right")
            shares.append(np.append(0.0, positives)[reached] / positives[-1])
        else:
            shares.append(np.full(len(specificity), np.nan))
    return shares[0] if weights is None else np.array(shares).reshape(-1, len(specificity))


Folds = tuple[np.ndarray, np.ndarray]  # the fold of each validation and of each test image


def image_thresholds(
    val: tuple[np.ndarray, np.ndarray], specificity: np.ndarray, folds: Folds | None = None
) -> np.ndarray:
    """Thresholds of the test images, chosen on validation seed by seed and, out of fold, fold by fold.

    Args:
        val: positive (n,) bool and scores (S, n).
        specificity: (K,), 0 to 1.
        folds: of the validation images (n,) and of the test images (N,), out of fold alone.

    Returns:
        (S, 1, K), the same for every test image; out of fold (S, N, K).
    """
    positive, scores_sn = val
    if folds is None:
        return np.stack([thresholds(positive, one, specificity) for one in scores_sn])[:, None]
    of_val, of_test = folds
    cut_snk = np.empty((len(scores_sn), len(of_test), len(specificity)))
    for fold in np.unique(of_test):
        own = image_thresholds(
            (positive[of_val == fold], scores_sn[:, of_val == fold]), specificity
        )
        cut_snk[:, of_test == fold] = own
    return cut_snk


def operating_point(
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    specificity: np.ndarray = SPECIFICITY,
    *,
    resamples: int = 2000,
    seed: int = 0,
    folds: Folds | None = None,
) -> OperatingCurve:
    """Operating points of one arm, thresholds chosen on validation, seed by seed and fold by fold.

    Args:
        val: positive (n,) bool and scores (S, n).
        test: positive (n,) bool, group ids (n,) and scores (S, n).
        specificity: (K,), 0 to 1.
        resamples: of the test set's groups.
        seed: of the resamples.
        folds: of the validation images (n,) and of the test images (N,), out of fold alone.
    """
    positive, groups, scores_sn = test
    design = make_design(positive.astype(np.int64), groups, 2)
    drawn = Resamples.draw(design, resamples, seed, "operating point")
    cut_snk = image_thresholds(val, specificity, folds)
    called_snk = scores_sn[:, :, None] > cut_snk
    of_test = folds[1] if folds else None
    caught, spared = (len(np.unique(groups[of])) for of in (positive, ~positive))
    own_curve = _own_curve(drawn, positive, scores_sn, specificity, of_test)
    spans = _spans("", "sensitivity", [one.interval("recall", caught) for one in own_curve])
    for name, hits, among, count in (
        ("given_sensitivity", called_snk, positive, caught),
        ("given_specificity", ~called_snk, ~positive, spared),
    ):
        each = image_means(drawn, hits, among, of_test)
        spans |= _spans(f"{name}_", name, [one.interval("recall", count) for one in each])
    finite = np.where(np.isfinite(cut_snk), cut_snk, 0.0)
    return OperatingCurve(threshold=tuple(finite.mean((0, 1)).tolist()), **spans)


def _own_curve(
    drawn: Resamples,
    positive: np.ndarray,
    scores_sn: np.ndarray,
    specificity: np.ndarray,
    of_test: np.ndarray | None,
) -> list[Estimate]:
    """Sensitivity at each specificity on the test set's own ROC curve, out of fold with that of each fold alone.

    Args:
        drawn: resamples of the test set's groups.
        positive: (N,) bool.
        scores_sn: (S, N).
        specificity: (K,).
        of_test: (N,) the fold of each image of out-of-fold predictions.

    Returns:
        K estimates.
    """
    group = drawn.design.group

    def curve(images: np.ndarray) -> np.ndarray:
        return np.stack(
            [sensitivities(positive[images], one[images], specificity) for one in scores_sn]
        )

    whole = curve(np.ones(len(positive), bool))
    under = np.mean(
        [
            sensitivities(positive, one, specificity, (row[group] for row in drawn.weights))
            for one in scores_sn
        ],
        axis=0,
    )
    folds = [] if of_test is None else [of_test == fold for fold in np.unique(of_test)]
    by_fold = np.stack([curve(fold) for fold in folds]) if folds else None
    return [
        Estimate(
            whole[:, k], under[:, k : k + 1], drawn, None if by_fold is None else by_fold[..., k]
        )
        for k in range(len(specificity))
    ]


def _spans(prefix: str, name: str, each: Sequence[Interval]) -> dict[str, Numbers]:
    return {
        name: tuple(one.mean for one in each),
        f"{prefix}low": tuple(one.low for one in each),
        f"{prefix}high": tuple(one.high for one in each),
    }
