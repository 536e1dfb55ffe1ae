"""Corruptions: graded, the same at every size and for every caller, and each what its name says."""

import itertools

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from derm_core.config import CORRUPTIONS, StudyConfig
from derm_core.data.corruptions import DEFOCUS, FAMILIES, SEVERITIES, corrupt
from derm_core.errors import ConfigError


def photographs(n=6, side=64, seed=0):
    """Smooth skin with a dark, textured spot, uint8 (n, side, side, 3); a larger side shows the same scene finer."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(256) + 0.5) / 256 * 2 - 1
    images = []
    for _ in range(n):
        grain = ndimage.gaussian_filter(rng.normal(size=(256, 256)), 2)
        spot = 1 / (1 + np.exp((np.hypot(axis, axis[:, None]) - 0.5 + 0.3 * grain) / 0.03))
        picture = (
            np.array([205, 150, 130])
            - spot[..., None] * np.array([110, 95, 80])
            + 60 * grain[..., None]
        )
        images.append(
            np.asarray(
                Image.fromarray(picture.clip(0, 255).astype(np.uint8)).resize(
                    (side, side), Image.Resampling.BOX
                )
            )
        )
    return np.stack(images)


IDS = [f"image {i}" for i in range(6)]


def change(images, family, severity):
    return np.abs(corrupt(images, family, severity, IDS).astype(float) - images).mean()


def test_every_family_that_a_config_may_name_is_there():
    assert tuple(FAMILIES) == CORRUPTIONS


@pytest.mark.parametrize("family", CORRUPTIONS)
def test_each_severity_changes_the_image_more_than_the_one_before(family):
    images = photographs()
    changes = [change(images, family, severity) for severity in SEVERITIES]
    assert changes[0] > 0.1 and all(a < b for a, b in itertools.pairwise(changes))


@pytest.mark.slow
@pytest.mark.parametrize("family", CORRUPTIONS)
def test_an_image_is_corrupted_alike_wherever_it_stands(family):
    images = photographs()
    whole = corrupt(images, family, 3, IDS)
    alone = corrupt(images[4:5], family, 3, IDS[4:5])
    assert whole.dtype == np.uint8 and whole.shape == images.shape
    assert np.array_equal(whole[4:5], alone)
    same = np.repeat(images[:1], 6, 0)
    drawn = {corrupt(same, family, 3, IDS)[i].tobytes() for i in range(6)}
    assert len(drawn) == 1 if family in ("defocus", "jpeg", "pixelation") else len(drawn) > 1


@pytest.mark.slow
@pytest.mark.parametrize("family", CORRUPTIONS)
def test_a_severity_means_the_same_at_64_and_at_192_pixels(family):
    """The corrupted larger image, reduced to 64 px, is changed as much as the corrupted small one."""
    small, large = photographs(side=64), photographs(side=192)
    reduced = np.stack(
        [np.asarray(Image.fromarray(image).reduce(3)) for image in corrupt(large, family, 4, IDS)]
    )
    amount = np.abs(reduced.astype(float) - small).mean()
    assert amount == pytest.approx(
        change(small, family, 4), rel=0.45
    )  # thin lines are whole pixels wide


def test_defocus_is_convolution_with_a_disc():
    side, radius = 128, DEFOCUS[4] * 128
    image = photographs(1, side)
    offsets = np.arange(-8, 8 + 0.05, 0.1)  # a disc of area, sampled ten times a pixel
    fine = (np.hypot(offsets, offsets[:, None]) <= radius).astype(float)
    kernel = np.zeros((17, 17))
    cells = np.floor(offsets + 0.5).astype(int) + 8
    np.add.at(kernel, (cells[:, None], cells[None, :]), fine)
    expected = ndimage.convolve(
        image[0, ..., 1].astype(float), kernel / kernel.sum(), mode="mirror"
    )
    assert np.abs(corrupt(image, "defocus", 5, ["x"])[0, ..., 1] - expected).max() < 3


def test_motion_blurs_along_one_direction_only():
    lines = np.zeros((8, 64, 64, 3), np.uint8)
    lines[:4, :, ::8], lines[4:, ::8] = 255, 255  # vertical lines, then horizontal ones
    blurred = corrupt(lines, "motion", 5, ["a", "b", "c", "d"] * 2).astype(float)
    contrast = blurred[:, 16:48, 16:48].std((1, 2, 3))
    ratio = contrast[:4] / contrast[4:]
    assert max(ratio.max(), 1 / ratio.min()) > 3  # of four ways at least one lies along the lines


def test_pixelation_shows_the_means_of_its_cells():
    image = photographs(1, 60)
    shown = corrupt(image, "pixelation", 5, ["x"])[0].astype(float)  # 10 cells of 6 pixels
    expected = image[0].reshape(10, 6, 10, 6, 3).mean((1, 3)).repeat(6, 0).repeat(6, 1)
    assert np.abs(shown - expected).max() <= 0.51


def test_light_and_colour_keep_what_they_do_not_touch():
    image = photographs(1)
    grey = image.astype(float).mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    assert np.abs(corrupt(grey, "saturation", 5, ["x"]).astype(int) - grey).max() <= 1
    flat = np.full((1, 32, 32, 3), 90, np.uint8)
    assert np.abs(corrupt(flat, "contrast", 5, ["x"]).astype(int) - flat).max() <= 1
    rim = corrupt(flat, "vignette", 5, ["x"])[0]
    assert rim[16, 16].min() > 60 and rim[0, 0].max() < 5


def test_unknown_families_and_severities_are_refused_by_name():
    with pytest.raises(ConfigError, match="allowed: defocus"):
        corrupt(photographs(1), "fog", 1, ["x"])
    with pytest.raises(ConfigError, match="severity is 6"):
        corrupt(photographs(1), "noise", 6, ["x"])
    with pytest.raises(ConfigError, match="fog"):
        StudyConfig(dataset="x", corruptions=("fog",))
    assert tuple(FAMILIES) == CORRUPTIONS
