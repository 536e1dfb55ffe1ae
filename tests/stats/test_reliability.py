"""Reliability bins against a slow loop; temperature against the logits it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from derm_core.stats.reliability import reliability, shared_temperature, temper


def test_tempering_divides_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 4))
    np.testing.assert_allclose(
        temper(softmax(logits, -1), 2.5), softmax(logits / 2.5, -1), atol=1e-12
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
    assert shared_temperature(softmax(logits, -1), labels) == pytest.approx(best, rel=1e-2)


def test_bins_hold_equally_many_predictions_in_the_order_of_their_confidence():
    rng = np.random.default_rng(2)
    p, labels = rng.dirichlet(np.ones(4), (2, 150)), rng.integers(0, 4, 150)
    rows = reliability(labels, p, bins=10)
    flat = sorted(
        (
            (one.max(), one.argmax() == label)
            for seed in p
            for one, label in zip(seed, labels, strict=True)
        ),
        key=lambda pair: pair[0],
    )
    assert len(rows) == 10 and sum(row["n"] for row in rows) == 150
    for b, row in enumerate(rows):
        part = flat[30 * b : 30 * (b + 1)]
        assert row["confidence"] == pytest.approx(np.mean([c for c, _ in part]))
        assert row["accuracy"] == pytest.approx(np.mean([hit for _, hit in part]))
        assert (row["low"], row["high"]) == (part[0][0], part[-1][0])
