"""Net benefit against its definition, and on models whose net benefit is known."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.stats.decision_curve import THRESHOLDS, net_benefit_values, treat_all_values


def test_net_benefit_is_true_positives_less_weighted_false_positives():
    rng = np.random.default_rng(0)
    positive, scores = rng.random(200) < 0.2, rng.random((2, 200)).round(2)
    values = net_benefit_values(positive, scores).mean(1)
    for s, one in enumerate(scores):
        for k, t in enumerate(THRESHOLDS):
            called = one >= t
            tp, fp = (called & positive).sum(), (called & ~positive).sum()
            assert values[s, k] == pytest.approx(tp / 200 - fp / 200 * t / (1 - t))


def test_a_perfect_model_has_the_prevalence_and_calling_all_crosses_zero_there():
    positive = np.arange(100) < 20
    perfect = net_benefit_values(positive, positive[None].astype(float)).mean(1)
    np.testing.assert_allclose(perfect, 0.2)
    treat_all = treat_all_values(positive).mean((0, 1))
    assert treat_all[THRESHOLDS < 0.195].min() > 0 > treat_all[THRESHOLDS > 0.205].max()
    assert treat_all[np.argmin(abs(THRESHOLDS - 0.2))] == pytest.approx(0, abs=1e-12)


def test_a_model_that_calls_all_images_is_as_calling_all():
    positive = np.arange(50) < 5
    ours = net_benefit_values(positive, np.ones((1, 50)))
    np.testing.assert_allclose(ours, treat_all_values(positive))
