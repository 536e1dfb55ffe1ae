"""Calibration of an arm: reliability bins, and the temperature that makes its probabilities honest.

temper(probabilities (..., C), temperature) -> (..., C)      softmax(log p / T)
shared_temperature(probabilities (S, n, C), labels) -> float one for all seeds, on validation
reliability(labels, probabilities (S, n, C)) -> [{"low", "high", "n", "confidence", "accuracy"}]
"""

from __future__ import annotations

import numpy as np

from .calibration import fit_temperature
from .metrics import confidence_bins

BINS = 15


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (..., C) as they would be had the logits been divided by the temperature."""
    scaled = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-30)) / temperature
    scaled = np.exp(scaled - scaled.max(-1, keepdims=True))
    return scaled / scaled.sum(-1, keepdims=True)


def shared_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest mean log loss over the predictions of all seeds (S, n, C)."""
    seeds, _, classes = probabilities.shape
    return fit_temperature(probabilities.reshape(-1, classes), np.tile(labels, seeds))["value"]


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> list[dict[str, float]]:
    """How often the top class is right where it has a certain probability, all seeds' predictions together.

    Bins hold equally many predictions; n is images, predictions over seeds. Two predictions a bin at least.
    """
    confidence = probabilities.max(-1).reshape(-1)
    correct = (probabilities.argmax(-1) == labels).reshape(-1)
    place = confidence_bins(confidence, bins)
    rows = []
    for b in np.unique(place):
        here = place == b
        rows.append(
            {
                "low": float(confidence[here].min()),
                "high": float(confidence[here].max()),
                "n": float(here.sum() / len(probabilities)),
                "confidence": float(confidence[here].mean()),
                "accuracy": float(correct[here].mean()),
            }
        )
    return rows
