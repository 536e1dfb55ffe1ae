"""Calibration of probabilities: temperature scaling, and the bins of a reliability diagram.

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", arXiv 1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from .metrics import confidence_bins

RANGE = (0.05, 20.0)
BINS = 15
FLOOR = 1e-30


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature: its value, the number of images, and the mean log loss in nats before and after it."""

    value: float
    images: int
    log_loss_before: float
    log_loss_after: float


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


def fit_temperature(probabilities_nc: np.ndarray, labels_n: np.ndarray) -> Temperature:
    """Temperature scaling: the temperature with the lowest mean log loss on held-out predictions.

    Args:
        probabilities_nc: plain softmax (n, C); dividing their logarithm by T equals dividing the
            logits.
        labels_n: (n,) class indices.
    """
    log_p = np.log(np.maximum(np.asarray(probabilities_nc, np.float64), FLOOR))
    labels = np.asarray(labels_n)

    def loss(log_t: float) -> float:
        scaled = log_p / np.exp(log_t)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(total - scaled[np.arange(len(labels)), labels]))

    best = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    value, after, before = float(np.exp(best.x)), loss(best.x), loss(0.0)
    if after > before:
        value, after = 1.0, before
    return Temperature(value, len(labels), before, after)


def fit_shared_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest mean log loss over the predictions of all seeds (S, n, C) together."""
    seeds, _, classes = probabilities.shape
    return fit_temperature(probabilities.reshape(-1, classes), np.tile(labels, seeds)).value


def apply_temperature(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Probabilities (..., C) as they would be had the logits been divided by the temperature: softmax(log p / T).

    temperature: one for all, or an array that broadcasts with the probabilities.
    """
    scaled = np.log(np.maximum(np.asarray(probabilities, np.float64), FLOOR)) / temperature
    odds: np.ndarray = np.exp(scaled - scaled.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


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
