"""Files that would cost Pillow minutes or gigabytes are refused, or lose what costs that, before Pillow sees them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from benchmarks._hostile_images import (
    bases,
    chunk,
    encoded,
    jpeg_with,
    overlapping_exif,
    picture,
    raw_png,
    rle_bmp,
    scan_bomb,
    segment,
    webp_with,
)
from derm_core.data import strip_metadata as module
from derm_core.data.decode import decode
from derm_core.data.strip_metadata import exif_orientation, strip_metadata
from derm_core.errors import ImageError
from tests.builders import encode


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_sound_files_keep_their_pixels(kind):
    for data in [
        data for name, data in bases() if name == kind and data[:2] + data[30:31] != b"BM\1"
    ]:
        check_same(kind, data)


def check_same(kind, data):
    with (
        Image.open(io.BytesIO(data)) as whole,
        Image.open(io.BytesIO(strip_metadata(data)[0])) as stripped,
    ):
        assert whole.mode == stripped.mode and whole.info.get("icc_profile") == stripped.info.get(
            "icc_profile"
        )
        np.testing.assert_array_equal(np.asarray(whole), np.asarray(stripped), err_msg=kind)


@pytest.mark.parametrize(("order", "mark"), [("<", b"II*\0"), (">", b"MM\0*")])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_is_the_one_that_pillow_reads(order, mark, turn):
    block = (
        mark
        + struct.pack(f"{order}IHHHIHH", 8, 2, 0x0110, 2, 1, 0, 0)
        + struct.pack(f"{order}HHIHHI", 0x0112, 3, 1, turn, 0, 0)
    )
    peer = Image.Exif()
    peer.load(b"Exif\0\0" + block)
    assert exif_orientation(b"Exif\0\0" + block) == exif_orientation(block) == peer[0x0112] == turn


def test_an_orientation_in_xmp_alone_counts():
    packet = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    assert decode(jpeg_with(segment(0xE1, packet))).size == picture("RGB").size[::-1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08",
        b"x" * 50,
    ],
)
def test_a_broken_exif_block_says_nothing(data):
    assert exif_orientation(data) == 1


HUGE = overlapping_exif(2600, 33_000)  # 85 kB that claim 85 MB


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with(
            b"".join(
                segment(0xE1, b"Exif\0\0" + HUGE[i : i + 65_000])
                for i in range(0, len(HUGE), 65_000)
            )
        ),
        raw_png(9, 7, before=chunk(b"eXIf", HUGE)),
        webp_with(b"EXIF", HUGE),
    ],
    ids=["JPEG", "PNG", "WEBP"],
)
def test_what_an_exif_directory_claims_is_never_gathered(data, monkeypatch):
    def refuse(self, block):
        raise AssertionError("Pillow reads the EXIF block")

    monkeypatch.setattr(Image.Exif, "load", refuse)
    assert decode(data).size in ((37, 29), (9, 7))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(8)) * 10_001), "parts before its pixels"),
        (jpeg_with(segment(0xFE, b"") * 10_001), "parts before its pixels"),
        (raw_png(9, 7, before=chunk(b"tEXt", b"k\0v") * 100_001), "more than 100,000 parts"),
        (scan_bomb(640, 640, 40_000), "more than 100 scans"),
        (scan_bomb(6320, 6320, 40_000), "more than 25 scans"),
        (rle_bmp(20_000_000, 2, b"\1\0\0\0"), "run-length"),
        (rle_bmp(8, 8, b"\xff\x12" * 9, 4), "run-length"),
    ],
)
def test_files_without_proportion_are_refused_before_decoding(data, why, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match=f"photo.jpg: .*{why}"):
        decode(data, "photo.jpg")


def test_fill_bytes_and_rubbish_between_the_parts_of_a_jpeg_cost_nothing():
    data = strip_metadata(jpeg_with(b"\xff" * 100_000 + bytes(100_000)))[0]
    assert len(data) < 5000 and decode(data).size == (37, 29)


def test_scans_are_counted_exactly_where_other_bytes_look_like_them(monkeypatch):
    data = encoded("JPEG", progressive=True)
    scans = sum(data[i : i + 2] == b"\xff\xda" for i in range(len(data)))
    monkeypatch.setattr(module, "MAX_SCANS", scans)
    assert decode(data + b"\xff\xda" * 1000).size == (37, 29), (
        "what follows the end of the image is no scan"
    )
    monkeypatch.setattr(module, "MAX_SCANS", scans - 1)
    with pytest.raises(ImageError, match="scans"):
        decode(data)


def test_sixteen_bit_grey_of_many_rows_is_scaled_block_by_block_alike(monkeypatch):
    values = np.random.default_rng(0).integers(0, 65536, (1500, 1000)).astype(np.uint16)
    np.testing.assert_array_equal(
        np.asarray(decode(encode(values)))[..., 0], np.round(values / 257)
    )
