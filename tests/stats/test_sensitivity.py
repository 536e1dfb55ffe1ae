"""The other tests against scipy and the formulas of their papers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats as scipy_stats

from derm_core.stats.intervals import Difference, Interval, seed_interval, t_test_p
from derm_core.stats.sensitivity import corrected_resampled_t, sensitivity, tost_p

BY_FOLD = (0.03, 0.05, -0.01, 0.04, 0.02)


def test_without_shared_training_images_the_corrected_test_is_scipys_t_test():
    corrected = corrected_resampled_t(BY_FOLD, 0.0)
    expected = scipy_stats.ttest_1samp(BY_FOLD, 0)
    assert t_test_p(corrected) == pytest.approx(expected.pvalue)
    assert corrected.low == pytest.approx(expected.confidence_interval(0.95).low)


def test_the_corrected_variance_is_that_of_nadeau_and_bengio():
    corrected = corrected_resampled_t(BY_FOLD, 0.3)
    statistic = np.mean(BY_FOLD) / np.sqrt((1 / 5 + 0.3) * np.var(BY_FOLD, ddof=1))
    assert t_test_p(corrected) == pytest.approx(2 * scipy_stats.t.sf(abs(statistic), 4))


@pytest.mark.parametrize("shift", [-0.03, 0.0, 0.015])
def test_tost_is_the_larger_p_of_two_one_sided_t_tests(shift):
    values = np.random.default_rng(0).normal(shift, 0.02, 12)
    one_sided = [
        scipy_stats.ttest_1samp(values, limit, alternative=side).pvalue
        for limit, side in ((-0.02, "greater"), (0.02, "less"))
    ]
    assert tost_p(seed_interval(values), 0.02) == pytest.approx(max(one_sided))


def test_every_difference_that_varied_is_tested_and_folds_only_where_there_are_any():
    change = Interval(mean=0.026, se=0.01, df=8.0, low=0.003, high=0.049)
    row = Difference.of("vae", "imagenet", change, 0.02, metric="accuracy", by_fold=BY_FOLD)
    alone = dataclasses.replace(row, by_fold=None, margin=None)
    constant = Difference.of("vae", "imagenet", Interval(mean=0.1, se=0.0, df=1.0), 0.02)
    first, second = sensitivity([row, alone, constant], 0.25)
    assert first.corrected.mean == pytest.approx(np.mean(BY_FOLD)) and first.tost_p > 0.5
    assert second.corrected is second.corrected_p is second.tost_p is None
    assert sensitivity([row])[0].corrected is None


@pytest.mark.parametrize(("moment", "ratio"), [("final", 0.2), ("matched", 0.2), ("test", 0.3)])
def test_a_gap_is_corrected_for_the_set_that_it_is_measured_on(moment, ratio):
    change = Interval(mean=0.026, se=0.01, df=4.0, low=0.003, high=0.049)
    row = Difference.of("vae", "imagenet", change, kind="loss", at=moment, by_fold=BY_FOLD)
    (one,) = sensitivity([row], 0.3, 0.2)
    assert one.corrected == corrected_resampled_t(BY_FOLD, ratio)
