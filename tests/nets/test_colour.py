"""The colour histogram: shares and moments of the pixels, counted one by one."""

import numpy as np
import torch
from scipy.stats import moment

from derm_core.nets.colour import BINS, ColourHistogram


def features(images: np.ndarray) -> np.ndarray:
    x_bchw = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return ColourHistogram().pooled(x_bchw).numpy()


def test_cells_and_moments_are_those_of_numpy_and_scipy():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
    images[0, :4] = 255  # the last cell's upper edge
    for image, feature in zip(images, features(images)):
        pixels = image.reshape(-1, 3)
        counted, _ = np.histogramdd(pixels, bins=[np.arange(0, 257, 256 // BINS)] * 3)
        np.testing.assert_allclose(
            feature[: BINS**3] ** 2, counted.reshape(-1) / len(pixels), atol=1e-6
        )
        scaled = pixels / 255
        third = np.cbrt(moment(scaled, 3, axis=0))
        np.testing.assert_allclose(
            feature[BINS**3 :], [*scaled.mean(0), *scaled.std(0), *third], atol=1e-5
        )


def test_where_a_colour_stands_in_the_image_does_not_matter():
    image = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(features(image[:, ::-1, ::-1].copy()), features(image), atol=1e-6)


def test_every_level_is_in_the_cell_of_its_whole_number():
    levels = np.arange(256, dtype=np.uint8)
    grey = np.repeat(levels[:, None, None, None], 3, axis=3)
    cells = features(grey)[:, : BINS**3].argmax(1)
    np.testing.assert_array_equal(cells, (levels.astype(int) // 32) * (BINS * BINS + BINS + 1))
