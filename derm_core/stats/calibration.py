"""Calibration of probabilities by temperature scaling.

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", arXiv 1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

RANGE = (0.05, 20.0)
FLOOR = 1e-30


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature: its value, the number of images, and the mean log loss in nats before and after it."""

    value: float
    images: int
    log_loss_before: float
    log_loss_after: float


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
