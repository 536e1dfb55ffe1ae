"""Temperature scaling: one number that makes probabilities honest without changing the top class.

Guo, Pleiss, Sun & Weinberger 2017, arXiv 1706.04599.
"""

from __future__ import annotations

import numpy as np

RANGE = (0.05, 20.0)


def fit_temperature(probabilities_nc: np.ndarray, labels_n: np.ndarray) -> dict:
    """The temperature with the lowest mean log loss on held-out predictions.

    probabilities: plain softmax (n, C); dividing their logarithm by T equals dividing the logits.
    Returns {"value", "images", "log_loss_before", "log_loss_after"}, losses in nats.
    """
    from scipy.optimize import minimize_scalar

    log_p = np.log(np.maximum(np.asarray(probabilities_nc, np.float64), 1e-30))
    labels = np.asarray(labels_n)

    def loss(log_t: float) -> float:
        scaled = log_p / np.exp(log_t)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(total - scaled[np.arange(len(labels)), labels]))

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    value, after, before = float(np.exp(found.x)), loss(found.x), loss(0.0)
    if after > before:
        value, after = 1.0, before
    return {
        "value": value,
        "images": len(labels),
        "log_loss_before": before,
        "log_loss_after": after,
    }
