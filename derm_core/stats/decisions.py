"""The two decisions that follow from one set of class probabilities, and how often each is right.

The most probable class maximises accuracy. The class after adjusting for class frequency,
argmax(log p − log π) with the class shares π of training (`metrics.decide`), maximises balanced
accuracy: a rare class is named sooner. Probabilities are the plain softmax, before any temperature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .evaluation import metric_estimates
from .intervals import Interval
from .resampling import Resamples, make_design


@dataclass(frozen=True, kw_only=True)
class DecisionScore:
    """How often one decision is right on test images."""

    accuracy: Interval
    balanced_accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class DecisionScores:
    """How often each of the two decisions is right on the same test images.

    Attributes:
        most_probable: of the most probable class.
        adjusted: of the class after adjusting for class frequency.
    """

    most_probable: DecisionScore
    adjusted: DecisionScore


def adjusted_probabilities(probabilities: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Probabilities (..., N, C) as they would be were all classes equally frequent: p / π, rows that sum to 1.

    Args:
        probabilities: plain softmax.
        log_prior: (C,) log shares of training, +inf for a class without images, or (N, C).
    """
    weighted = np.asarray(probabilities, np.float64) * np.exp(-np.asarray(log_prior))
    scaled: np.ndarray = weighted / weighted.sum(-1, keepdims=True)
    return scaled


def score_decisions(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
    folds: np.ndarray | None = None,
) -> dict[str, DecisionScores]:
    """Accuracy and balanced accuracy of both decisions, with 95 % intervals that resample groups.

    Args:
        labels: (N,) class indices.
        groups: (N,) ids of patients or lesions.
        probabilities: by model, plain softmax (S, N, C).
        log_prior: (C,) log shares of training, or (N, C) of out-of-fold predictions.
        resamples: of the bootstrap.
        seed: of the resamples.
        folds: (N,) the fold of each image of out-of-fold predictions.
    """
    design = make_design(labels, groups, np.asarray(log_prior).shape[-1])
    drawn = Resamples.draw(design, resamples, seed, "bootstrap", jackknife_first=False)
    equal = np.zeros_like(log_prior, dtype=np.float64)

    def score(p_snc: np.ndarray) -> DecisionScore:
        estimates = metric_estimates(drawn, p_snc, equal, folds)
        accuracy, balanced = (
            estimates[name].interval(name) for name in ("accuracy", "balanced_accuracy")
        )
        return DecisionScore(accuracy=accuracy, balanced_accuracy=balanced)

    return {
        name: DecisionScores(
            most_probable=score(np.asarray(p_snc, np.float64)),
            adjusted=score(adjusted_probabilities(p_snc, log_prior)),
        )
        for name, p_snc in probabilities.items()
    }
