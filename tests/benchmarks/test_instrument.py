"""The instrument in its short form: known answers to known questions, and that it would notice wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from benchmarks import _instrument_folds, _instrument_statistics
from benchmarks._instrument_images import leak_named, shortcut_reliance

pytestmark = pytest.mark.slow

REPEATS = 8
T20 = scipy_stats.t.ppf(0.975, 20)
SHORT = _instrument_statistics.Settings(images=800, seeds=3, epochs=2, hidden=16, resamples=200)
SHORT_FOLDS = _instrument_folds.FoldSettings(images=300, seeds=2, epochs=1, resamples=50)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [_instrument_statistics.repeat(number, SHORT) for number in range(REPEATS)]


@pytest.mark.parametrize(
    "plant",
    ["aa_false_positive_rate", "shuffle_balanced_accuracy", "effect_power", "interval_coverage"],
)
def test_the_short_form_lies_within_its_limits(rows, plant):
    found = _instrument_statistics.summarise(rows)[plant]
    assert found["holds"], found


def test_a_repeat_is_the_same_whenever_it_is_made(rows):
    assert _instrument_statistics.repeat(3, SHORT) == rows[3] != rows[4]


def made(number: int, rng: np.random.Generator, width: float = 1.0) -> dict:
    """A repeat as an exact t statistic with 20 degrees of freedom would leave it; effect 3 standard errors."""

    def interval(centre: float) -> list[float]:
        se = np.sqrt(rng.chisquare(20) / 20)
        mean = centre + rng.normal()
        reach = width * T20 * se
        return [mean, mean - reach, mean + reach, width * se, 20.0]

    every = _instrument_statistics.METRICS
    return {
        "repeat": number,
        "aa": {m: interval(0.0) for m in every} | {"flips": rng.random()},
        "effect": {m: interval(3.0) for m in every},
        "truth": {"difference": 3.0 + rng.normal(0, 0.1), "own": 0.01, "test": 1.0, "df": 20.0},
        "shuffled": {
            arm: interval(1 / _instrument_statistics.CLASSES) for arm in ("strong", "weak")
        },
        "gaps": {kind: interval(1.0)[:3] for kind in ("loss", "accuracy")},
    }


@pytest.mark.parametrize(("width", "holds"), [(1.0, True), (0.8, False), (1.3, False)])
def test_in_the_long_form_intervals_that_are_a_fifth_off_do_not_pass(width, holds):
    rng = np.random.default_rng(0)
    found = _instrument_statistics.summarise([made(number, rng, width) for number in range(2000)])
    for plant in ("aa_false_positive_rate", "interval_coverage", "effect_power"):
        assert found[plant]["holds"] == holds, plant
    assert found["shuffle_balanced_accuracy"]["holds"] == (width >= 1)


def test_predicted_power_is_the_share_of_t_tests_that_find_the_effect():
    rng = np.random.default_rng(1)
    rows = [made(number, rng) for number in range(4000)]
    samples = rng.normal(3.0 / np.sqrt(21), 1, (4000, 21))
    found = (scipy_stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
    assert _instrument_statistics.predicted_power(rows) == pytest.approx(found, abs=0.02)


def made_in_folds(number: int, rng: np.random.Generator, width: float) -> dict:
    """A repeat in folds as exact t statistics with 4 degrees of freedom would leave it; effect 3."""

    def interval(centre: float) -> list[float]:
        mean = centre + rng.normal()
        reach = width * scipy_stats.t.ppf(0.975, 4) * np.sqrt(rng.chisquare(4) / 4)
        return [mean, mean - reach, mean + reach]

    questions = {
        "metrics": _instrument_statistics.METRICS,
        "few": ("balanced_accuracy",),
        "few without folds": ("balanced_accuracy",),
        "gaps": ("loss final", "accuracy final"),
    }
    answers = {
        pair: {name: {key: interval(centre) for key in keys} for name, keys in questions.items()}
        for pair, centre in (("null", 0.0), ("effect", 3.0))
    }
    return {"repeat": number, "tuned": answers, "shared": answers}


@pytest.mark.parametrize(("width", "holds"), [(1.0, True), (0.7, False)])
def test_intervals_of_folds_that_are_too_narrow_do_not_pass(width, holds):
    rng = np.random.default_rng(0)
    summary = _instrument_folds.summarise(
        [made_in_folds(number, rng, width) for number in range(2000)]
    )
    assert all(summary["holds"].values()) == holds and any(summary["holds"].values()) == holds
    assert (abs(summary["false_positive_rate_10pct"] - 0.05) < 0.015) == holds
    assert (abs(summary["gap_coverage"] - 0.95) < 0.015) == holds and summary["repeats"] == 2000


def test_a_repeat_in_folds_is_the_same_whenever_it_is_made_and_has_every_answer():
    first = _instrument_folds.repeat(1, SHORT_FOLDS)
    assert _instrument_folds.repeat(1, SHORT_FOLDS) == first
    assert _instrument_folds.repeat(2, SHORT_FOLDS) != first
    for tuning in ("tuned", "shared"):
        for pair in ("null", "effect"):
            answers = first[tuning][pair]
            assert set(answers["metrics"]) == set(_instrument_statistics.METRICS)
            assert {"loss final", "accuracy test"} <= set(answers["gaps"])
            numbers = [one for of in answers.values() for ends in of.values() for one in ends]
            assert np.isfinite(numbers).all()


def test_limits_are_three_binomial_standard_errors():
    found = _instrument_statistics.rate(np.arange(100) < 11, 0.05)
    reach = 3 * np.sqrt(0.05 * 0.95 / 100)
    assert (found["low"], found["high"]) == pytest.approx((0.05 - reach, 0.05 + reach))
    assert found["value"] == 0.11 and found["holds"]
    assert not _instrument_statistics.rate(np.arange(100) < 12, 0.05)["holds"]


def test_shuffling_moves_the_labels_of_whole_groups_and_keeps_how_many_groups_have_each():
    world = _instrument_statistics.make_world(np.random.default_rng(2), 400, 0)
    lost = _instrument_statistics.shuffled(world, np.random.default_rng(3), 0)
    first = np.unique(world.groups, return_index=True)[1]
    assert all(len(np.unique(lost.labels[lost.groups == g])) == 1 for g in np.unique(lost.groups))
    assert (
        np.array_equal(np.sort(world.labels[first]), np.sort(lost.labels[first]))
        and (world.labels != lost.labels).any()
    )


def test_the_textbook_variance_is_that_of_balanced_accuracy_over_fresh_test_sets():
    """Groups drawn anew 3,000 times: the variance of the difference is what `truth` says of as many groups."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(900), rng.integers(1, 4, 900))
    labels = rng.choice(_instrument_statistics.CLASSES, 900, p=_instrument_statistics.SHARES)[
        groups
    ]
    p = {
        arm: rng.dirichlet(np.ones(_instrument_statistics.CLASSES), (1, len(groups)))
        for arm in ("strong", "weak")
    }
    world = _instrument_statistics.World(labels, groups, {}, np.zeros(len(groups)))
    prior = np.log(np.array(_instrument_statistics.SHARES))
    members = [np.unique(groups[labels == c]) for c in range(_instrument_statistics.CLASSES)]
    found = _instrument_statistics.truth(world, p, prior, np.array([len(m) for m in members]))
    change = np.subtract(
        *((np.log(p[arm][0]) - prior).argmax(-1) == labels for arm in p), dtype=float
    )
    sums, sizes = np.bincount(groups, change), np.bincount(groups)
    drawn = [
        np.mean(
            [sums[m].sum() / sizes[m].sum() for m in (rng.choice(of, len(of)) for of in members)]
        )
        for _ in range(3000)
    ]
    assert found["own"] == found["test"] == pytest.approx(np.var(drawn), rel=0.1)


def test_a_leak_is_named():
    assert leak_named()


def test_reliance_on_planted_ink_grows_with_its_tie_from_zero():
    found = shortcut_reliance(1, arms=("colour",), strengths=(0.0, 0.5, 1.0), images=160, size=32)
    assert found["holds"], found
