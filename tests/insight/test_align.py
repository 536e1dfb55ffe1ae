"""Maps turned onto one another: scipy's Procrustes analysis is the reference."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import procrustes

from derm_core.errors import ConfigError
from derm_core.insight.align import fixed_places, start_from, turn_onto
from derm_core.insight.saved_map import SavedMap


def turned(points: np.ndarray, degrees: float, mirrored: bool) -> np.ndarray:
    a = np.deg2rad(degrees)
    rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag(
        [1, -1 if mirrored else 1]
    )
    return points @ rotation * 3.5 + [10, -4]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_scaled_and_shifted_map_comes_back(mirrored):
    fixed = np.random.default_rng(0).normal(size=(50, 2))
    everything = np.ones(50, bool)
    assert turn_onto(turned(fixed, 130, mirrored), fixed, everything) == pytest.approx(
        fixed, abs=1e-5
    )


def test_what_is_left_over_is_that_of_scipy():
    rng = np.random.default_rng(1)
    fixed, moving = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    _, _, disparity = procrustes(fixed, moving)
    turned = turn_onto(moving, fixed, np.ones(40, bool))
    left = np.square(turned - fixed).sum() / np.square(fixed - fixed.mean(0)).sum()
    assert left == pytest.approx(disparity, rel=1e-5)


def test_only_shared_images_decide_and_the_others_follow():
    fixed = np.random.default_rng(2).normal(size=(30, 2))
    shared = np.arange(30) < 20
    hidden = np.where(shared[:, None], fixed, np.nan)
    assert turn_onto(turned(fixed, 40, False), hidden, shared) == pytest.approx(fixed, abs=1e-5)
    start = start_from(turned(fixed, 40, False), hidden, shared)
    assert (start[shared] == hidden[shared].astype(np.float32)).all() and start[
        ~shared
    ] == pytest.approx(fixed[~shared], abs=1e-5)


def test_a_map_of_other_images_is_refused():
    points = pd.DataFrame(
        {"image_id": list("abcd"), "umap_x": [1.0, 2, 3, 4], "umap_y": [0.0, 0, 1, 1]}
    )
    saved = SavedMap("embed-1", {}, points, np.zeros((4, 10)), np.zeros((4, 10)))
    places, shared = fixed_places(saved, np.array(["d", "x", "a", "b"]), "umap")
    assert (
        shared.tolist() == [True, False, True, True]
        and places[0].tolist() == [4, 1]
        and np.isnan(places[1]).all()
    )
    with pytest.raises(ConfigError, match="embed-1, which shows 1 of these images"):
        fixed_places(saved, np.array(["x", "y", "a"]), "umap")
