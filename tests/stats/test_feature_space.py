"""Neighbours, principal axes and quality of a map, against slow or independent references."""

import numpy as np
import pytest

from derm_core.seeds import stream_seed
from derm_core.stats.feature_space import (
    neighbour_accuracy,
    search_depth,
    standardise,
    vote_outside_group,
)
from derm_core.stats.neighbours import (
    nearest,
    neighbourhood_preservation,
    principal_axes,
    silhouette,
    trust,
)


def cloud(n: int = 60, d: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_standardising_uses_the_reference_rows_alone():
    features = cloud() * 5 + 3
    features[:, 2] = 7
    train = np.arange(60) < 40
    space = standardise(features, train)
    assert np.allclose(space[train].mean(0), 0, atol=1e-5)
    assert np.allclose(np.delete(space[train].std(0), 2), 1, atol=1e-4)
    assert (space[:, 2] == 0).all() and np.isfinite(space).all()
    features[~train] += 100
    assert np.array_equal(standardise(features, train)[train], space[train])


def test_neighbours_match_a_slow_loop():
    space = cloud()
    positions, distances = nearest(space, 5)
    for i in range(len(space)):
        others = [
            (np.sqrt(((space[i] - space[j]) ** 2).sum()), j) for j in range(len(space)) if j != i
        ]
        expected = sorted(others)[:5]
        assert positions[i].tolist() == [j for _, j in expected]
        assert np.allclose(distances[i], [d for d, _ in expected], atol=1e-4)


def test_an_image_with_a_twin_finds_the_twin_and_not_itself():
    space = cloud()
    space[1] = space[0]
    positions, _ = nearest(space, 3)
    assert positions[0][0] == 1 and all(i not in row for i, row in enumerate(positions))


def test_principal_axes_match_a_singular_value_decomposition():
    space = cloud() * np.arange(1, 9)
    coordinates, explained = principal_axes(space)
    centred = space - space.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(coordinates), np.abs(u[:, :2] * s[:2]), atol=1e-3)
    assert explained == pytest.approx((s**2 / (s**2).sum())[:2].tolist(), rel=1e-4)


def test_the_own_group_has_no_vote():
    """Two views of every lesion lie together; their class is noise, so only other lesions may vote."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=(300, 6))
    space = np.repeat(place, 2, axis=0) + rng.normal(scale=1e-3, size=(600, 6))
    groups, labels = np.repeat(np.arange(300), 2), np.repeat(rng.integers(0, 2, 300), 2)
    positions, _ = nearest(space, search_depth(groups, 1))
    blind, leaky = (
        neighbour_accuracy(vote_outside_group(positions, labels, codes, 2, count=1), labels)[
            "knn_accuracy"
        ]
        for codes in (groups, np.arange(600))
    )
    assert leaky == 1.0 and abs(blind - 0.5) < 0.1


def test_the_vote_matches_scikit_learn_where_every_image_is_a_group():
    from sklearn.model_selection import LeaveOneOut, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    space, labels = cloud(80), np.random.default_rng(1).integers(0, 2, 80)
    positions, _ = nearest(space, 5)
    voted = vote_outside_group(positions, labels, np.arange(80), 2, count=5)
    assert (
        voted == cross_val_predict(KNeighborsClassifier(5), space, labels, cv=LeaveOneOut())
    ).all()


def test_balanced_accuracy_matches_scikit_learn():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    rng = np.random.default_rng(0)
    labels, voted = rng.choice(3, 200, p=[0.7, 0.2, 0.1]), rng.integers(0, 3, 200)
    positions = neighbour_accuracy(np.r_[voted, 0], np.r_[labels, -1])
    assert positions["knn_accuracy"] == pytest.approx(accuracy_score(labels, voted))
    assert positions["knn_balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels, voted)
    )
    assert neighbour_accuracy(np.zeros(3), np.full(3, -1))["knn_accuracy"] is None


def test_unlabelled_images_do_not_vote():
    positions = np.array([[1, 2], [0, 2], [0, 1]])
    assert vote_outside_group(
        positions, np.array([0, -1, 1]), np.arange(3), 2, count=1
    ).tolist() == [1, 0, 0]
    assert vote_outside_group(positions, np.full(3, -1), np.arange(3), 2).tolist() == [-1, -1, -1]


def test_a_faithful_map_is_trusted_more_than_a_shuffled_one():
    flat = cloud(100, 2)
    space = np.hstack([flat, np.zeros((100, 3), np.float32)])
    assert trust(space, flat, 0) == pytest.approx(1)
    assert trust(space, flat[np.random.default_rng(0).permutation(100)], 0) < 0.7


@pytest.mark.parametrize("count", [23, 300, 2100])
def test_trust_is_scikit_learns_of_the_sample(count):
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(count)
    space, flat = (
        rng.normal(size=(count, 12)).astype(np.float32),
        rng.normal(size=(count, 2)).astype(np.float32),
    )
    flat += space[:, :2]
    rows = np.sort(np.random.default_rng(stream_seed(4, "trust")).permutation(count)[:2000])
    expected = trustworthiness(space[rows], flat[rows], n_neighbors=10)
    assert trust(space, flat, 4) == pytest.approx(expected, abs=1e-6)


def test_neighbourhood_preservation_is_the_mean_share_of_kept_neighbours():
    rng = np.random.default_rng(3)
    space, flat = rng.normal(size=(80, 6)).astype(np.float32), rng.normal(size=(80, 2))
    near, _ = nearest(space, 10)
    shares = []
    for i in range(80):
        order = [j for j in np.argsort(np.linalg.norm(flat - flat[i], axis=1)) if j != i][:10]
        shares.append(len(set(order) & set(near[i])) / 10)
    assert neighbourhood_preservation(near, flat) == pytest.approx(np.mean(shares))
    assert neighbourhood_preservation(nearest(flat, 10)[0], flat) == 1


@pytest.mark.parametrize("images", [300, 2600])
def test_silhouette_is_that_of_scikit_learn(images):
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(4)
    labels = rng.integers(-1, 4, images)
    labels[labels == 3] = 2
    labels[0] = 3  # a class of one image counts 0
    space = (rng.normal(size=(images, 5)) + labels[:, None]).astype(np.float32)
    known = labels >= 0
    expected = silhouette_score(space[known], labels[known])
    assert silhouette(space, labels, 0) == pytest.approx(
        expected, abs=1e-5 if known.sum() <= 2000 else 0.01
    )
    assert (
        silhouette(space, np.full(images, -1), 0)
        is None
        is silhouette(space, np.zeros(images, int), 0)
    )
