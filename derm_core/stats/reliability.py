"""The bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics import confidence_bins

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Args:
        low, high: range of the confidence in it.
        n: images, predictions over seeds.
        confidence: its mean, 0 to 1.
        accuracy: share of correct predictions, 0 to 1.
    """

    low: float
    high: float
    n: float
    confidence: float
    accuracy: float


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> list[ReliabilityBin]:
    """Bins of a reliability diagram: accuracy of the top class against its probability, all seeds together.

    Args:
        labels: (n,) class indices.
        probabilities: (S, n, C).
        bins: how many, with equally many predictions each, two at least.
    """
    confidence = probabilities.max(-1).reshape(-1)
    correct = (probabilities.argmax(-1) == labels).reshape(-1)
    bin_of = confidence_bins(confidence, bins)
    rows = []
    for b in np.unique(bin_of):
        members = confidence[bin_of == b]
        rows.append(
            ReliabilityBin(
                low=float(members.min()),
                high=float(members.max()),
                n=float(len(members) / len(probabilities)),
                confidence=float(members.mean()),
                accuracy=float(correct[bin_of == b].mean()),
            )
        )
    return rows
