"""Calibration slope and intercept against scikit-learn, on planted miscalibration, and under real refits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from derm_core.stats.recalibration import fit_intercept, fit_slope, recalibration, unstratified


def scored(n: int = 4000, slope: float = 1.0, shift: float = 0.0, seeds: int = 2):
    """positive (n,), groups (n,) of two images, probabilities (S, n): P(class) = expit(shift + slope · logit p)."""
    rng = np.random.default_rng(1)
    logits = rng.normal(-1.5, 1.2, n)
    positive = rng.random(n) < expit(shift + slope * logits)
    noise = rng.normal(0, 1e-3, (seeds, n))
    return positive, np.arange(n) // 2, expit(logits + noise)


def estimates(positive, groups, p, resamples=300, folds=None):
    return recalibration(unstratified(positive, groups, resamples, 0), positive, p, folds)


def test_slope_is_that_of_an_unpenalised_logistic_regression():
    positive, _, p = scored(600, slope=0.5, shift=0.3)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p[0])[:, None], positive)
    a, b = fit_slope(positive, logit(p[0]))
    assert (a, b) == pytest.approx((model.intercept_[0], model.coef_[0, 0]), abs=1e-4)


def test_the_intercept_makes_the_mean_probability_the_share_of_the_class():
    positive, _, p = scored(600, shift=0.8)
    a = fit_intercept(positive, logit(p[0]))
    assert expit(a + logit(p[0])).mean() == pytest.approx(positive.mean(), abs=1e-8)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, 0.0), (1.0, -0.7)])
def test_planted_miscalibration_lies_in_the_intervals(slope, shift):
    estimated = estimates(*scored(slope=slope, shift=shift))["slope"].interval()
    assert estimated.low < slope < estimated.high and estimated.high - estimated.low < 0.4
    if slope == 1:
        intercept = estimates(*scored(slope=slope, shift=shift))["intercept"].interval()
        assert intercept.low < shift < intercept.high


def test_one_step_has_the_spread_of_refits_on_resampled_groups():
    positive, groups, p = scored(800, slope=0.7, seeds=1)
    ours = estimates(positive, groups, p)
    rng, refits = np.random.default_rng(0), []
    order = np.arange(len(groups)).reshape(-1, 2)
    for _ in range(200):
        rows = order[rng.integers(0, len(order), len(order))].reshape(-1)
        refits.append(fit_slope(positive[rows], logit(p[0])[rows])[1])
    drawn = ours["slope"].drawn[:300, 0]
    assert drawn.std() == pytest.approx(np.std(refits), rel=0.15)


def test_an_intercept_is_as_uncertain_as_the_share_of_the_class():
    positive, groups, p = scored(4000, seeds=1)
    se = estimates(positive, groups, p, resamples=1000)["intercept"].interval().se
    assert se == pytest.approx((p * (1 - p)).sum() ** -0.5, rel=0.1)


def test_a_class_without_images_or_a_perfect_one_has_no_slope():
    positive, groups, p = scored(100)
    assert np.isnan(fit_slope(np.zeros(100), logit(p[0]))).all()
    separated = np.where(positive, 0.9, 0.1)[None]
    assert estimates(positive, groups, separated)["slope"].interval().mean is None


def test_folds_have_their_own_values():
    positive, groups, p = scored(900)
    folds = groups % 3
    by_fold = estimates(positive, groups, p, folds=folds)["slope"].by_fold
    expected = fit_slope(positive[folds == 1], logit(p[0])[folds == 1])[1]
    assert by_fold.shape == (3, 2) and by_fold[1, 0] == pytest.approx(expected)
