"""Intervals and tests against scipy, slow loops, closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from derm_core.stats import gap_intervals, intervals, metrics
from derm_core.stats.resampling import (
    bootstrap_weights,
    jackknife_weights,
    make_design,
    means_under,
    replicates,
)

C = 3
NAMES = ("a", "b", "c")
PRIOR = np.log(np.array([0.6, 0.3, 0.1]))


def drawn(rng: np.random.Generator, groups: int = 120, seeds: int = 3, skill: float = 1.0):
    """labels (N,), groups (N,), probabilities (S, N, C): one to three images a group, answers alike within it."""
    of = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
    labels = rng.choice(C, groups, p=[0.6, 0.3, 0.1])[of]
    logits = rng.normal(size=(seeds, len(of), C)) * 0.5 + rng.normal(size=(groups, C))[of]
    odds = np.exp(logits + skill * np.eye(C)[labels])
    return labels, of, odds / odds.sum(-1, keepdims=True)


def test_replicates_equal_metrics_of_sets_that_are_really_resampled():
    labels, groups, p = drawn(np.random.default_rng(0))
    design = make_design(labels, groups, C)
    weights = np.random.default_rng(1).integers(0, 3, (4, len(design.stratum))).astype(np.float32)
    ours = replicates(design, p, PRIOR, weights)
    for r, row in enumerate(weights):
        chosen = np.repeat(np.arange(len(labels)), row[design.group].astype(int))
        real = metrics.test_metrics(labels[chosen], p[:, chosen], PRIOR)
        for name in ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier"):
            assert ours[name][r] == pytest.approx(real[name], rel=1e-4), name


def test_unit_weights_give_the_metrics_themselves():
    labels, groups, p = drawn(np.random.default_rng(2))
    design = make_design(labels, groups, C)
    ours = replicates(design, p, PRIOR, np.ones((1, len(design.stratum)), np.float32))
    for name, value in metrics.test_metrics(labels, p, PRIOR).items():
        assert ours[name][0] == pytest.approx(value, rel=1e-5), name
    assert ours["macro_auroc"][0] == pytest.approx(
        [np.mean([roc_auc_score(labels == c, one[:, c]) for c in range(C)]) for one in p]
    )


def test_groups_are_resampled_whole_and_within_their_class():
    labels, groups, _ = drawn(np.random.default_rng(3))
    design = make_design(labels, groups, C)
    weights = bootstrap_weights(design, 50, np.random.default_rng(0))
    assert weights.shape == (50, len(np.unique(groups)))
    for c in range(C):
        members = design.stratum == c
        np.testing.assert_allclose(weights[:, members].sum(1), members.sum(), rtol=1e-5)


def test_a_mixed_group_belongs_to_its_rarest_class():
    design = make_design(np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 7, 5, 8, 8]), C)
    assert design.stratum.tolist() == [1, 0, 2]


def test_bootstrap_variance_of_a_mean_is_the_unbiased_textbook_one():
    """One image a group: variance of recall of class c is s²/n_c, with n_c − 1 in s²."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [12, 8, 6])
    p = rng.dirichlet(np.ones(C), (1, len(labels)))
    design = make_design(labels, np.arange(len(labels)), C)
    weights = bootstrap_weights(design, 40_000, rng)
    hit = (metrics.decide(np.log(p[0]), PRIOR) == labels).astype(float)
    expected = sum(hit[labels == c].var(ddof=1) / (labels == c).sum() for c in range(C)) / C**2
    assert replicates(design, p, PRIOR, weights)["balanced_accuracy"].var() == pytest.approx(
        expected, rel=0.05
    )


def test_jackknife_splits_variance_over_classes_as_theory_does():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [12, 8, 6])
    p = rng.dirichlet(np.ones(C), (1, len(labels)))
    design = make_design(labels, np.arange(len(labels)), C)
    left_out, strata = jackknife_weights(design, rng)
    boot = bootstrap_weights(design, 20_000, rng)
    parts = intervals.components(
        replicates(design, p, PRIOR, boot)["balanced_accuracy"],
        replicates(design, p, PRIOR, left_out)["balanced_accuracy"],
        strata,
    )
    hit = (metrics.decide(np.log(p[0]), PRIOR) == labels).astype(float)
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
    ((shared, df),) = intervals.components(boot, means_under(design, values, left_out), strata)
    pairs = [np.cov(values[:, i], values[:, j])[0, 1] / 60 for i, j in ((0, 1), (0, 2), (1, 2))]
    assert shared == pytest.approx(np.mean(pairs), rel=0.05) and df == 59
    ((alone, _),) = intervals.components(
        boot[:, 0], means_under(design, values[:, :1], left_out)[:, 0], strata
    )
    assert alone == pytest.approx(values[:, 0].var(ddof=1) / 60, rel=0.05)


