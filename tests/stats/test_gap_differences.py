"""Every pair of arms: gap differences against scipy and a slow loop, McNemar against scipy, one family for Holm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from derm_core.stats import gaps, metrics
from derm_core.stats.multiple_tests import holm
from derm_core.stats.paired import arm_pairs
from tests.stats.predictions import draw_predictions

C = 3


def made_set(seed: int, arms: int = 3, groups: int = 80, seeds: int = 4):
    """labels, groups, {arm: (S, n, C)} with answers alike within a group; arms a, b, c."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
    labels = rng.choice(C, groups, p=[0.5, 0.3, 0.2])[of]
    odds = {
        arm: np.exp(
            rng.normal(size=(groups, C))[of]
            + rng.normal(0, 0.4, (seeds, len(of), C))
            + np.eye(C)[labels]
        )
        for arm in "abc"[:arms]
    }
    return labels, of, {arm: o / o.sum(-1, keepdims=True) for arm, o in odds.items()}


def made_curves(seed: int, seeds: int = 4, arms: str = "abc"):
    rng = np.random.default_rng(seed)
    epoch = np.array([0, 0.3, 1, 2, 3, 4, 5.0])
    rise = 1 - np.exp(-epoch[:, None] / 2)
    return {
        arm: {
            "epoch": epoch,
            "train_accuracy": 0.3 + 0.6 * rise + rng.normal(0, 0.01, (7, seeds)),
            "val_accuracy": 0.3 + (0.3 + 0.1 * k) * rise + rng.normal(0, 0.01, (7, seeds)),
            "train_loss": 1 - 0.6 * rise + rng.normal(0, 0.01, (7, seeds)),
            "val_loss": 1 - 0.4 * rise + rng.normal(0, 0.01, (7, seeds)),
        }
        for k, arm in enumerate(arms)
    }


@pytest.fixture(scope="module")
def rows():
    curves, sets = (
        made_curves(0),
        {name: made_set(k) for k, name in enumerate(("train", "val", "test"))},
    )
    drawn = {
        name: gaps.final_estimates(*of, "cross_entropy", split=name, resamples=1000)
        for name, of in sets.items()
    }
    chosen = arm_pairs(["a", "b", "c"], ("c", "a"))
    at_level = gaps.matched_pairs(curves, chosen)
    result = gaps.gap_differences(curves, drawn, at_level)
    return (
        curves,
        sets,
        at_level,
        {(row.a, row.b, row.kind, row.at): row for row in result},
    )


def test_every_pair_kind_and_moment_has_its_row(rows):
    result = rows[3]
    assert {key[:2] for key in result} == {("c", "a"), ("a", "b"), ("b", "c")} and len(
        result
    ) == 3 * 2 * 5
    assert not any(row.primary for row in result.values())


def test_differences_over_seeds_are_scipys_one_sample_t_test(rows):
    curves, _, at_level, result = rows
    gap = {arm: curves[arm]["val_loss"] - curves[arm]["train_loss"] for arm in "ab"}
    best = {arm: gap[arm][curves[arm]["val_loss"].argmin(0), np.arange(4)] for arm in "ab"}
    level = next(row for row in at_level if (row.a, row.b) == ("a", "b")).arms
    values = {
        "best": best["a"] - best["b"],
        "matched": np.subtract(*(level[arm].loss.by_seed for arm in "ab")),
        "area": [
            sum(
                (gap["a"] - gap["b"])[t : t + 2, s].mean() * np.diff(curves["a"]["epoch"])[t]
                for t in range(6)
            )
            / 5
            for s in range(4)
        ],
    }
    for at, by_seed in values.items():
        row, test = result["a", "b", "loss", at], scipy_stats.ttest_1samp(by_seed, 0)
        ends = test.confidence_interval(0.95)
        assert row.mean == pytest.approx(np.mean(by_seed)) and row.p == pytest.approx(test.pvalue)
        assert (row.low, row.high) == pytest.approx((ends.low, ends.high)) and row.method == "seeds"


