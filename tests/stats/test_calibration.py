"""Temperature scaling recovers a planted temperature and equals scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from derm_core.stats.calibration import (
    apply_temperature,
    fit_shared_temperature,
    fit_temperature,
)


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
        assert abs(fit_temperature(*drawn(scale)).value / scale - 1) < 0.06


def test_losses_are_those_of_scikit_learn():
    probabilities, labels = drawn(3.0, 500)
    fitted = fit_temperature(probabilities, labels)
    scaled = probabilities ** (1 / fitted.value)
    assert np.isclose(fitted.log_loss_before, log_loss(labels, probabilities, labels=range(4)))
    assert np.isclose(
        fitted.log_loss_after,
        log_loss(labels, scaled / scaled.sum(1, keepdims=True), labels=range(4)),
    )


def test_certain_and_right_predictions_stay_finite_and_do_not_get_worse():
    fitted = fit_temperature(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0]))
    assert np.isfinite(fitted.value) and fitted.log_loss_after <= fitted.log_loss_before


def test_tempering_divides_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 4))
    np.testing.assert_allclose(
        apply_temperature(softmax(logits, -1), 2.5), softmax(logits / 2.5, -1), atol=1e-12
    )


def test_the_temperature_has_the_lowest_loss_over_all_seeds():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 4, (3, 200, 3)), rng.integers(0, 3, 200)
    best = minimize_scalar(
        lambda t: -log_softmax(logits / t, -1)[:, np.arange(200), labels].mean(),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-6},
    ).x
    assert fit_shared_temperature(softmax(logits, -1), labels) == pytest.approx(best, rel=1e-2)
