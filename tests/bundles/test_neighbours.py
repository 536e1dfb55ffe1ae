"""Neighbours are those of an exact search, near-duplicates are nearer than other images."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from derm_core.bundles import neighbours
from derm_core.publish.statistics import fit_space


def test_neighbours_are_scikit_learns_in_standardised_features():
    rng = np.random.default_rng(0)
    train, asked = (
        rng.normal(size=(300, 20)) * np.arange(1, 21),
        rng.normal(size=(6, 20)) * np.arange(1, 21),
    )
    space = fit_space(train)
    points = neighbours.fit_points(
        space, train, np.arange(300) % 3, [f"i{i}" for i in range(300)], 0
    )
    near, distances = neighbours.nearest(space, points, asked, 4)
    exact, expected = (
        NearestNeighbors(n_neighbors=4)
        .fit(space.standardise(train))
        .kneighbors(space.standardise(asked))
    )
    assert (near == expected).mean() > 0.9 and np.allclose(
        distances, exact / np.sqrt(20), rtol=2e-3
    )
    assert points.positions.dtype == np.float16 and points.ids[7] == "i7"


def test_more_images_than_fit_are_thinned_by_class():
    labels = np.repeat([0, 1, 2], [9000, 990, 10])
    kept = neighbours.thin(labels, 1000, 0)
    assert np.bincount(labels[kept]).tolist() == [900, 99, 1] and (np.diff(kept) > 0).all()
    assert len(neighbours.thin(labels, 20_000, 0)) == len(labels)


def test_fewer_images_than_neighbours_asked_for_are_all_given():
    train = np.random.default_rng(0).normal(size=(3, 4))
    space = fit_space(train)
    near, _ = neighbours.nearest(
        space, neighbours.fit_points(space, train, np.zeros(3, int), None, 0), train, 5
    )
    assert near.shape == (3, 3) and (near[:, 0] == np.arange(3)).all()


def test_the_duplicate_threshold_keeps_false_alarms_rare():
    distances = np.random.default_rng(0).gamma(9, 0.1, 4000)
    threshold = neighbours.duplicate_threshold(distances)
    assert 0.004 < (distances < threshold).mean() < 0.006


def test_copies_are_near_the_original():
    from derm_core.data.synth.generator import generate

    image = next(iter(generate(1, 64, 0)))[0]
    for name, copy in neighbours.copies(image).items():
        assert (
            copy.shape == image.shape and copy.dtype == np.uint8 and not np.array_equal(copy, image)
        ), name
        assert np.abs(copy.astype(float) - image).mean() < 25, name
