"""Shares inside the lesion are counted against chance: an even map has the area, a map of the mask has all of it."""

import numpy as np
import pytest

from benchmarks._insight_saliency import drawn_lesions, summary


def test_an_even_map_has_the_area_inside_and_the_mask_itself_everything():
    images, masks = drawn_lesions(6, 32, 0)
    assert (
        images.shape == (len(masks), 32, 32, 3)
        and images.dtype == np.uint8
        and masks.any((1, 2)).all()
    )
    even, own = summary(np.ones(masks.shape), masks), summary(masks.astype(float), masks)
    assert even["inside"] == pytest.approx(masks.mean()) and even["above_area"] == pytest.approx(
        0, abs=1e-9
    )
    assert (
        own["inside"] == 1
        and own["peak_inside"] == 1
        and own["low"] <= 1 - masks.mean() <= own["high"]
    )


def test_maps_without_evidence_are_left_out():
    _, masks = drawn_lesions(6, 32, 0)
    maps = masks.astype(float)
    maps[0] = 0
    assert summary(maps, masks)["images"] == len(masks) - 1 and summary(0 * maps, masks) is None
