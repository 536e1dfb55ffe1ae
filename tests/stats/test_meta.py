"""Pooling against published numbers of the BCG vaccine trials, and against other formulas."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from derm_core.errors import DataError
from derm_core.stats.meta import random_effects

# Colditz et al. (1994): vaccinated ill and not, controls ill and not.
BCG = np.array(
    [
        (4, 119, 11, 128),
        (6, 300, 29, 274),
        (3, 228, 11, 209),
        (62, 13536, 248, 12619),
        (33, 5036, 47, 5761),
        (180, 1361, 372, 1079),
        (8, 2537, 10, 619),
        (505, 87886, 499, 87892),
        (29, 7470, 45, 7232),
        (17, 1699, 65, 1600),
        (186, 50448, 141, 27197),
        (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ],
    float,
)


def bcg() -> tuple[np.ndarray, np.ndarray]:
    """Log relative risks and their standard errors."""
    a, b, c, d = BCG.T
    effects = np.log(a / (a + b) / (c / (c + d)))
    return effects, np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


def test_the_bcg_trials_give_the_published_numbers():
    """Viechtbauer (2010), Journal of Statistical Software 36 (3), and the metafor manual (REML)."""
    pooled = random_effects(*bcg())
    assert pooled.together.mean == pytest.approx(-0.7145, abs=5e-5)
    assert pooled.tau**2 == pytest.approx(0.3132, abs=5e-5)
    assert pooled.i2 == pytest.approx(0.9222, abs=5e-5)
    assert pooled.q == pytest.approx(152.2330, abs=5e-4) and pooled.q_p < 1e-4


def restricted_likelihood(tau2, y, variances):
    weights = 1 / (variances + tau2)
    mean = (weights * y).sum() / weights.sum()
    log_determinant = np.log(variances + tau2).sum() + np.log(weights.sum())
    return -0.5 * (log_determinant + (weights * (y - mean) ** 2).sum())


@pytest.mark.parametrize("sets", [2, 3, 6])
def test_tau_is_where_the_restricted_likelihood_is_highest(sets):
    rng = np.random.default_rng(sets)
    errors = rng.uniform(0.01, 0.03, sets)
    y = rng.normal(0.02, 0.05, sets)
    best = minimize_scalar(
        lambda tau2: -restricted_likelihood(tau2, y, errors**2), bounds=(0, 0.1), method="bounded"
    )
    assert random_effects(y, errors).tau ** 2 == pytest.approx(best.x, abs=2e-5)


def test_equal_errors_give_the_t_interval_of_the_means():
    """Hartung and Knapp's interval is then Student's, whatever tau² is."""
    y = np.array([0.01, 0.06, -0.03, 0.09])
    pooled = random_effects(y, np.full(4, 0.01))
    reach = student.ppf(0.975, 3) * y.std(ddof=1) / 2
    assert pooled.together.mean == pytest.approx(y.mean())
    assert pooled.together.high - pooled.together.mean == pytest.approx(reach)
    assert pooled.weights == pytest.approx([0.25] * 4)


def test_sets_that_agree_too_well_do_not_narrow_the_interval():
    y, errors = [0.030, 0.031, 0.029], np.array([0.02, 0.02, 0.02])
    pooled = random_effects(y, errors)
    assert pooled.tau == 0 and pooled.i2 == 0
    assert pooled.together.se == pytest.approx(0.02 / np.sqrt(3))


def test_two_sets_are_pooled_without_a_prediction_and_three_with_one():
    assert random_effects([0.1, 0.2], [0.02, 0.02]).prediction is None
    low, high = random_effects([0.1, 0.2, 0.15], [0.02, 0.02, 0.02]).prediction
    pooled = random_effects([0.1, 0.2, 0.15], [0.02, 0.02, 0.02])
    reach = student.ppf(0.975, 1) * np.hypot(pooled.tau, pooled.together.se)
    assert (low, high) == pytest.approx((0.15 - reach, 0.15 + reach))


def test_the_interval_holds_the_mean_in_95_of_100_draws():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(600):
        errors = rng.uniform(0.01, 0.03, 4)
        y = rng.normal(0.05, np.hypot(0.03, errors))
        together = random_effects(y, errors).together
        hits += together.low <= 0.05 <= together.high
    assert 0.93 <= hits / 600 <= 0.985


@pytest.mark.parametrize("errors", [[0.1], [0.1, 0.0]])
def test_one_set_or_none_with_an_error_is_refused(errors):
    with pytest.raises(DataError):
        random_effects([0.1] * len(errors), errors)
