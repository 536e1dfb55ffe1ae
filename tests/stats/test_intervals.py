"""Intervals against scipy, slow loops, closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from derm_core.stats import intervals, metrics
from derm_core.stats.resampling import (
    bootstrap_weights,
    jackknife_weights,
    make_design,
    means_under,
    replicates,
)
from tests.stats.predictions import PRIOR, C, draw_predictions


def test_jackknife_splits_variance_over_classes_as_theory_does():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [12, 8, 6])
    p = rng.dirichlet(np.ones(C), (1, len(labels)))
    design = make_design(labels, np.arange(len(labels)), C)
    left_out, strata = jackknife_weights(design, rng)
    boot = bootstrap_weights(design, 20_000, rng)
    parts = intervals.group_components(
        replicates(design, p, PRIOR, boot)["balanced_accuracy"],
        replicates(design, p, PRIOR, left_out)["balanced_accuracy"],
        strata,
    )
    hit = (metrics.decide(p[0], PRIOR) == labels).astype(float)
    assert [df for _, df in parts] == [11, 7, 5]
    for c, (variance, _) in enumerate(parts):
        assert variance == pytest.approx(
            hit[labels == c].var(ddof=1) / (labels == c).sum() / C**2, rel=0.1
        )


def test_what_the_seeds_share_is_the_covariance_of_their_group_means():
    """One image a group and one class: Cov(mean of seed 0, mean of seed 1) = their covariance over images / n."""
    rng = np.random.default_rng(20)
    values = rng.normal(size=60)[:, None] + rng.normal(size=(60, 3))
    design = make_design(np.zeros(60, int), np.arange(60), 1)
    boot = means_under(design, values, bootstrap_weights(design, 40_000, rng))
    left_out, strata = jackknife_weights(design, rng)
    ((shared, df),) = intervals.group_components(
        boot, means_under(design, values, left_out), strata
    )
    pairs = [np.cov(values[:, i], values[:, j])[0, 1] / 60 for i, j in ((0, 1), (0, 2), (1, 2))]
    assert shared == pytest.approx(np.mean(pairs), rel=0.05) and df == 59
    ((alone, _),) = intervals.group_components(
        boot[:, 0], means_under(design, values[:, :1], left_out)[:, 0], strata
    )
    assert alone == pytest.approx(values[:, 0].var(ddof=1) / 60, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed_spread", "shared", "own"),
    [(0.0, 0.0, 1.0), (0.1, 0.0, 1.0), (0.05, 0.5, 1.0), (0.02, 1.0, 0.3)],
)
def test_no_part_of_the_noise_is_counted_twice(seed_spread, shared, own):
    """Truth 0; seeds, groups and each seed's own errors on the groups vary: 5 % of 1,000 intervals leave 0 out.

    In the first two the arms are equal on every group but for their seeds (A/A). Limits ± 3
    binomial standard errors; where what is shared is 0, cutting its estimate off at 0 may make
    intervals a little too wide.
    """
    rng, repeats, seeds, groups = np.random.default_rng(21), 1000, 5, 60
    design = make_design(np.zeros(groups, int), np.arange(groups), 1)
    weights = bootstrap_weights(design, 1000, rng)
    left_out, strata = jackknife_weights(design, rng)
    everything = np.concatenate([weights, left_out])
    missed = 0
    for _ in range(repeats):
        values = (
            rng.normal(0, seed_spread, seeds)
            + rng.normal(0, shared, (groups, 1))
            + rng.normal(0, own, (groups, seeds))
        )
        drawn = means_under(design, values, everything)
        result = intervals.interval(
            values.mean(0), intervals.group_components(drawn[:1000], drawn[1000:], strata), 100
        )
        missed += not result.low <= 0 <= result.high
    reach = 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert 0.05 - reach - 0.01 * (shared == 0) <= missed / repeats <= 0.05 + reach


def test_with_the_seeds_alone_the_interval_is_scipys_t_interval():
    values = np.array([0.5, 0.6, 0.55, 0.65])
    result = intervals.interval(values, [(0.0, 1.0)], 100)
    expected = scipy_stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy_stats.sem(values))
    assert (result.low, result.high) == pytest.approx(expected)


def test_two_variances_join_as_in_welchs_test():
    """Satterthwaite: the interval of a difference of two means is scipy's unequal-variance one."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(0, 1, 7), rng.normal(0, 3, 5)
    result = intervals.interval(a - b.mean(), [(b.var(ddof=1) / 5, 4.0)], 100)
    expected = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_wilson_equals_scipy():
    expected = scipy_stats.binomtest(7, 12).proportion_ci(method="wilson")
    assert intervals.wilson(7 / 12, 12) == pytest.approx((expected.low, expected.high))


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """300 sets of 60 groups with answers alike within a group; binomial limits ± 3 standard errors."""
    rng = np.random.default_rng(14)
    truth, covered = [], []
    for _ in range(300):
        labels, groups, p = draw_predictions(rng, groups=60, seeds=1)
        design = make_design(labels, groups, C)
        if design.sizes.min() < 2:
            continue
        weights = bootstrap_weights(design, 200, rng)
        left_out, strata = jackknife_weights(design, rng)
        values = replicates(design, p, PRIOR, np.concatenate([weights, left_out]))[
            "balanced_accuracy"
        ]
        mean = metrics.all_metrics(labels, p, PRIOR)["balanced_accuracy"]
        result = intervals.interval(
            mean, intervals.group_components(values[:200], values[200:], strata), 60
        )
        truth.append(mean.mean())
        covered.append((result.low, result.high))
    low, high = np.array(covered).T
    share = ((low <= np.mean(truth)) & (np.mean(truth) <= high)).mean()
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300) <= share


