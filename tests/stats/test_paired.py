"""Paired estimates agree with the study's own statistics, and a pair has less noise than its parts."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from derm_core.records import to_json
from derm_core.stats.evaluation import evaluate
from derm_core.stats.metrics import decide
from derm_core.stats.paired import Scorer, arm_pairs, average, independent_difference


def random_test_set(n=400, groups=260, classes=4, seeds=3, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    labels = rng.choice(classes, groups, p=[0.5, 0.25, 0.15, 0.1])[group]
    logits = rng.normal(size=(seeds, n, classes)) + 1.5 * np.eye(classes)[labels]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return labels, group, p


PRIOR = np.log(np.full(4, 0.25))


def test_every_pair_once_and_the_one_named_in_advance_first():
    assert arm_pairs(["imagenet", "vae", "random"], ("vae", "imagenet")) == [
        ("vae", "imagenet"),
        ("imagenet", "random"),
        ("vae", "random"),
    ]
    assert arm_pairs(["x"]) == []


def test_intervals_are_those_of_the_main_table():
    labels, groups, p = random_test_set()
    worse = np.roll(p, 1, axis=1) * 0.4 + p * 0.6
    main = evaluate(
        labels, groups, {"vae": p, "imagenet": worse}, PRIOR, "abcd", resamples=500, seed=3
    )
    scorer = Scorer(labels, groups, 4, resamples=500, seed=3)
    a, b = (scorer.balanced_accuracy(decide(x, PRIOR)) for x in (p, worse))
    assert to_json(a.interval("balanced_accuracy")) == pytest.approx(
        to_json(main.arms["vae"]["balanced_accuracy"])
    )
    row = main.difference(("vae", "imagenet"), "balanced_accuracy")
    difference = (a - b).interval()
    assert [getattr(difference, key) for key in ("mean", "se", "low", "high")] == pytest.approx(
        [getattr(row, key) for key in ("mean", "se", "low", "high")], rel=1e-4
    )


def test_balanced_accuracy_is_scikit_learns_and_can_be_among_some_classes():
    labels, groups, p = random_test_set()
    decisions, scorer = p.argmax(-1), Scorer(labels, groups, 4, resamples=50, seed=0)
    expected = [balanced_accuracy_score(labels, one) for one in decisions]
    assert scorer.balanced_accuracy(decisions).by_seed == pytest.approx(expected)
    some = np.array([True, False, True, False])
    expected = [np.mean([(one[labels == c] == c).mean() for c in (0, 2)]) for one in decisions]
    assert scorer.balanced_accuracy(decisions, some).by_seed == pytest.approx(expected)


def test_a_paired_difference_of_equal_models_is_exactly_zero():
    labels, groups, p = random_test_set()
    scorer = Scorer(labels, groups, 4, resamples=100, seed=0)
    a = scorer.balanced_accuracy(p.argmax(-1))
    result = (a - average([a, a])).interval()
    assert result.low == result.mean == result.high == 0


def test_a_mean_over_images_has_the_clustered_standard_error():
    labels, groups, p = random_test_set(n=1200, groups=800, classes=4, seeds=1)
    labels = np.zeros_like(labels)  # one stratum: the bootstrap of plain group means
    scorer = Scorer(labels, groups, 4, resamples=4000, seed=0)
    values = p[..., 0]
    result = scorer.mean(values).interval()
    assert result.mean == pytest.approx(values.mean())
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, weights=values[0] - values.mean())
    m = len(sums)
    assert result.se == pytest.approx(
        np.sqrt(m / (m - 1) * (sums**2).sum()) / len(labels), rel=0.06
    )


def test_a_difference_between_two_sets_adds_their_variances():
    scorers, estimates = [], []
    for seed in (0, 1):
        labels, groups, p = random_test_set(seed=seed, seeds=1)
        scorers.append(Scorer(labels, groups, 4, resamples=200, seed=seed))
        estimates.append(scorers[-1].balanced_accuracy(p.argmax(-1)))
    result = independent_difference(*estimates)
    alone = [estimate.interval().se for estimate in estimates]
    assert result.se == pytest.approx(np.hypot(*alone))
    assert result.mean == pytest.approx(estimates[0].by_seed[0] - estimates[1].by_seed[0])
