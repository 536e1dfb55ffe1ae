"""Operating points: the melanoma threshold, and sensitivity at a given specificity, for one class against the rest.

An image is positive where its score is above the threshold; a threshold is the lowest that reaches
at least the given specificity. The test set's own ROC curve shows what is possible at best. A model
in use has its threshold from other images: sensitivity and specificity on the test set at the
threshold of the validation set are reported beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import interval
from .resampling import Design, Resamples, make_design

SPECIFICITY = np.linspace(0, 1, 101)
ROUNDING = 1e-9
Numbers = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class OperatingCurve:
    """One arm's sensitivity at each of K specificities: seed means with 95 % intervals by groups and seeds.

    Args:
        threshold: (K,) chosen on validation, mean over seeds.
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
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Sensitivity (K,) at each specificity (K,), on the set's own ROC curve.

    Args:
        positive: (n,) bool, whether an image is of the class.
        scores: (n,).
        specificity: (K,), 0 to 1.
        weights: (R, n), for the same under R weightings of the images.

    Returns:
        (K,), or (R, K); NaN where a side weighs nothing.
    """
    order = np.argsort(-scores[~positive], kind="stable")
    # negatives not below each positive
    above = np.searchsorted(-scores[~positive][order], -scores[positive], side="right")
    rank = np.argsort(above, kind="stable")
    rows = np.ones((1, len(scores))) if weights is None else weights
    out = np.full((len(rows), len(specificity)), np.nan)
    for r, row in enumerate(rows):
        negatives = np.cumsum(row[~positive][order], dtype=np.float64)
        positives = np.cumsum(row[positive][rank], dtype=np.float64)
        if len(negatives) and len(positives) and negatives[-1] > 0 and positives[-1] > 0:
            limit = ((1 - specificity) + ROUNDING) * negatives[-1]
            allowed = np.searchsorted(negatives, limit, side="right")
            reached = np.searchsorted(above[rank], allowed, side="right")
            out[r] = np.append(0.0, positives)[reached] / positives[-1]
    return out[0] if weights is None else out


def operating_point(
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    specificity: np.ndarray = SPECIFICITY,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> OperatingCurve:
    """Operating points of one arm, thresholds chosen on validation, seed by seed.

    Args:
        val: positive (n,) bool and scores (S, n).
        test: positive (n,) bool, group ids (n,) and scores (S, n).
        specificity: (K,), 0 to 1.
        resamples: of the test set's groups.
        seed: of the resamples.
    """
    positive, groups, scores_sn = test
    design = make_design(positive.astype(np.int64), groups, 2)
    drawn = Resamples.draw(design, resamples, seed, "operating point")
    of_image = drawn.weights[:, design.group]
    cut_sk = np.stack([thresholds(val[0], one, specificity) for one in val[1]])
    called_snk = scores_sn[:, :, None] > cut_sk[:, None, :]
    own_curve = (
        np.stack([sensitivities(positive, one, specificity) for one in scores_sn]),
        np.mean([sensitivities(positive, one, specificity, of_image) for one in scores_sn], 0),
    )
    spans: dict[str, Numbers] = {}
    for name, (by_seed, under), members in (
        ("sensitivity", own_curve, positive),
        ("given_sensitivity", _shares(drawn, called_snk, positive), positive),
        ("given_specificity", _shares(drawn, ~called_snk, ~positive), ~positive),
    ):
        count = len(np.unique(groups[members]))
        each = [
            interval(by_seed[:, k], drawn.components(under[:, k]), count, "recall")
            for k in range(len(specificity))
        ]
        prefix = "" if name == "sensitivity" else f"{name}_"
        spans[name] = tuple(one.mean for one in each)
        spans[f"{prefix}low"] = tuple(one.low for one in each)
        spans[f"{prefix}high"] = tuple(one.high for one in each)
    finite = np.where(np.isfinite(cut_sk), cut_sk, 0.0)
    return OperatingCurve(threshold=tuple(finite.mean(0).tolist()), **spans)


def _shares(
    drawn: Resamples, hits_snk: np.ndarray, among: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of `among` that are hit: by seed (S, K), and the seed mean under each weighting (R, K)."""
    design: Design = drawn.design
    hits = hits_snk[:, among].mean(1)
    sums = drawn.weights @ design.sums(among[:, None] * hits_snk.mean(0))
    total = drawn.weights @ design.sums(among[:, None].astype(np.float64))
    return hits, np.where(total > 0, sums / np.maximum(total, ROUNDING), np.nan)
