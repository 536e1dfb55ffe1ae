"""Means over images under resamples, against loops over groups."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.stats.image_means import image_means
from derm_core.stats.resampling import Resamples, make_design
from tests.stats.predictions import draw_predictions


@pytest.fixture
def images():
    labels, groups, p = draw_predictions(np.random.default_rng(0))
    return labels, groups, p, Resamples.draw(make_design(labels, groups, 3), 50, 0)


def test_a_mean_under_weights_is_that_of_a_slow_loop(images):
    labels, groups, p, resamples = images
    folds, among = groups % 4, labels == 0
    estimates = image_means(resamples, p, among, folds)
    assert len(estimates) == p.shape[-1]
    for k, one in enumerate(estimates):
        np.testing.assert_allclose(one.by_seed, p[:, among, k].mean(1))
        for r in (0, 20, 49, len(resamples.weights) - 1):
            weights = resamples.weights[r][resamples.design.group] * among
            expected = (p[..., k] * weights).sum(1) / weights.sum()
            np.testing.assert_allclose(one.drawn[r], expected, rtol=1e-5)
        for f in range(4):
            np.testing.assert_allclose(one.by_fold[f], p[:, among & (folds == f), k].mean(1))


def test_one_number_over_several_parts_is_as_each_part_by_itself(images):
    labels, _, p, resamples = images
    parts = np.stack([labels == c for c in range(3)], 1)
    together = image_means(resamples, p[..., :1], parts)
    for c, one in enumerate(together):
        [alone] = image_means(resamples, p[..., :1], labels == c)
        np.testing.assert_allclose(one.by_seed, alone.by_seed)
        np.testing.assert_allclose(one.drawn, alone.drawn, rtol=1e-5)


def test_no_image_gives_no_number(images):
    labels, _, p, resamples = images
    [one] = image_means(resamples, p[..., :1], labels == 7)
    assert np.isnan(one.by_seed).all() and one.interval().mean is None
