"""Blurred, dark, bright, flat and small pictures are told from good ones, each in a sentence of its own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from derm_core.bundles.image_quality import check_quality, measure, square


@pytest.fixture(scope="module")
def good() -> Image.Image:
    """A lesion-like picture with hair-fine structure, of ordinary brightness."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:300j, -1:1:300j]
    lesion = 170 - 80 * (np.hypot(x, y) < 0.5) + rng.normal(0, 18, (300, 300))
    return Image.fromarray(np.stack([lesion] * 3, -1).clip(0, 255).astype(np.uint8))


def changed(image: Image.Image, work) -> Image.Image:
    return Image.fromarray(work(np.asarray(image).astype(float)).clip(0, 255).astype(np.uint8))


def test_a_good_picture_has_no_problem(good):
    quality = check_quality(good)
    assert quality.ok and quality.problems == () and (quality.width, quality.height) == (300, 300)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda i: i.filter(ImageFilter.GaussianBlur(9)), "out of focus"),
        (lambda i: changed(i, lambda v: v * 0.3), "dark"),
        (lambda i: changed(i, lambda v: 110 + v), "overexposed"),
        (lambda i: changed(i, lambda v: 140 + v * 0.02), "contrast"),
        (lambda i: i.resize((40, 60)), "small: 40 × 60"),
    ],
)
def test_each_fault_is_called_by_its_name(good, spoil, words):
    quality = check_quality(spoil(good))
    assert not quality.ok and len(quality.problems) == 1 and words in quality.problems[0]
    assert quality.problems[0].startswith("The image ")


def test_the_measures_are_those_of_scipy(good):
    from scipy.ndimage import laplace

    pixels = square(good)
    grey = pixels @ np.array([0.299, 0.587, 0.114]) / 255
    measured = measure(pixels)
    assert measured["sharpness"] == pytest.approx(
        laplace(grey)[1:-1, 1:-1].var() / grey.var(), rel=1e-4
    )
    assert measured["brightness"] == pytest.approx(grey.mean(), rel=1e-5) and measured[
        "contrast"
    ] == pytest.approx(grey.std(), rel=1e-4)


def test_sharpness_is_that_of_the_content_not_of_its_contrast(good):
    weaker = changed(good, lambda v: 128 + (v - 128) * 0.6)
    assert measure(square(weaker))["sharpness"] == pytest.approx(
        measure(square(good))["sharpness"], rel=0.05
    )
    assert (
        measure(square(good.filter(ImageFilter.GaussianBlur(2))))["sharpness"]
        < 0.5 * measure(square(good))["sharpness"]
    )


def test_the_size_of_the_file_matters_little(good):
    """Within a quarter, of a sharpness that spans three decades, for a picture that is mostly grain."""
    large = good.resize((1200, 1200), Image.Resampling.LANCZOS)
    assert measure(square(large))["sharpness"] == pytest.approx(
        measure(square(good))["sharpness"], rel=0.25
    )


@pytest.mark.slow
@pytest.mark.shared
def test_few_real_images_are_called_out_and_nearly_all_blurred_ones(shared):
    paths = sorted((shared / "data" / "ham10000" / "images").glob("*.jpg"))[::50]
    images = [Image.open(path).convert("RGB") for path in paths]
    assert np.mean([not check_quality(image).ok for image in images]) < 0.05
    assert (
        np.mean(
            [not check_quality(image.filter(ImageFilter.GaussianBlur(3))).ok for image in images]
        )
        > 0.9
    )
