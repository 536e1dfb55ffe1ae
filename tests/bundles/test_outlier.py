"""The distance is Mahalanobis', thresholds keep their rate, and pictures of other things are told from one kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from derm_core.bundles import outlier
from derm_core.publish.non_lesions import KINDS, nonlesion_images
from derm_core.publish.statistics import fit_space


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mixing + 3


def test_the_distance_is_scikit_learns_shrunk_covariance_in_scipys_mahalanobis():
    train, asked = features(400, 12), features(7, 12, seed=1) * 1.5
    mean, std = train.mean(0), train.std(0)
    precision = LedoitWolf(assume_centered=True).fit((train - mean) / std).precision_
    expected = [
        mahalanobis((row - mean) / std, np.zeros(12), precision) / np.sqrt(12) for row in asked
    ]
    assert np.allclose(outlier.distance(fit_space(train), asked), expected, rtol=1e-4)


def test_axes_left_out_count_with_their_mean_variance(monkeypatch):
    train, asked = features(600, 12), features(9, 12, seed=1)
    whole = outlier.distance(fit_space(train), asked)
    monkeypatch.setattr(outlier, "MAX_AXES", 6)
    space = fit_space(train)
    z = space.standardise(asked)
    along = z @ space.axes
    rest = (z**2).sum(1) - (along**2).sum(1)
    expected = np.sqrt(((along**2 / space.variances[:6]).sum(1) + rest / space.variances[6]) / 12)
    assert space.axes.shape == (12, 6) and np.allclose(
        outlier.distance(space, asked), expected, rtol=1e-4
    )
    assert not np.allclose(expected, whole, rtol=1e-3)


@pytest.mark.parametrize("most", [256, 6])
def test_what_is_drawn_spreads_as_the_training_features_do(monkeypatch, most):
    monkeypatch.setattr(outlier, "MAX_AXES", most)
    train = features(4000, 12)
    space = fit_space(train)
    drawn = space.draw(40_000, np.random.default_rng(0))
    found = np.cov(drawn.T)
    axes, variances = space.axes, space.variances
    expected = (axes * variances[:-1]) @ axes.T + variances[-1] * (np.eye(12) - axes @ axes.T)
    assert np.abs(drawn.mean(0)).max() < 0.05 and np.abs(found - expected).max() < 0.05
    if most > 12:
        assert np.abs(found - np.corrcoef(train.T)).max() < 0.05


def test_features_that_do_not_vary_do_no_harm():
    train = np.concatenate([features(200, 5), np.full((200, 1), 2.0)], 1)
    assert np.isfinite(outlier.distance(fit_space(train), train)).all()


@pytest.mark.parametrize("second", [False, True])
def test_thresholds_flag_five_per_cent_of_new_images_whatever_the_scores(second):
    rng, rates = np.random.default_rng(0), []
    for _ in range(300):
        base = rng.normal(size=800)
        scores = np.exp(np.stack([base, 0.5 * base + rng.normal(size=800)]))
        near, far = outlier.joint_thresholds(scores[0, :400], scores[1, :400] if second else None)
        flagged = scores[0, 400:] > near
        rates.append((flagged | (scores[1, 400:] > far) if second else flagged).mean())
    assert 0.045 < np.mean(rates) < 0.055


def test_a_picture_is_flagged_where_the_models_mean_is_above_the_limit():
    def score(ratio, reconstruction=None):
        return outlier.OutlierScore(2 * ratio, 2.0, reconstruction, 0.1)

    assert not outlier.judge({}).flagged and outlier.judge({}).reason is None
    assert not outlier.judge({"a": score(0.9), "b": score(1.05)}).flagged
    verdict = outlier.judge({"a": score(0.9), "b": score(1.3)})
    assert (
        verdict.flagged
        and "b: feature distance 1.3 times" in verdict.reason
        and set(verdict.scores) == {"a", "b"}
    )
    assert "reconstruction error 3.0 times" in outlier.judge({"a": score(0.5, 0.3)}).reason


def test_latents_come_back_from_features_that_hold_them():
    train = features(500, 20)
    mu = train @ np.random.default_rng(1).normal(size=(20, 4)) * 0.1
    space = fit_space(train)
    weight, bias = outlier.fit_latents(space, train, mu)
    assert np.corrcoef((space.standardise(train) @ weight + bias).ravel(), mu.ravel())[0, 1] > 0.999


def test_pictures_of_other_things_are_repeatable_and_differ():
    images = nonlesion_images(2, 0, 64)
    again = nonlesion_images(2, 0, 64)
    assert [kind for kind, _ in images] == [kind for kind in KINDS for _ in range(2)]
    assert all(
        np.array_equal(a, b) and a.shape == (64, 64, 3) and a.dtype == np.uint8
        for (_, a), (_, b) in zip(images, again)
    )
    assert len({image.tobytes() for _, image in images}) == len(images)
