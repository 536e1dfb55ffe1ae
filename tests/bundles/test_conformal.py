"""Prediction sets equal a naive loop's, cover what they promise, and calibrate on groups of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, binom

from derm_core.bundles import conformal
from derm_core.bundles.card_parts import ConformalThresholds


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def draws(rng: np.random.Generator, n: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is wrong about its own certainty, and labels."""
    true = softmax(rng.normal(0, 1.5, (n, classes)))
    labels = (true.cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(2.5 * np.log(true)), labels


def naive_set(p: list[float], q: float) -> set[int]:
    """From the most likely class downwards until the mass so far is above q."""
    chosen, mass = set(), 0.0
    for c in sorted(range(len(p)), key=lambda i: (-p[i], i)):
        if chosen and mass > q + 1e-9:
            break
        chosen.add(c)
        mass += p[c]
    return chosen


def test_sets_are_those_of_a_naive_loop():
    p, _ = draws(np.random.default_rng(0), 300)
    p[0] = 0.2  # ties
    for q in (0.0, 0.3, 0.8, 0.97, 1.0):
        sets = conformal.prediction_sets(p, q)
        naive = [naive_set(list(row), q) for row in p]
        assert [set(np.flatnonzero(row)) for row in sets] == naive
        assert [set(conformal.prediction_set(row, q)) for row in p] == naive


@pytest.mark.parametrize(
    ("n", "coverage", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (99, 0.9, 90), (100, 0.95, 96), (39, 0.8, 32)],
)
def test_the_threshold_is_the_ceil_n_plus_1_th_smallest(n, coverage, rank):
    values = np.random.default_rng(n).permutation(n) / 1000
    assert conformal.conformal_quantile(values, coverage) == (rank - 1) / 1000


def test_too_few_calibration_groups_give_every_class():
    p, labels = draws(np.random.default_rng(1), 8)
    assert conformal.fit(p, labels).coverages == {
        "0.80": pytest.approx(
            conformal.conformal_quantile(conformal.scores(p)[np.arange(8), labels], 0.8)
        ),
        "0.90": 1.0,
        "0.95": 1.0,
    }
    assert conformal.prediction_sets(p, 1.0).all()


def test_coverage_over_many_draws_is_within_binomial_limits():
    """150 calibration and one new image, 2,000 times: coverage at least as promised, and hardly above."""
    rng, repeats, n = np.random.default_rng(7), 2000, 150
    hits = dict.fromkeys(conformal.COVERAGES, 0)
    for _ in range(repeats):
        p, labels = draws(rng, n + 1)
        found = conformal.fit(p[:n], labels[:n]).coverages
        for c in hits:
            hits[c] += bool(conformal.prediction_sets(p[n:], found[conformal.key(c)])[0, labels[n]])
    for c, count in hits.items():
        assert binom.ppf(0.001, repeats, c) <= count <= binom.ppf(0.999, repeats, c + 1 / (n + 1))


def test_calibration_takes_one_image_a_group_and_no_group_that_fits():
    groups = np.random.default_rng(3).integers(0, 200, 500)
    fitting, calibration = conformal.split_validation(groups, 0)
    assert not set(groups[fitting]) & set(groups[calibration])
    assert len(set(groups[calibration])) == len(calibration)
    assert set(groups[fitting]) | set(groups[calibration]) == set(groups)
    assert abs(len(set(groups[fitting])) / len(set(groups)) - conformal.FITTING_SHARE) < 0.01
    again = conformal.split_validation(groups, 0)
    assert all(np.array_equal(a, b) for a, b in zip((fitting, calibration), again))


def test_the_expected_range_is_that_of_scipys_beta():
    for coverage, n in ((0.9, 150), (0.8, 41), (0.95, 12)):
        rank = min(int(np.ceil((n + 1) * coverage)), n)
        spread = beta(rank, n + 1 - rank)
        reach = 1.96 * np.hypot(spread.std(), 0.01)
        expected = max(0, spread.mean() - reach), min(1, spread.mean() + reach)
        assert conformal._expected(coverage, n, 0.01) == pytest.approx(expected, rel=1e-12)


def test_a_group_counts_once_in_the_coverage():
    p = np.tile([0.6, 0.4], (6, 1))
    labels, groups = np.array([1, 1, 1, 0, 0, 1]), np.array(["a", "a", "a", "b", "c", "d"])
    found = conformal.coverage_on(
        p,
        labels,
        groups,
        ConformalThresholds(coverages={"0.90": 0.5}, calibration_groups=50),
        ("x", "y"),
    )
    assert found["0.90"].coverage.mean == 0.5 and found["0.90"].images == pytest.approx(2 / 6)
    assert found["0.90"].per_class == {
        "x": conformal.ClassCoverage(1.0, 2, 2),
        "y": conformal.ClassCoverage(0.0, 4, 2),
    }


@pytest.mark.slow
def test_a_set_that_covers_too_little_is_called_so():
    rng = np.random.default_rng(5)
    p, labels = draws(rng, 3000)
    good = conformal.fit(p[:1000], labels[:1000])
    low = conformal.conformal_quantile(conformal.scores(p)[np.arange(3000), labels], 0.8)
    bad = replace(good, coverages={"0.90": low})
    groups = np.arange(2000)
    assert conformal.coverage_on(p[1000:], labels[1000:], groups, good, "abcde")["0.90"].as_promised
    assert not conformal.coverage_on(p[1000:], labels[1000:], groups, bad, "abcde")[
        "0.90"
    ].as_promised


def sides(
    rng: np.random.Generator, groups: int, power: float = 1.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and groups of calibration and test, those of test `rng.random() ** power`: a smaller power is harder."""
    return [
        (rng.random(2 * groups) ** e, at + rng.integers(0, groups, 2 * groups))
        for at, e in ((0, 1.0), (groups, power))
    ]


def coverage_of(parts: list[tuple[np.ndarray, np.ndarray]], coverage: float) -> float:
    """Of the test groups' images, by a threshold from the first image of each calibration group; group by group."""
    (scores, groups), (test, test_groups) = parts
    q = conformal.conformal_quantile(
        np.array([scores[groups == g][0] for g in np.unique(groups)]), coverage
    )
    return float(np.mean([(test[test_groups == g] <= q).mean() for g in np.unique(test_groups)]))


def test_random_divisions_cover_what_is_promised_and_harder_test_groups_stand_out(monkeypatch):
    monkeypatch.setattr(conformal, "DIVISIONS", 200)
    alike, harder = (sides(np.random.default_rng(2), 300, power) for power in (1.0, 0.5))
    found = conformal.redivided(*alike, 0.9, coverage_of(alike, 0.9))
    assert found.low < 0.9 < found.high and found.mean == pytest.approx(0.9, abs=0.01)
    assert min(found.as_low, found.as_high) > 0.02
    assert conformal.redivided(*harder, 0.9, coverage_of(harder, 0.9)).as_low < 0.01


@pytest.mark.slow
def test_the_share_of_divisions_as_low_is_even_where_both_sides_are_alike(monkeypatch):
    monkeypatch.setattr(conformal, "DIVISIONS", 99)
    rng, shares = np.random.default_rng(3), []
    for seed in range(100):
        parts = [(rng.random(80), np.arange(80) + at) for at in (0, 80)]
        shares.append(conformal.redivided(*parts, 0.8, coverage_of(parts, 0.8), seed).as_low)
    assert (
        binom.ppf(0.001, 100, 0.1)
        <= sum(share <= 0.1 for share in shares)
        <= binom.ppf(0.999, 100, 0.15)
    )
