"""Neighbours by an approximate index, against the exact search."""

import numpy as np
import pytest

from derm_core.errors import RunError
from derm_core.stats import approximate_neighbours as module
from derm_core.stats import neighbours
from derm_core.stats.neighbours import nearest, nearest_in_each

LIMIT = 12_000  # of whose 187 cells 48 are searched


def features(rows: int, seed: int = 0) -> np.ndarray:
    """Correlated Gaussian classes in 64 columns."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(64, 64)) * np.geomspace(1, 0.02, 64)[:, None]
    centres = 3 * rng.normal(size=(7, 64))[rng.integers(0, 7, rows)]
    return (centres + rng.normal(size=(rows, 64)) @ mixing).astype(np.float32)


def recall(near: np.ndarray, true: np.ndarray) -> float:
    """Mean share of the true neighbours (n, k) that were found."""
    return float(
        np.mean([len(np.intersect1d(a, b)) for a, b in zip(near, true, strict=True)])
        / true.shape[1]
    )


def test_below_the_limit_no_index_is_asked(monkeypatch):
    monkeypatch.setattr(neighbours, "approximate_neighbours", None)
    space = features(200)
    (one, other), (again, _) = nearest_in_each([space, space], 5), nearest(space, 5)
    assert all(np.array_equal(near, again) for near, _ in (one, other))
    assert nearest_in_each([], 5) == []


@pytest.mark.slow
def test_from_the_limit_on_nearly_all_true_neighbours_are_found_and_the_same_each_time(monkeypatch):
    space = features(LIMIT)
    twins, copies = 40, np.arange(100, 160)
    space[1:twins:2], space[copies] = space[0:twins:2], space[100]
    true, true_distances = nearest(space, 10)
    monkeypatch.setattr(neighbours, "APPROXIMATE_FROM", LIMIT)
    (near, distances), (again, _) = nearest_in_each([space, space], 10, seed=1)

    others = np.setdiff1d(np.arange(LIMIT), copies)  # among equal vectors any are the nearest
    assert near.shape == distances.shape == (LIMIT, 10)
    assert recall(near[others], true[others]) >= 0.98
    assert np.array_equal(near, again), "the seed decides"
    assert not (near == np.arange(LIMIT)[:, None]).any() and (near >= 0).all()
    assert all(len(set(row)) == 10 for row in near.tolist())
    found = near == true
    assert np.allclose(distances[found], true_distances[found], atol=1e-3)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (near[:twins, 0] == np.arange(twins) ^ 1).all() and (distances[:twins, 0] == 0).all()
    assert np.isin(near[copies], copies).all() and (distances[copies] == 0).all()


def test_a_process_that_ends_early_is_said(monkeypatch):
    monkeypatch.setattr(module, "_answer", print)  # and ends
    with pytest.raises(RunError, match="ended early"):
        list(module.approximate_neighbours([features(100)], 5, 0))


def test_what_the_index_did_not_find_is_looked_up_exactly():
    space = features(60)
    true, true_distances = nearest(space, 5)
    near, distances = true.copy(), true_distances.copy()
    near[3, 2:], distances[3, 2:] = -1, np.inf
    near[7], distances[7] = -1, np.inf
    near, distances = module._completed(space, near, distances)
    assert np.array_equal(near, true) and np.allclose(distances, true_distances, atol=1e-5)


def test_a_row_is_not_its_own_neighbour_wherever_the_index_lists_it():
    positions = np.array([[0, 1, 2], [0, 1, 2], [1, 0, -1]])
    near, distances = module._others(np.arange(3), positions, np.array([[0.0, 0.0, 1.0]] * 3), 2)
    assert near.tolist() == [[1, 2], [0, 2], [1, 0]]
    assert distances.tolist() == [[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
