"""The fitted temperature is the one that made the probabilities too sharp, and never makes them worse."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss

from derm_core.stats.calibration import fit_temperature


def drawn(scale: float, n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits), and the probabilities of softmax(scale x logits)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (n, 4))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) > rng.random((n, 1))).argmax(1)
    sharp = np.exp(scale * logits)
    return sharp / sharp.sum(1, keepdims=True), labels


def test_the_planted_temperature_is_recovered():
    for scale in (0.5, 1.0, 3.0):
        assert abs(fit_temperature(*drawn(scale))["value"] / scale - 1) < 0.06


def test_losses_are_those_of_scikit_learn():
    probabilities, labels = drawn(3.0, 500)
    fitted = fit_temperature(probabilities, labels)
    scaled = probabilities ** (1 / fitted["value"])
    assert np.isclose(fitted["log_loss_before"], log_loss(labels, probabilities, labels=range(4)))
    assert np.isclose(
        fitted["log_loss_after"],
        log_loss(labels, scaled / scaled.sum(1, keepdims=True), labels=range(4)),
    )


def test_certain_and_right_predictions_stay_finite_and_do_not_get_worse():
    fitted = fit_temperature(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0]))
    assert np.isfinite(fitted["value"]) and fitted["log_loss_after"] <= fitted["log_loss_before"]
