"""Holm by hand; sign flips against scipy's permutation test, McNemar against its binomial test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from derm_core.stats.intervals import Difference
from derm_core.stats.multiple_tests import holm, mcnemar, sign_flip, with_holm
from derm_core.stats.resampling import (
    make_design,
)
from tests.stats.predictions import C, draw_predictions


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_weighted_holm_by_hand():
    """0.01/2 first, of all the weight 3.5; then 0.03/1 of what is left."""
    adjusted = holm([0.03, 0.01, 0.2], [1, 2, 0.5])
    np.testing.assert_allclose(adjusted, [0.03 * 1.5, 0.005 * 3.5, 0.2])
    np.testing.assert_allclose(holm([0.03, 0.01, 0.2], [7, 7, 7]), holm([0.03, 0.01, 0.2]))


def test_sign_flips_equal_scipys_permutation_test():
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], [8, 8, 8])
    difference = rng.choice([-1.0, 0.0, 1.0], 24, p=[0.15, 0.4, 0.45])
    ours = sign_flip(make_design(labels, np.arange(24), C), difference)
    reference = scipy_stats.permutation_test(
        (difference, np.zeros(24)),
        lambda x, y: (x - y).mean(),
        permutation_type="samples",
        n_resamples=20_000,
        rng=rng,
    )
    assert ours == pytest.approx(reference.pvalue, abs=0.015)


def test_sign_flips_turn_whole_groups():
    """24 equal answers of one group are one observation: p cannot be small."""
    design = make_design(np.repeat([0, 1, 2], 8), np.zeros(24, int), C)
    assert sign_flip(design, np.ones(24)) > 0.9


def test_a_family_is_corrected_together_and_rows_without_p_stay_out():
    p_values = (0.01, None, 0.04)
    rows = with_holm([Difference(mean=0.0, a="x", b="y", p=p) for p in p_values])
    assert [row.p_holm for row in rows] == pytest.approx([0.02, None, 0.04])
    assert [row.p for row in rows] == list(p_values)


def test_mcnemar_is_scipys_binomial_test_on_one_image_a_group():
    labels, groups, p = draw_predictions(np.random.default_rng(4), groups=150)
    p = {"a": p, "b": p[::-1] ** 0.5 * np.roll(p, 1, 0)}
    row = mcnemar(labels, groups, p, [("a", "b")])[0]
    assert row.n == 150 and row.a_only + row.b_only <= 150
    assert row.p == pytest.approx(scipy_stats.binomtest(row.a_only, row.a_only + row.b_only).pvalue)
    alone = mcnemar(labels, np.arange(len(labels)), p, [("a", "b")])[0]
    right = {arm: p[arm].mean(0).argmax(1) == labels for arm in "ab"}
    assert alone.a_only == sum(x and not y for x, y in zip(right["a"], right["b"], strict=True))
    assert mcnemar(labels, groups, {"a": p["a"], "b": p["a"]}, [("a", "b")])[0].p == 1