def test_t_test_p_is_two_sided_students_and_none_without_a_standard_error():
    mean, se, df = 0.3, 0.1, 8.0
    expected = 2 * scipy_stats.t(df).sf(mean / se)
    assert intervals.t_test_p(intervals.Interval(mean=mean, se=se, df=df)) == pytest.approx(
        expected
    )
    assert intervals.t_test_p(intervals.Interval(mean=0.0, se=se, df=df)) == 1
    assert intervals.t_test_p(intervals.Interval(mean=mean, se=0.0, df=df)) is None
    assert intervals.t_test_p(intervals.Interval(mean=None)) is None


def test_seed_interval_is_scipys_t_interval():
    values = np.array([0.1, 0.14, 0.2, 0.11])
    result = intervals.seed_interval(values)
    low, high = scipy_stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy_stats.sem(values))
    assert (result.low, result.high) == pytest.approx((low, high))
    assert intervals.seed_interval(values[:1]).low is None


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.1, 0.2, 1), (-2, -1, -1), (-1, 1, 0), (None, None, 0)]
)
def test_sign_is_that_of_an_interval_that_excludes_0(low, high, sign):
    assert intervals.Interval(mean=0.0, low=low, high=high).sign == sign


def test_a_component_of_folds_is_what_groups_and_seeds_do_not_explain():
    rng = np.random.default_rng(0)
    by_fold, by_seed = rng.normal(size=(5, 3)), rng.normal(0, 0.1, 3)
    whole = by_fold.mean(1).var(ddof=1) / 5
    known = by_seed.var(ddof=1) / 3 + 0.01
    ((variance, df),) = intervals.fold_component(by_fold, [intervals.Component(0.01, 9.0)], by_seed)
    assert variance == pytest.approx(whole - known)
    assert variance**2 / df == pytest.approx(whole**2 / 4)  # as uncertain as the whole
    assert intervals.fold_component(by_fold, [intervals.Component(whole, 9.0)], by_seed) == []


@pytest.mark.parametrize("values", [np.full(4, 0.1), np.full(4, 1 / 3)])
def test_where_nothing_varies_there_is_no_test_and_no_claim(values):
    for change in (
        intervals.seed_interval(values),
        intervals.interval(values, [intervals.Component(0.0, 1.0)], 100),
    ):
        row = intervals.Difference.of("vae", "imagenet", change, margin=1.0)
        assert row.p is None and row.sign == 0 and row.method == "constant"
        assert row.detectable is None and not row.equivalent


@pytest.mark.parametrize(
    ("metric", "equivalent"), [("balanced_accuracy", True), ("macro_auroc", False), ("ece", False)]
)
def test_equivalence_is_asked_at_the_margin_of_the_metric(metric, equivalent):
    change = intervals.Interval(mean=0.0, low=-0.015, high=0.015, se=0.007, df=20.0)
    row = intervals.Difference.of("vae", "imagenet", change, intervals.MARGINS[metric])
    assert row.equivalent == equivalent
    assert intervals.Difference.of("vae", "imagenet", change).equivalent is None


def test_the_detectable_difference_is_found_in_80_percent_of_studies():
    rng, df, se = np.random.default_rng(3), 12, 0.02
    change = intervals.Interval(mean=0.0, se=se, df=float(df))
    true = intervals.detectable(change)
    means = rng.normal(true, se, 20_000)
    spread = se * np.sqrt(rng.chisquare(df, 20_000) / df)
    shown = np.abs(means) / spread > scipy_stats.t.ppf(0.975, df)
    assert shown.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("fields", "claimed"),
    [
        ({"p": 0.01, "p_holm": 0.04}, 1),
        ({"p": 0.01, "p_holm": 0.06}, 0),
        ({"p": 0.01}, 0),
        ({"p": 0.01, "primary": True}, 1),
        ({"p": 0.2, "primary": True, "low": -0.01}, 0),
    ],
)
def test_a_difference_is_claimed_after_the_correction_alone(fields, claimed):
    ends = {"mean": 0.05, "low": 0.01, "high": 0.09}
    assert intervals.Difference(a="a", b="b", **(ends | fields)).claimed == claimed
    turned = {"mean": -0.05, "low": -0.09, "high": 0.01 if fields.get("low") else -0.01}
    rest = {name: value for name, value in fields.items() if name != "low"}
    assert intervals.Difference(a="a", b="b", **turned, **rest).claimed == -claimed