@pytest.mark.slow
def test_final_and_test_differences_equal_a_loop_that_draws_the_groups(rows):
    """Each set's groups drawn anew within class, image lists put together: the same mean and about the same spread."""
    _, sets, _, result = rows
    rng, drawn = np.random.default_rng(7), []
    change = {}
    for name in ("train", "test"):
        labels, groups, p = sets[name]
        change[name] = metrics.log_losses(labels, p["a"]).mean(0) - metrics.log_losses(
            labels, p["b"]
        ).mean(0)
    for _ in range(1500):
        means = {}
        for name in ("train", "test"):
            labels, groups, _ = sets[name]
            members = {c: np.unique(groups[labels == c]) for c in range(C)}
            chosen = np.concatenate([rng.choice(m, len(m)) for m in members.values()])
            images = np.concatenate([np.flatnonzero(groups == g) for g in chosen])
            means[name] = change[name][images].mean()
        drawn.append(means["test"] - means["train"])
    row = result["a", "b", "loss", "test"]
    assert row.mean == pytest.approx(change["test"].mean() - change["train"].mean())
    seeds = (
        np.var(
            [
                metrics.log_losses(sets["test"][0], sets["test"][2]["a"][s]).mean()
                - metrics.log_losses(sets["test"][0], sets["test"][2]["b"][s]).mean()
                - metrics.log_losses(sets["train"][0], sets["train"][2]["a"][s]).mean()
                + metrics.log_losses(sets["train"][0], sets["train"][2]["b"][s]).mean()
                for s in range(4)
            ],
            ddof=1,
        )
        / 4
    )
    assert np.sqrt(max(row.se**2 - seeds, 0)) == pytest.approx(np.std(drawn), rel=0.15)


def test_holm_runs_over_the_gaps_alone(rows):
    tested = [row for row in rows[3].values() if row.p is not None]
    assert [row.p_holm for row in tested] == pytest.approx(holm([row.p for row in tested]))
    assert len(tested) == 30


def test_a_pair_that_is_not_comparable_has_a_row_without_numbers():
    curves, sets = (
        made_curves(1),
        {name: made_set(k) for k, name in enumerate(("train", "val", "test"))},
    )
    curves["b"]["train_accuracy"] = curves["b"]["train_accuracy"] * 0 + 0.2
    drawn = {
        name: gaps.final_estimates(*of, "brier", split=name, resamples=50)
        for name, of in sets.items()
    }
    chosen = [("a", "b")]
    result = gaps.gap_differences(curves, drawn, gaps.matched_pairs(curves, chosen))
    at_level = [row for row in result if row.at == "matched"]
    assert len(at_level) == 2 and all(
        row.mean is row.p is row.p_holm is None and row.method == "none" for row in at_level
    )


def test_one_seed_has_differences_without_intervals_where_only_seeds_could_give_them():
    curves, sets = (
        made_curves(1, seeds=1),
        {name: made_set(k, seeds=1) for k, name in enumerate(("train", "val", "test"))},
    )
    drawn = {
        name: gaps.final_estimates(*of, "cross_entropy", split=name, resamples=50)
        for name, of in sets.items()
    }
    result = {
        (row.kind, row.at): row
        for row in gaps.gap_differences(curves, drawn, gaps.matched_pairs(curves, [("a", "b")]))
    }
    assert (
        result["loss", "area"].mean is not None
        and result["loss", "area"].low is result["loss", "area"].p is None
    )
    assert result["loss", "final"].low < result["loss", "final"].high


def test_gap_intervals_of_all_losses_are_means_of_that_loss():
    labels, groups, p = made_set(3)
    for name, losses in metrics.LOSSES.items():
        drawn = gaps.final_estimates(labels, groups, p, name, split="x", resamples=20)
        assert drawn["b"]["loss"].by_seed == pytest.approx(losses(labels, p["b"]).mean(-1))
        assert drawn["b"]["accuracy"].by_seed == pytest.approx(
            (p["b"].argmax(-1) == labels).mean(-1)
        )


def test_area_of_a_constant_gap_is_that_gap_and_late_evaluations_count_by_their_time():
    epoch = np.array([0, 0.1, 0.2, 4])
    assert gaps.area(epoch, np.full((4, 2), 0.3)) == pytest.approx([0.3, 0.3])
    assert gaps.area(epoch, np.array([[0], [0], [0], [1.0]])) == pytest.approx(0.5 * 3.8 / 4)


def test_gap_interval_adds_the_variances_of_both_sets():
    train, other = (draw_predictions(np.random.default_rng(k)) for k in (12, 13))
    sets = {
        name: gaps.final_estimates(labels, groups, {"a": p, "b": p}, "cross_entropy", split=name)
        for name, (labels, groups, p) in (("train", train), ("val", other))
    }
    result = gaps.gap_interval(sets["train"]["a"], sets["val"]["a"])["loss"]
    losses = [metrics.log_losses(labels, p) for labels, _, p in (train, other)]
    by_seed = losses[1].mean(-1) - losses[0].mean(-1)
    assert result.mean == pytest.approx(by_seed.mean())
    assert result.se**2 > by_seed.var(ddof=1) / 3
    same = gaps.gap_interval(
        *({kind: of["a"][kind] - of["b"][kind] for kind in gaps.GAPS} for of in sets.values())
    )
    assert same["loss"].low == same["loss"].high == 0