@pytest.mark.parametrize(
    ("seed_spread", "shared", "own"),
    [(0.0, 0.0, 1.0), (0.1, 0.0, 1.0), (0.05, 0.5, 1.0), (0.02, 1.0, 0.3)],
)
def test_no_part_of_the_noise_is_counted_twice(seed_spread, shared, own):
    """Truth 0; seeds, groups and each seed's own errors on the groups vary: 5 % of 1,000 intervals leave 0 out.

    In the first two the arms are equal on every group but for their seeds (A/A). Limits ± 3 binomial standard
    errors; where what is shared is 0, cutting its estimate off at 0 may make intervals a little too wide.
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
        found = intervals.interval(
            values.mean(0), intervals.components(drawn[:1000], drawn[1000:], strata), 100
        )
        missed += not found["low"] <= 0 <= found["high"]
    reach = 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert 0.05 - reach - 0.01 * (shared == 0) <= missed / repeats <= 0.05 + reach


def test_with_the_seeds_alone_the_interval_is_scipys_t_interval():
    values = np.array([0.5, 0.6, 0.55, 0.65])
    found = intervals.interval(values, [(0.0, 1.0)], 100)
    expected = scipy_stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy_stats.sem(values))
    assert (found["low"], found["high"]) == pytest.approx(expected)


def test_two_variances_join_as_in_welchs_test():
    """Satterthwaite: the interval of a difference of two means is scipy's unequal-variance one."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(0, 1, 7), rng.normal(0, 3, 5)
    found = intervals.interval(a - b.mean(), [(b.var(ddof=1) / 5, 4.0)], 100)
    expected = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_wilson_equals_scipy():
    expected = scipy_stats.binomtest(7, 12).proportion_ci(method="wilson")
    assert intervals.wilson(7 / 12, 12) == pytest.approx((expected.low, expected.high))


def test_holm_by_hand():
    assert intervals.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_sign_flips_equal_scipys_permutation_test():
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], [8, 8, 8])
    difference = rng.choice([-1.0, 0.0, 1.0], 24, p=[0.15, 0.4, 0.45])
    ours = intervals.sign_flip(make_design(labels, np.arange(24), C), difference)
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
    assert intervals.sign_flip(design, np.ones(24)) > 0.9


def test_an_arm_against_itself_shows_nothing_and_a_much_better_one_is_found():
    rng = np.random.default_rng(8)
    labels, groups, p = drawn(rng)
    better = p**0.2 * np.exp(2 * np.eye(C)[labels])
    better /= better.sum(-1, keepdims=True)
    found = intervals.evaluate(
        labels, groups, {"vae": p, "imagenet": better, "copy": p}, PRIOR, NAMES, resamples=400
    )
    rows = {(row["a"], row["b"], row["metric"]): row for row in found["differences"]}
    primary = rows["vae", "imagenet", "balanced_accuracy"]
    assert primary["primary"] and primary["high"] < 0 and primary["p"] < 0.001
    same = rows["vae", "copy", "balanced_accuracy"]
    assert same["mean"] == 0 and same["p"] == 1 and same["p_holm"] == 1 and same["equivalent"]


def test_primary_difference_has_its_named_direction_whatever_the_order_of_arms():
    labels, groups, p = drawn(np.random.default_rng(9), groups=40)
    found = intervals.evaluate(
        labels, groups, {"imagenet": p, "vae": p[::-1]}, PRIOR, NAMES, resamples=50
    )
    assert {(row["a"], row["b"]) for row in found["differences"]} == {("vae", "imagenet")}


