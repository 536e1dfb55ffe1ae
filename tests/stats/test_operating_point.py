"""Operating points against scikit-learn's ROC curve, naive thresholds and really resampled sets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from derm_core.stats.operating_point import operating_point, sensitivities, thresholds

GRID = np.linspace(0, 1, 21)


def scored(seed: int, n: int = 300, digits: int | None = 2) -> tuple[np.ndarray, np.ndarray]:
    """(positive, scores): rounded scores, so that ties are common."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.2
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * positive)))
    return positive, scores if digits is None else scores.round(digits)


@pytest.mark.parametrize("digits", [1, 2, None])
def test_sensitivity_is_the_best_that_the_roc_curve_offers_at_that_specificity(digits):
    positive, scores = scored(0, digits=digits)
    fpr, tpr, _ = roc_curve(positive, scores, drop_intermediate=False)
    expected = [tpr[fpr <= 1 - s + 1e-12].max() for s in GRID]
    np.testing.assert_allclose(sensitivities(positive, scores, GRID), expected, atol=1e-12)


def test_a_threshold_is_the_lowest_that_keeps_the_specificity():
    positive, scores = scored(1)
    for s, cut in zip(GRID, thresholds(positive, scores, GRID), strict=True):
        assert (scores[~positive] <= cut).mean() >= s - 1e-12
        lower = scores[~positive][scores[~positive] < cut]
        if len(lower):
            assert (scores[~positive] <= lower.max()).mean() < s


def test_weights_count_as_that_many_copies():
    positive, scores = scored(2, n=120)
    weights = np.random.default_rng(0).integers(0, 4, (6, 120))
    ours = sensitivities(positive, scores, GRID, weights)
    for row, curve in zip(weights, ours, strict=True):
        chosen = np.repeat(np.arange(120), row)
        np.testing.assert_allclose(curve, sensitivities(positive[chosen], scores[chosen], GRID))


def test_a_side_without_weight_has_no_sensitivity():
    positive, scores = scored(3, n=40)
    assert np.isnan(
        sensitivities(positive, scores, GRID, np.stack([positive, ~positive]).astype(float))
    ).all()


def two_sets(copies: int = 1):
    (val, val_scores), (test, test_scores) = scored(4, 400, None), scored(5, 400, None)
    noise = np.random.default_rng(6).normal(0, 0.02, (3, 400))
    groups = np.repeat(np.arange(400), copies)
    return (
        (val, val_scores + noise),
        (np.repeat(test, copies), groups, np.repeat(test_scores + noise, copies, axis=1)),
    )


def test_a_threshold_from_validation_gives_on_test_what_a_slow_loop_counts():
    val, test = two_sets()
    point = operating_point(val, test, GRID, resamples=50)
    positive, _, scores = test
    for k, s in enumerate(GRID):
        cuts = [thresholds(val[0], one, [s])[0] for one in val[1]]
        caught = np.mean(
            [(one[positive] > cut).mean() for one, cut in zip(scores, cuts, strict=True)]
        )
        spared = np.mean(
            [(one[~positive] <= cut).mean() for one, cut in zip(scores, cuts, strict=True)]
        )
        assert point.given_sensitivity[k] == pytest.approx(caught)
        assert point.given_specificity[k] == pytest.approx(spared)


def test_copies_of_an_image_within_its_group_add_no_certainty():
    once, thrice = (operating_point(*two_sets(copies), GRID, resamples=200) for copies in (1, 3))
    for key in ("sensitivity", "low", "high", "given_specificity_low", "given_specificity_high"):
        np.testing.assert_allclose(getattr(once, key), getattr(thrice, key), atol=1e-6)


def test_the_interval_of_a_fixed_threshold_is_about_that_of_a_binomial_share():
    val, (positive, groups, scores) = two_sets()
    point = operating_point(
        (val[0], val[1][:1]), (positive, groups, scores[:1]), GRID, resamples=2000
    )
    k = 18
    share, n = point.given_specificity[k], (~positive).sum()
    width = point.given_specificity_high[k] - point.given_specificity_low[k]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / n), rel=0.1)


def test_everything_lies_between_its_ends():
    point = operating_point(*two_sets(), GRID, resamples=100)
    for name, low, high in (
        ("sensitivity", "low", "high"),
        *(
            (name, f"{name}_low", f"{name}_high")
            for name in ("given_sensitivity", "given_specificity")
        ),
    ):
        middle, low, high = (np.array(getattr(point, key)) for key in (name, low, high))
        assert (
            (low <= middle + 1e-12).all()
            and (middle <= high + 1e-12).all()
            and low.min() >= 0
            and high.max() <= 1
        )
    assert point.sensitivity[0] == 1 and all(np.diff(point.threshold) >= 0)


def test_what_differs_between_folds_widens_every_interval():
    """Five folds whose models differ: one in five cannot tell the classes apart."""
    rng = np.random.default_rng(0)
    n, fold = 1000, np.arange(1000) % 5
    positive = rng.random(n) < 0.3
    scores = np.tile(rng.normal(size=n) + 2 * positive * (fold > 0), (2, 1))
    val, test = (positive, scores), (positive, np.arange(n), scores)
    pooled = operating_point(val, test, GRID, resamples=200)
    folded = operating_point(val, test, GRID, resamples=200, folds=(fold, fold))
    k = 16
    assert folded.sensitivity == pooled.sensitivity, "the curve is that of all images"
    for low, high in (("low", "high"), ("given_sensitivity_low", "given_sensitivity_high")):
        width, plain = (getattr(of, high)[k] - getattr(of, low)[k] for of in (folded, pooled))
        assert width > 2 * plain
