"""What lies inside a box or lasso, the picture of a density, and which points stand for a region."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from derm_core.insight.regions import (
    Region,
    density_picture,
    inside_any,
    inside_outline,
    spread,
)


@pytest.fixture
def places() -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (5000, 2)).astype(np.float32)


def test_a_convex_outline_holds_what_lies_left_of_all_its_edges(places):
    angles = np.linspace(0, 2 * np.pi, 7)[:-1]
    outline = np.stack([1.5 * np.cos(angles) + 0.2, np.sin(angles)], 1)
    edges = np.roll(outline, -1, axis=0) - outline
    left = [
        edge[0] * (places[:, 1] - corner[1]) - edge[1] * (places[:, 0] - corner[0]) > 0
        for corner, edge in zip(outline, edges, strict=True)
    ]
    inside = inside_outline(places, outline)
    assert np.array_equal(inside, np.all(left, axis=0)) and 500 < inside.sum() < 3000
    assert np.array_equal(inside_outline(places, outline[::-1]), inside), "whichever way round"


def test_an_outline_with_a_bay_does_not_hold_the_bay():
    outline = np.array([(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)])
    assert inside_outline(np.array([(2.0, 3.0), (0.5, 2.0), (3.5, 2.0)]), outline).tolist() == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("corners", [0, 1, 2])
def test_a_line_holds_nothing(places, corners):
    assert not inside_outline(places, np.ones((corners, 2))).any()


def test_boxes_and_outlines_are_joined(places):
    box, triangle = Region(-1, 0, -1, 0), np.array([(0, 0), (2, 0), (0, 2)])
    both = inside_any(places, [box], [triangle])
    assert np.array_equal(both, box.holds(places) | inside_outline(places, triangle))
    assert not inside_any(places, [], []).any()


def test_a_density_is_least_transparent_where_most_images_lie_and_clear_where_none_does():
    places = np.concatenate([np.tile([[1.0, 3.0]], (50, 1)), [[0.0, 0.0]], [[np.nan, 0.0]]])
    png, region = density_picture(places, (1, 2, 3), side=4)
    alpha = np.asarray(Image.open(io.BytesIO(png)))[..., 3]
    assert region.holds(places[:51]).all()
    assert alpha[0].max() > alpha[-1].max() > 0 == alpha[1].max(), "the image's top is the map's"
    assert (alpha > 0).sum() == 2
    column = round((1.0 - region.west) / (region.east - region.west) * 4 - 0.5)
    assert alpha[0].argmax() == column


def test_one_place_alone_has_a_density():
    png, region = density_picture(np.array([[5.0, 5.0]]), (0, 0, 0), side=8)
    assert region.west < 5 < region.east and np.asarray(Image.open(io.BytesIO(png))).any()


def test_points_that_stand_for_a_region_stand_for_its_parts_as_well():
    rank = np.random.default_rng(0).permutation(100)
    everything, part = np.arange(100), np.arange(40)
    of_all = spread(rank, everything, 20)
    of_part = spread(rank, part, 20)
    assert len(of_all) == len(of_part) == 20 and set(of_all) & set(part) <= set(of_part)
    assert spread(rank, part, 40) is part and len(spread(rank, part, 0)) == 0
