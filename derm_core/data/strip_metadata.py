"""The outside of an image file, read with care before Pillow sees it: only what its pixels need is handed on.

Pillow keeps every metadata block of a file, some at a cost that grows with the square of their number
or with what a directory claims, and follows a JPEG's scans and a BMP's runs as long as they go on: a few
megabytes can cost minutes or gigabytes. Here JPEG segments and PNG chunks that carry no pixels and no
colour are dropped, and files whose decoding would not be in proportion to their size are refused.
"""

from __future__ import annotations

import re
import struct

MAX_PARTS = 100_000  # chunks of a PNG; cameras and editors write some thousands
MAX_SEGMENTS = (
    10_000  # before a JPEG's pixels; a maker's note and a colour profile take some hundreds
)
MAX_SCANS = 100  # of a JPEG; progressive ones have about 10
MAX_SCAN_PIXELS = 1_000_000_000  # scans × pixels of a JPEG: 25 scans of 40 million pixels

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT")
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
MARKER = re.compile(
    rb"\xff([\x01-\xfe])"
)  # no "+" for fill bytes: it would try them all again from each
SCAN_END = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # restart markers lie inside a scan
ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4


def lean(data: bytes) -> tuple[bytes, int | None]:
    """A file without the metadata that its pixels do not need, and the orientation that this said (1 to 8).

    None for formats that are handed on as they are (WebP, HEIC, and whatever is no image). Raises
    ValueError with the reason where decoding would cost out of all proportion.
    """
    if data.startswith(b"\xff\xd8"):
        return _lean_jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _lean_png(data)
    if data.startswith(b"BM") and data[30:31] in (b"\1", b"\2") and data[14:18] != b"\x0c\0\0\0":
        raise ValueError("run-length coded pixels (BMP), which are not read; save it as PNG")
    return data, None


def _lean_jpeg(data: bytes) -> tuple[bytes, int]:
    kept, place, turn, pixels = [b"\xff\xd8"], 2, 1, 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, place)
        if found is None or found[1] == b"\xd9":
            return data[:64], turn  # no pixels: for the decoder to say so
        place, kind = found.end(), found[1][0]
        if kind in ALONE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        body = data[place + 2 : place + length]
        if kind == 0xDA:
            _check_scans(data, place, pixels)
            return b"".join([*kept, b"\xff\xda", memoryview(data)[place:]]), turn
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(body) >= 5:
            pixels = int.from_bytes(body[1:3], "big") * int.from_bytes(body[3:5], "big")
        if kind == 0xE1 and turn == 1:
            turn = (
                exif_orientation(body)
                if body.startswith(EXIF)
                else xmp_orientation(body)
                if body.startswith(XMP)
                else 1
            )
        if (
            kind < 0xE0
            or kind in (0xE0, 0xEE)
            or (kind == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
        ):
            kept.append(b"\xff" + found[1] + data[place : place + max(length, 2)])
        place += max(length, 2)
    raise ValueError(f"more than {MAX_SEGMENTS:,} parts before its pixels")


def _check_scans(data: bytes, place: int, pixels: int) -> None:
    """Refuse a JPEG that passes over its pixels far more often than any encoder makes it."""
    allowed = min(MAX_SCANS, MAX_SCAN_PIXELS // max(pixels, 1))
    if data.count(b"\xff\xda", place) < allowed:  # an upper bound, found at once
        return
    scans = 1
    for found in SCAN_END.finditer(data, place):
        scans += found[1] == b"\xda"
        if found[1] == b"\xd9" or scans > allowed:
            break
    if scans > allowed:
        raise ValueError(f"more than {allowed} scans over its pixels")


def _lean_png(data: bytes) -> tuple[bytes, int]:
    kept, place, turn, view = [PNG_SIGNATURE], 8, 1, memoryview(data)
    for _ in range(MAX_PARTS):
        name, end = (
            data[place + 4 : place + 8],
            place + 12 + int.from_bytes(data[place : place + 4], "big"),
        )
        if end > len(data) or name == b"IEND":  # cut off, or the end: as it is
            kept.append(view[place : min(end, len(data))])
            return b"".join(kept), turn
        if name in PNG_KEPT:
            kept.append(view[place:end])
        elif name == b"eXIf":
            turn = exif_orientation(data[place + 8 : end - 4])
        place = end
    raise ValueError(f"more than {MAX_PARTS:,} parts")


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in the first directory of an EXIF block; 1 where it says none that can be read."""
    tiff = exif.removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        start = struct.unpack_from(f"{order}I", tiff, 4)[0] if order else 0
        for entry in range(
            start + 2,
            start + 2 + 12 * struct.unpack_from(f"{order}H", tiff, start)[0] if order else 0,
            12,
        ):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION_TAG and kind in (SHORT, LONG):
                value = struct.unpack_from(
                    order + ("H" if kind == SHORT else "I"), tiff, entry + 8
                )[0]
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the block ends before its directory
        pass
    return 1


def xmp_orientation(packet: bytes) -> int:
    """The orientation that an XMP packet gives, 1 where it gives none."""
    found = XMP_ORIENTATION.search(packet)
    return int(found[1]) if found else 1