def test_another_pair_stands_in_and_is_not_called_primary():
    labels, groups, p = drawn(np.random.default_rng(9), groups=40)
    other = p[:, :, ::-1] / p.sum(-1, keepdims=True)
    found = intervals.evaluate(
        labels,
        groups,
        {"vae": p, "random": other},
        PRIOR,
        NAMES,
        resamples=50,
        primary=("vae", "random"),
    )
    rows = {row["metric"]: row for row in found["differences"]}
    assert not any(row["primary"] for row in rows.values())
    assert [metric for metric, row in rows.items() if row["stand_in"]] == ["balanced_accuracy"]
    assert (
        rows["balanced_accuracy"]["p_holm"]
        >= rows["balanced_accuracy"]["p"]
        == pytest.approx(
            intervals.sign_flip(
                make_design(labels, groups, C),
                *[
                    sum(
                        sign * (metrics.decide(np.log(q), PRIOR) == labels).mean(0)
                        for sign, q in ((1, p), (-1, other))
                    )
                ],
            )
        )
    )
    named = intervals.evaluate(
        labels, groups, {"vae": p, "imagenet": other}, PRIOR, NAMES, resamples=50
    )["differences"]
    assert sum(row["primary"] for row in named) == 1 and not any(row["stand_in"] for row in named)
    assert all((row["p_holm"] is None) == row["primary"] for row in named)


def test_few_groups_get_wilson_and_a_caution_and_absent_classes_are_named():
    labels, groups, p = drawn(np.random.default_rng(10), groups=40)
    keep = labels != 1
    found = intervals.evaluate(
        labels[keep], groups[keep], {"vae": p[:1, keep]}, PRIOR, NAMES, resamples=50, grouped=False
    )
    text = " ".join(found["cautions"])
    rare, absent = found["per_class"]["vae"][2], found["per_class"]["vae"][1]
    assert rare["groups"] < 20 and rare["recall"]["method"] == "wilson"
    assert absent["n"] == 0 and absent["recall"]["mean"] is None
    for words in ("Fewer than 20", "No test images of b", "no group ids", "One seed"):
        assert words in text


def test_majority_line_has_chance_balanced_accuracy_and_the_largest_share():
    labels, groups, p = drawn(np.random.default_rng(11))
    majority = intervals.evaluate(labels, groups, {"vae": p}, PRIOR, NAMES, resamples=50)[
        "majority"
    ]
    assert majority["balanced_accuracy"]["mean"] == pytest.approx(1 / C)
    assert majority["accuracy"]["mean"] == pytest.approx((labels == 0).mean())
    assert majority["macro_auroc"]["mean"] == pytest.approx(0.5)


def test_gap_interval_adds_the_variances_of_both_sets():
    train, other = (drawn(np.random.default_rng(k)) for k in (12, 13))
    sets = {
        name: gap_intervals.draw(labels, groups, {"a": p, "b": p}, "cross_entropy", name=name)
        for name, (labels, groups, p) in (("train", train), ("val", other))
    }
    found = gap_intervals.gap_interval(sets["train"]["a"], sets["val"]["a"])["loss"]
    losses = [metrics.log_losses(labels, p) for labels, _, p in (train, other)]
    by_seed = losses[1].mean(-1) - losses[0].mean(-1)
    assert found["mean"] == pytest.approx(by_seed.mean())
    assert found["se"] ** 2 > by_seed.var(ddof=1) / 3
    same = gap_intervals.gap_interval(
        *(gap_intervals.less(of["a"], of["b"]) for of in sets.values())
    )
    assert same["loss"]["low"] == same["loss"]["high"] == 0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """300 sets of 60 groups with answers alike within a group; binomial limits ± 3 standard errors."""
    rng = np.random.default_rng(14)
    truth, covered = [], []
    for _ in range(300):
        labels, groups, p = drawn(rng, groups=60, seeds=1)
        design = make_design(labels, groups, C)
        if design.sizes.min() < 2:
            continue
        weights = bootstrap_weights(design, 200, rng)
        left_out, strata = jackknife_weights(design, rng)
        values = replicates(design, p, PRIOR, np.concatenate([weights, left_out]))[
            "balanced_accuracy"
        ]
        mean = metrics.test_metrics(labels, p, PRIOR)["balanced_accuracy"]
        found = intervals.interval(
            mean, intervals.components(values[:200], values[200:], strata), 60
        )
        truth.append(mean.mean())
        covered.append((found["low"], found["high"]))
    low, high = np.array(covered).T
    share = ((low <= np.mean(truth)) & (np.mean(truth) <= high)).mean()
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300) <= share
