"""Maps over images: no map is the image, a full map is the scale, and one value has one colour everywhere."""

from __future__ import annotations

import numpy as np

from derm_core.insight.overlay import STOPS, colours, outlined, overlay, scale_strip


def test_opacity_goes_from_the_image_to_the_map():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    values = np.linspace(0, 4, 32 * 32).reshape(32, 32)
    assert np.array_equal(overlay(image, values, 4, 0), image)
    assert np.abs(overlay(image, values, 4, 1).astype(int) - colours(values / 4)).max() <= 1


def test_the_same_value_has_the_same_colour_in_every_map():
    image = np.zeros((8, 8, 3), np.uint8)
    weak, strong = np.full((4, 4), 1.0), np.full((4, 4), 2.0)
    strong[0, 0] = 1.0
    assert np.array_equal(overlay(image, weak, 2, 1)[0, 0], overlay(image, strong, 2, 1)[0, 0])
    assert overlay(image, weak, 2, 1).sum() < overlay(image, strong, 2, 1).sum()


def test_the_scale_gets_lighter_and_ends_at_its_stops():
    strip = scale_strip(64, 2)
    assert strip.shape == (2, 64, 3)
    light = strip[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) >= 0).all()
    assert (colours(np.array([-1, 0, 1, 9])) == STOPS[[0, 0, -1, -1]]).all()


def test_an_outline_surrounds_the_lesion_and_leaves_the_rest_as_it_is():
    image = np.full((32, 32, 3), 120, np.uint8)
    mask = np.zeros((32, 32), bool)
    mask[8:20, 10:24] = True
    drawn = outlined(image, mask)
    white, black = (drawn == 255).all(2), (drawn == 0).all(2)
    assert (white & ~mask).sum() == 0 and (black & mask).sum() == 0
    assert white[8, 10:24].all() and white[8:20, 23].all() and black[7, 10:24].all()
    assert (drawn[9:19, 11:23] == 120).all() and (image == 120).all()


def test_no_line_is_drawn_where_the_lesion_reaches_the_edge_of_the_image():
    mask = np.zeros((32, 32), bool)
    mask[:, :16] = True
    drawn = outlined(np.full((32, 32, 3), 120, np.uint8), mask)
    assert (drawn[:, :15] == 120).all() and (drawn[:, 15] == 255).all()
