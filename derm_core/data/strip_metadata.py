"""Image files without their metadata, before Pillow opens them; costly files are refused.

Pillow reads every metadata block of a file, some at a cost that grows with the square of their
number or with what a directory claims, and follows a JPEG's scans and a BMP's runs as long as they
go on: a few megabytes can cost minutes or gigabytes. Here JPEG segments and PNG chunks without
pixels or colour are dropped, and files whose decoding would cost out of proportion to their size
are refused.
"""

from __future__ import annotations

import re
import struct

MAX_PARTS = 100_000  # chunks of a PNG; cameras and editors write some thousands
# Before a JPEG's pixels; a maker's note and a colour profile take some hundreds.
MAX_SEGMENTS = 10_000
MAX_SCANS = 100  # of a JPEG; progressive ones have about 10
MAX_SCAN_PIXELS = 1_000_000_000  # scans × pixels of a JPEG: 25 scans of 40 million pixels

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT")
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
# Without "+" for fill bytes: the search would try all of them again from each.
MARKER = re.compile(rb"\xff([\x01-\xfe])")
SCAN_END = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # restart markers lie inside a scan
ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
START_OF_SCAN, END_OF_IMAGE, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
TABLES = range(0xE0)  # markers below the application segments: frame, quantisation and code tables
COLOUR_TRANSFORMS = (0xE0, 0xEE)  # JFIF and Adobe
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4


def strip_metadata(data: bytes) -> tuple[bytes, int | None]:
    """A file without the metadata that its pixels do not need, and the orientation in them (1 to 8).

    Returns:
        The file, and None for the orientation of formats that are returned as they are (WebP, HEIC,
        and whatever is no image).

    Raises:
        ValueError: decoding would cost out of proportion to the file's size; says why.
    """
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _strip_png(data)
    if data.startswith(b"BM") and data[30:31] in (b"\1", b"\2") and data[14:18] != b"\x0c\0\0\0":
        raise ValueError("run-length coded pixels (BMP), which are not read; save it as PNG")
    return data, None


def _strip_jpeg(data: bytes) -> tuple[bytes, int]:
    view, parts = memoryview(data), list[memoryview]()
    begin = 0  # of the part that stays as it is
    place, orientation, pixels = 2, 1, 0
    for _ in range(MAX_SEGMENTS):
        marker = MARKER.search(data, place)
        if marker is None or (kind := marker[1][0]) == END_OF_IMAGE:
            return data[:64], orientation  # no pixels: the decoder reports that
        start = marker.end()
        end = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
        if marker.start() > place:  # bytes that belong to no segment
            parts.append(view[begin:place])
            begin = marker.start()
        if kind == START_OF_SCAN:
            _check_scans(data, start, pixels)
            return b"".join([*parts, view[begin:]]) if begin else data, orientation
        if kind in FRAMES and min(end, len(data)) >= start + 7:
            height, width = struct.unpack_from(">HH", data, start + 3)
            pixels = height * width
        elif kind == APP1 and orientation == 1:
            body = data[start + 2 : end]
            if body.startswith(EXIF):
                orientation = exif_orientation(body)
            elif body.startswith(XMP):
                orientation = xmp_orientation(body)
        place = start if kind in ALONE else end
        is_profile = kind == APP2 and data.startswith(b"ICC_PROFILE\0", start + 2, end)
        is_needed = kind in TABLES or kind in COLOUR_TRANSFORMS or is_profile
        if kind in ALONE or not is_needed:
            parts.append(view[begin : marker.start()])
            begin = place
    raise ValueError(f"more than {MAX_SEGMENTS:,} parts before its pixels")


def _check_scans(data: bytes, place: int, pixels: int) -> None:
    """Refuse a JPEG with far more scans over its pixels than any encoder writes."""
    allowed = min(MAX_SCANS, MAX_SCAN_PIXELS // max(pixels, 1))
    if data.count(b"\xff\xda", place) < allowed:  # an upper bound, found at once
        return
    scans = 1
    for marker in SCAN_END.finditer(data, place):
        scans += marker[1][0] == START_OF_SCAN
        if marker[1][0] == END_OF_IMAGE or scans > allowed:
            break
    if scans > allowed:
        raise ValueError(f"more than {allowed} scans over its pixels")


def _strip_png(data: bytes) -> tuple[bytes, int]:
    view = memoryview(data)
    parts: list[bytes | memoryview] = [PNG_SIGNATURE]
    place, orientation = len(PNG_SIGNATURE), 1
    for _ in range(MAX_PARTS):
        name = data[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data) or name == b"IEND":  # cut off, or the end: as it is
            parts.append(view[place : min(end, len(data))])
            return b"".join(parts), orientation
        if name in PNG_CHUNKS:
            parts.append(view[place:end])
        elif name == b"eXIf":
            orientation = exif_orientation(data[place + 8 : end - 4])
        place = end
    raise ValueError(f"more than {MAX_PARTS:,} parts")


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in the first directory of an EXIF block; 1 where none can be read."""
    tiff = exif.removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        start = struct.unpack_from(f"{order}I", tiff, 4)[0]
        count = struct.unpack_from(f"{order}H", tiff, start)[0]
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION_TAG and kind in (SHORT, LONG):
                code = order + ("H" if kind == SHORT else "I")
                value: int = struct.unpack_from(code, tiff, entry + 8)[0]
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the block ends before its directory
        pass
    return 1


def xmp_orientation(packet: bytes) -> int:
    """The orientation that an XMP packet gives, 1 where it gives none."""
    match = XMP_ORIENTATION.search(packet)
    return int(match[1]) if match else 1
