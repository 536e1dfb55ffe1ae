"""Photos of a phone: large JPEGs at half their size with the same pixels for a model, HEIC, a chosen square."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from derm_core.data import decode as gate
from derm_core.data.decode import (
    MAX_PHOTO_PIXELS,
    MAX_PIXELS,
    crop_square,
    decode,
    heic_ready,
    prepare,
    read_image,
)
from derm_core.data.synth.generator import generate
from derm_core.errors import ImageError
from tests.builders import encode

HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(64)


@pytest.fixture(scope="module")
def lesion() -> Image.Image:
    """A sharp synthetic photograph of 1600 × 1200 pixels."""
    drawn = Image.fromarray(next(generate(1, 512, seed=1))[0])
    return drawn.resize((1600, 1600), Image.Resampling.BICUBIC).crop((0, 200, 1600, 1400))


def jpeg(image: Image.Image, **options) -> bytes:
    return encode(image, "JPEG", quality=90, **options)


@pytest.fixture
def small_limits(monkeypatch):
    """The limits as for pictures of a tenth of a photo's side."""
    monkeypatch.setattr(gate, "MAX_PIXELS", 500_000)
    monkeypatch.setattr(gate, "MAX_PHOTO_PIXELS", 2_000_000)


def test_half_the_size_gives_what_the_whole_gives_within_two_levels(lesion, monkeypatch):
    data = jpeg(lesion)
    whole = {size: prepare(decode(data), size) for size in (64, 128, 224)}
    monkeypatch.setattr(gate, "MAX_PIXELS", 500_000)
    assert decode(data).size == (800, 600)
    for size, pixels in whole.items():
        difference = np.abs(prepare(decode(data), size).astype(int) - pixels)
        assert difference.max() <= 2 and difference.mean() < 0.3, size


@pytest.mark.slow
def test_a_photo_of_48_million_pixels_is_read_and_turned(lesion):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(lesion.resize((8064, 6048), Image.Resampling.NEAREST), exif=exif)
    assert decode(data).size == (3024, 4032)


def test_a_cmyk_photo_keeps_its_colours_at_half_the_size(lesion, small_limits):
    data = jpeg(lesion.convert("CMYK"))
    assert decode(data).mode == "RGB" and decode(data).size == (800, 600)
    assert np.abs(prepare(decode(data), 64).astype(int) - prepare(lesion, 64)).mean() < 3


def several_scans(data: bytes) -> bytes:
    """A JPEG whose first scan says that it holds one colour only (its pixels are not asked for here)."""
    place = data.index(b"\xff\xda")
    return (
        data[:place]
        + b"\xff\xda"
        + struct.pack(">H", 8)
        + bytes([1, 1, 0, 0, 63, 0])
        + data[place + 14 :]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["progressive", "several scans", "png", "too large"])
def test_large_pictures_that_would_be_whole_in_memory_are_refused_before_decoding(
    lesion, small_limits, monkeypatch, kind
):
    data = {
        "progressive": jpeg(lesion, progressive=True),
        "several scans": several_scans(jpeg(lesion)),
        "png": encode(lesion, compress_level=1),
        "too large": jpeg(lesion.resize((1800, 1200))),
    }[kind]

    def decoding(*_):
        raise AssertionError("the image was decoded")

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", decoding)
    with pytest.raises(ImageError, match=r"million pixels.*baseline"):
        decode(data)


def test_a_truncated_large_photo_is_refused(lesion, small_limits):
    data = jpeg(lesion)
    with pytest.raises(ImageError, match="incomplete"):
        decode(data[: len(data) // 2])


def test_ordinary_pictures_are_never_read_at_half_their_size(lesion, monkeypatch):
    def draft(*_):
        raise AssertionError("read at half its size")

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", draft)
    assert decode(jpeg(lesion)).size == lesion.size and MAX_PHOTO_PIXELS == 4 * MAX_PIXELS


def test_a_heic_photo_without_the_extra_says_what_to_do(monkeypatch):
    monkeypatch.setattr(gate, "heic_ready", lambda: False)
    with pytest.raises(ImageError, match=r"lesion.heic: a HEIC photo.*pillow-heif"):
        decode(HEIC, "lesion.heic")


@pytest.mark.skipif(not heic_ready(), reason="needs pillow-heif (requirements-extras.txt)")
def test_a_heic_photo_is_read_as_it_was(lesion):
    import pillow_heif

    photo, buffer = lesion.resize((320, 240)), io.BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, quality=95)
    assert (
        np.abs(prepare(decode(buffer.getvalue()), 64).astype(int) - prepare(photo, 64)).mean() < 2
    )
    with pytest.raises(ImageError, match="damaged"):
        decode(HEIC)


def test_a_decoded_picture_passes_the_gate_unchanged(lesion):
    assert np.array_equal(read_image(lesion, 64), prepare(lesion, 64))


def test_the_middle_square_is_what_the_models_see_by_default(lesion):
    assert np.array_equal(
        np.asarray(crop_square(lesion, 0.5, 0.5, 1)), np.asarray(lesion.crop((200, 0, 1400, 1200)))
    )


@pytest.mark.parametrize(
    ("centre_x", "centre_y", "side", "box"),
    [
        (0.25, 0.5, 0.5, (100, 300, 700, 900)),
        (0, 0, 0.5, (0, 0, 600, 600)),
        (1, 1, 0.25, (1300, 900, 1600, 1200)),
        (0.5, 0.5, 3, (200, 0, 1400, 1200)),
    ],
)
def test_a_square_stays_inside_the_picture(lesion, centre_x, centre_y, side, box):
    assert np.array_equal(
        np.asarray(crop_square(lesion, centre_x, centre_y, side)), np.asarray(lesion.crop(box))
    )
