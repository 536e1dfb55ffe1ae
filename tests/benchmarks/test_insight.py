"""The benchmark's masks lie where the images lie, and its pictures of other things are many and named by source."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks.insight import other_things, read_masks
from derm_core.data.decode import prepare
from tests.builders import encode


def test_masks_are_cut_as_images_are_and_missing_ones_are_empty(tmp_path):
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:50] = 255
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.writestr("folder/a_segmentation.png", encode(mask))
    found = read_masks(tmp_path / "masks.zip", np.array(["b", "a"]), 32)
    expected = prepare(Image.fromarray(mask).convert("RGB"), 32)[..., 0] > 127
    assert (
        not found[0].any() and np.array_equal(found[1], expected) and 0.08 < expected.mean() < 0.15
    )


@pytest.mark.slow
def test_there_are_hundreds_of_pictures_by_named_sources():
    pictures = other_things(None)
    sources = {source for source, _ in pictures}
    assert (
        len(pictures) >= 200
        and {"drawn: document", "photograph: china", "photograph: flower"} <= sources
    )
    assert all(min(picture.size) >= 64 for _, picture in pictures)
