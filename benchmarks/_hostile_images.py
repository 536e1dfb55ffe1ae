"""Image files that mean harm, or are merely broken, made from a seed: `make(seed, index)` → (kind, name, bytes).

The first files are the worked-out ones (`SPECIALS`: bombs, absurd sizes, huge metadata, scans
without end, other formats under image names, two formats in one file, cuts at every marker); all
others are sound little files of every mode and depth with damage drawn at random in their header or
body.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from derm_core.data.decode import MAX_BYTES
from derm_core.seeds import stream_seed

SUFFIX = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "GIF": ".gif",
    "TIFF": ".tif",
}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
VALUES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xd9",
    b"\xff\xc2",
    b"IDAT",
    b"IEND",
)


def picture(mode: str, size: tuple[int, int] = (37, 29)) -> Image.Image:
    """A smooth picture of a mode, not flat, so that every coder has something to do."""
    if size[0] * size[1] > 10**6:
        return picture(mode).resize(size, Image.Resampling.NEAREST)
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    rgb = Image.fromarray(np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray((x * 257).astype(np.uint16))
    return rgb.convert(mode)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (37, 29), **options) -> bytes:
    buffer = io.BytesIO()
    picture(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int = 6) -> bytes:
    """A small sound EXIF block (TIFF, little-endian) with an orientation alone."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


@lru_cache(maxsize=1)
def bases() -> list[tuple[str, bytes]]:
    """(format, bytes) of sound files: every mode and depth that each format knows."""
    frames = [picture("RGB"), picture("RGB").rotate(90), picture("RGB").rotate(180)]
    many = {"save_all": True, "append_images": frames, "duration": 10}
    options = {
        "JPEG": [
            ("RGB", {}),
            ("RGB", {"progressive": True}),
            ("L", {}),
            ("L", {"progressive": True}),
            ("CMYK", {}),
            ("RGB", {"subsampling": 2, "restart_marker_blocks": 1}),
            ("RGB", {"quality": 100, "exif": b"Exif\0\0" + exif()}),
            ("RGB", {"comment": b"x" * 300, "icc_profile": srgb()}),
            ("RGB", {"optimize": True, "subsampling": 0}),
        ],
        "PNG": [(mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
        + [("P", {"bits": bits}) for bits in (1, 2, 4)]
        + [
            ("P", {"transparency": 3}),
            ("RGB", {"transparency": (1, 2, 3)}),
            ("RGB", {"icc_profile": srgb()}),
            ("RGB", {"exif": exif()}),
            ("RGBA", many),
        ],
        "WEBP": [
            ("RGB", {}),
            ("RGB", {"lossless": True}),
            ("RGBA", {}),
            ("RGBA", {"lossless": True}),
            ("RGB", many),
            ("RGBA", {**many, "lossless": True}),
            ("RGB", {"exif": exif(), "icc_profile": srgb()}),
        ],
        "BMP": [(mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")],
    }
    files = [
        (kind, encoded(kind, mode, **more))
        for kind, variants in options.items()
        for mode, more in variants
    ]
    files += [
        ("PNG", raw_png(9, 7, depth, colour, interlace))
        for interlace in (0, 1)
        for depth, colour in (
            (1, 0),
            (2, 0),
            (4, 0),
            (8, 0),
            (16, 0),
            (8, 2),
            (16, 2),
            (8, 4),
            (16, 4),
            (8, 6),
            (16, 6),
        )
    ]
    return [
        *files,
        ("BMP", rle_bmp(16, 4, b"\x10\x05\x00\x00" * 4 + b"\x00\x01")),
        ("BMP", os2_bmp()),
    ]


@lru_cache(maxsize=1)
def srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@lru_cache(maxsize=1)
def other_rgb() -> bytes:
    """A colour profile that must be applied: sRGB's numbers under another name."""
    return srgb().replace("sRGB".encode("utf-16-be"), "aRGB".encode("utf-16-be"))


@lru_cache(maxsize=1)
def cmyk() -> bytes:
    """A colour profile for four inks (ICC.1:2001, one table of 8 bits with two points a side).

    Light is what no ink takes.
    """
    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(16, 4)
    lab = np.stack([255 * (1 - inks.mean(1)), np.full(16, 128), np.full(16, 128)], -1).astype(
        np.uint8
    )
    curves = bytes(range(256))
    table = (
        b"mft1"
        + bytes(4)
        + bytes([4, 3, 2, 0])
        + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
        + curves * 4
        + lab.tobytes()
        + curves * 3
    )
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags, body = [], b""
    for name, data in ((b"desc", text), (b"wtpt", white), (b"A2B0", table)):
        tags.append(name + struct.pack(">II", 128 + 4 + 12 * 3 + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    size = 128 + 4 + 12 * 3 + len(body)
    head = (
        struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
        + bytes(12)
        + b"acsp"
        + bytes(28)
    )
    return (
        head
        + struct.pack(">3i", 63190, 65536, 54061)
        + bytes(48)
        + struct.pack(">I", 3)
        + b"".join(tags)
        + body
    )


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zeros(count: int, level: int = 9) -> bytes:
    """`count` zero bytes, deflated without ever holding them all."""
    packer, made = zlib.compressobj(level), []
    while count > 0:
        made.append(packer.compress(bytes(min(count, 1 << 20))))
        count -= 1 << 20
    return b"".join([*made, packer.flush()])


def raw_png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 2,
    interlace: int = 0,
    before: bytes = b"",
    pixels: bytes | None = None,
) -> bytes:
    """A PNG made by hand; black where `pixels` (deflated) are not given. `before`: chunks before the pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * depth * channels + 7) // 8
    if pixels is None:
        pixels = zeros(row * height + (height * 8 + row if interlace else 0))
    header = struct.pack(
        ">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, interlace
    )
    return (
        SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def rle_bmp(width: int, height: int, body: bytes, bits: int = 8) -> bytes:
    """A run-length coded BMP (type 1: 8 bits, 2: 4 bits)."""
    palette = bytes(range(256)) * 4 if bits == 8 else bytes(64)
    offset = 14 + 40 + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, 1 if bits == 8 else 2, len(body), 0, 0, 0, 0
    )
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + palette + body


def os2_bmp() -> bytes:
    body = bytes(range(48))
    return (
        b"BM"
        + struct.pack("<IHHI", 26 + len(body), 0, 0, 26)
        + struct.pack("<IHHHH", 12, 4, 4, 1, 24)
        + body
    )


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(extra: bytes, **options) -> bytes:
    """A JPEG with bytes after its start-of-image marker."""
    data = encoded("JPEG", **options)
    return data[:2] + extra + data[2:]


def resized_jpeg(data: bytes, width: int, height: int) -> bytes:
    """The size in a JPEG's frame header replaced; its pixels stay those of the small picture."""
    at = re.search(rb"\xff[\xc0-\xc2]\x00", data).start()
    return data[: at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[at + 9 :]


def scan_bomb(width: int, height: int, total: int) -> bytes:
    """A progressive JPEG whose every scan passes over all blocks again and says "nothing here"."""
    data = resized_jpeg(encoded("JPEG", "L", progressive=True), width, height)
    first = data.index(b"\xff\xda")
    table = segment(
        0xC4, b"\x10" + bytes([1]) + bytes(15) + b"\xe0"
    )  # one code: a run of 2^14 empty blocks
    head, blocks = data[:first], -(-width // 8) * -(-height // 8)
    codes = 1 + blocks // 32767
    body = (
        np.packbits(np.array(([0] + [1] * 14) * codes + [1] * 8, np.uint8))
        .tobytes()
        .replace(b"\xff", b"\xff\0")
    )
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 1 << 4])) + body
    return head + table + scan * ((total - len(head)) // len(scan)) + b"\xff\xd9"


def overlapping_exif(entries: int, payload: int, kind: int = 7) -> bytes:
    """A TIFF directory whose every entry claims the same long stretch of bytes."""
    rows = b"".join(struct.pack("<HHII", tag, kind, payload, 8) for tag in range(1, entries + 1))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", entries & 0xFFFF) + rows + bytes(4 + payload)


def webp_with(name: bytes, data: bytes) -> bytes:
    """An extended WebP file with a chunk more."""
    inner = encoded("WEBP", "RGB", lossless=True)[12:]
    flags = {b"EXIF": 8, b"ICCP": 32, b"XMP ": 4}[name]
    extended = (
        b"VP8X"
        + struct.pack("<IB3x", 10, flags)
        + struct.pack("<I", 36)[:3]
        + struct.pack("<I", 28)[:3]
    )
    more = name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    parts = [extended, more, inner] if name == b"ICCP" else [extended, inner, more]
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, parts))) + b"WEBP" + b"".join(parts)


def patched(kind: str, width: int, height: int) -> bytes:
    """A small file that claims another size."""
    if kind == "PNG":
        return raw_png(width, height, pixels=zlib.compress(bytes(200)))
    if kind == "JPEG":
        return resized_jpeg(encoded("JPEG"), width, height)
    if kind == "BMP":
        return (
            encoded("BMP")[:18]
            + struct.pack("<II", width & 0xFFFFFFFF, height & 0xFFFFFFFF)
            + encoded("BMP")[26:]
        )
    data = bytearray(encoded("WEBP"))
    data[26:30] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    return bytes(data)


SIZES = (
    (0, 0),
    (0, 5),
    (5, 0),
    (1, 1),
    (1, 65535),
    (65535, 1),
    (65535, 65535),
    (40000, 1000),
    (2**31 - 1, 1),
    (1, 2**31 - 1),
    (2**31 - 1, 2**31 - 1),
    (2**32 - 1, 2**32 - 1),
    (16383, 16383),
    (6325, 6325),
    (-5, -5),
)


def _bombs() -> dict[str, Callable[[], bytes]]:
    files = {
        f"bomb-png-{depth}-{colour}-{interlace}": lambda d=depth, c=colour, i=interlace: raw_png(
            6300, 6300, d, c, i
        )
        for depth, colour in ((8, 2), (16, 0), (16, 2), (8, 6), (16, 6), (8, 4), (1, 0))
        for interlace in (0, 1)
    }
    files |= {
        "bomb-png-over": lambda: raw_png(20000, 20000),
        "bomb-png-idat": lambda: raw_png(10, 10, pixels=zeros(2**31)),
        "bomb-png-row": lambda: raw_png(39_000_000, 1),
        "bomb-png-column": lambda: raw_png(1, 39_000_000, 8, 0),
        "bomb-png-transparent": lambda: raw_png(6300, 6300, 8, 2, before=chunk(b"tRNS", bytes(6))),
        "bomb-png-turned": lambda: raw_png(6300, 6300, 8, 6, before=chunk(b"eXIf", exif(5))),
        "bomb-png-profile": lambda: raw_png(
            6300, 6300, 8, 2, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(other_rgb()))
        ),
        "bomb-jpeg-flat": lambda: encoded("JPEG", "L", (6300, 6300)),
        "bomb-jpeg-progressive": lambda: encoded("JPEG", "RGB", (6300, 6300), progressive=True),
        "bomb-jpeg-cmyk": lambda: encoded("JPEG", "CMYK", (6000, 6000)),
        "bomb-jpeg-turned": lambda: encoded(
            "JPEG", "RGB", (6300, 6300), exif=b"Exif\0\0" + exif(7), icc_profile=other_rgb()
        ),
        "bomb-jpeg-halved": lambda: encoded("JPEG", "RGB", (12600, 12600)),
        "bomb-jpeg-halved-fine": lambda: encoded(
            "JPEG", "RGB", (12600, 12600), subsampling=0, quality=50
        ),
        "bomb-jpeg-halved-cmyk": lambda: encoded("JPEG", "CMYK", (12600, 12600), quality=50),
        "bomb-jpeg-halved-turned": lambda: encoded(
            "JPEG", "RGB", (12600, 12600), exif=b"Exif\0\0" + exif(7), icc_profile=other_rgb()
        ),
        "bomb-jpeg-halved-cmyk-profile": lambda: encoded(
            "JPEG",
            "CMYK",
            (12600, 12600),
            quality=50,
            exif=b"Exif\0\0" + exif(7),
            icc_profile=cmyk(),
        ),
        "bomb-webp": lambda: encoded("WEBP", "RGB", (6300, 6300), quality=1, method=0),
        "bomb-webp-alpha": lambda: encoded(
            "WEBP", "RGBA", (6300, 6300), lossless=True, quality=0, method=0
        ),
        "bomb-bmp-1": lambda: encoded("BMP", "1", (6300, 6300)),
        "bomb-bmp-rle-lines": lambda: rle_bmp(20_000_000, 2, b"\x01\x00\0\0" * 2 + b"\0\1"),
        "bomb-bmp-rle-delta": lambda: rle_bmp(6300, 6300, b"\0\2\x01\0" * 3_700_000),
        "bomb-bmp-rle-single": lambda: rle_bmp(6300, 6300, b"\x01\x07" * 7_400_000),
        "bomb-bmp-rle4": lambda: rle_bmp(6300, 6300, b"\xff\x12" * 200_000, 4),
        "bomb-bmp-rle-nothing": lambda: rle_bmp(10, 6300, b"\x01\x07" * 7_400_000),
    }
    for scans in (200_000, 2_000_000, MAX_BYTES - 100):
        files[f"bomb-jpeg-scans-{scans}"] = lambda n=scans: scan_bomb(6320, 6320, n)
    return files


def _metadata() -> dict[str, Callable[[], bytes]]:
    big = 14 * 2**20
    return {
        "meta-jpeg-exif-pieces": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(8)) * 800_000),
        "meta-jpeg-exif-large": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 220),
        "meta-jpeg-exif-overlap": lambda: jpeg_with(
            segment(0xE1, b"Exif\0\0" + overlapping_exif(2600, 33_000))
        ),
        "meta-jpeg-exif-overlap-many": lambda: jpeg_with(
            b"".join(
                segment(0xE1, b"Exif\0\0" + part)
                for part in _pieces(overlapping_exif(65535, 2**20), 65_000)
            )
        ),
        "meta-jpeg-icc": lambda: jpeg_with(
            b"".join(
                segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 200]) + bytes(65_000))
                for i in range(1, 201)
            )
        ),
        "meta-jpeg-icc-real": lambda: jpeg_with(
            b"".join(
                segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 100]) + part)
                for i, part in enumerate(
                    _pieces(srgb() + bytes(100 * 65_000 - len(srgb())), 65_000)
                )
            )
        ),
        "meta-jpeg-app13": lambda: jpeg_with(
            segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000) * 200
        ),
        "meta-jpeg-app-tiny": lambda: jpeg_with(segment(0xE5, b"") * 3_600_000),
        "meta-jpeg-com-tiny": lambda: jpeg_with(segment(0xFE, b"") * 3_600_000),
        "meta-jpeg-fill": lambda: jpeg_with(b"\xff" * big),
        "meta-jpeg-zeros": lambda: jpeg_with(bytes(big)),
        "meta-jpeg-tables": lambda: jpeg_with(segment(0xDB, bytes(65)) * 200_000),
        "meta-jpeg-huffman": lambda: jpeg_with(
            segment(0xC4, b"\x00" + bytes([1]) + bytes(15) + b"\0") * 600_000
        ),
        "meta-jpeg-restart": lambda: encoded("JPEG")[:-2] + b"\xff\xd0" * (big // 2) + b"\xff\xd9",
        "meta-jpeg-frames": lambda: encoded("JPEG") * 12_000,
        "meta-jpeg-mpf": lambda: jpeg_with(
            segment(0xE2, b"MPF\0" + overlapping_exif(2600, 33_000))
        ),
        "meta-png-chunks": lambda: raw_png(9, 7, before=chunk(b"teSt", b"") * 1_200_000),
        "meta-png-idats": lambda: (
            raw_png(9, 7, before=b"")[:-12] + chunk(b"IDAT", b"") * 1_200_000 + chunk(b"IEND", b"")
        ),
        "meta-png-idat-bytes": _idat_bytes,
        "meta-png-ztxt": lambda: raw_png(9, 7, before=chunk(b"zTXt", b"k\0\0" + zeros(2**28)) * 20),
        "meta-png-itxt": lambda: raw_png(
            9, 7, before=chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(2**28)) * 20
        ),
        "meta-png-text": lambda: raw_png(9, 7, before=chunk(b"tEXt", b"k\0" + bytes(13 * 2**20))),
        "meta-png-text-many": lambda: raw_png(9, 7, before=chunk(b"tEXt", b"k\0v") * 900_000),
        "meta-png-iccp": lambda: raw_png(9, 7, before=chunk(b"iCCP", b"x\0\0" + zeros(2**30))),
        "meta-png-iccp-large": lambda: raw_png(
            9, 7, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(srgb() + bytes(10**6)))
        ),
        "meta-png-exif-overlap": lambda: raw_png(
            9, 7, before=chunk(b"eXIf", overlapping_exif(65535, 2**20))
        ),
        "meta-png-exif-rationals": lambda: raw_png(
            9, 7, before=chunk(b"eXIf", overlapping_exif(400, 2**20, 5))
        ),
        "meta-png-exif-raw": lambda: raw_png(
            9,
            7,
            before=chunk(
                b"zTXt",
                b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 1000\n" + b"ab" * 400_000),
            ),
        ),
        "meta-png-apng": lambda: raw_png(
            9,
            7,
            before=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
            + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9, 7, 0, 0, 1, 1, 0, 0)),
        ),
        "meta-webp-exif-overlap": lambda: webp_with(b"EXIF", overlapping_exif(65535, 2**20)),
        "meta-webp-exif-large": lambda: webp_with(b"EXIF", bytes(big)),
        "meta-webp-icc": lambda: webp_with(b"ICCP", bytes(big)),
        "meta-webp-xmp": lambda: webp_with(b"XMP ", b"<" * big),
        "meta-webp-icc-real": lambda: webp_with(b"ICCP", srgb() + bytes(10**6)),
        "meta-bmp-offset": lambda: encoded("BMP")[:10] + b"\xff\xff\xff\x7f" + encoded("BMP")[14:],
        "meta-bmp-colours": lambda: (
            encoded("BMP", "P")[:46] + b"\xff\xff\xff\xff" + encoded("BMP", "P")[50:]
        ),
    }


def _idat_bytes() -> bytes:
    """Pixels in chunks of one byte each."""
    rng = np.random.default_rng(0)
    pixels = zlib.compress(rng.integers(0, 256, (640, 1921), np.uint8).tobytes())[:1_200_000]
    return (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 640, 640, 8, 2, 0, 0, 0))
        + b"".join(chunk(b"IDAT", pixels[i : i + 1]) for i in range(len(pixels)))
        + chunk(b"IEND", b"")
    )


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _others() -> dict[str, Callable[[], bytes]]:
    script = b"<html><script>alert(1)</script></html>"
    empty_zip = b"PK\x05\x06" + bytes(18)
    files = {
        f"other-{kind.lower()}": lambda k=kind: encoded(k, "P" if k == "GIF" else "RGB")
        for kind in ("GIF", "TIFF", "PPM", "ICO", "TGA", "PCX", "EPS", "PDF", "JPEG2000", "AVIF")
        if kind in _savers()
    }
    files |= {
        f"other-text-{i}": lambda t=text: t
        for i, text in enumerate(
            (
                b"",
                b"\0",
                b"\xff",
                b"\xff\xd8",
                b"\xff\xd8\xff",
                SIGNATURE,
                b"RIFF",
                b"RIFF\0\0\0\0WEBP",
                b"BM",
                b"BM" + bytes(60),
                script,
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
                empty_zip,
                b"%PDF-1.4",
                b"\x7fELF" + bytes(60),
                b"8BPS\0\1" + bytes(60),
                b"\x80\x04cos\nsystem\n(S'true'\ntR.",
                b"MZ" + bytes(100),
                b"\x1f\x8b\x08" + bytes(20),
                b"GIF89a",
                b"a" * 70_000,
            )
        )
    }
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        files |= {
            f"polyglot-{kind}-zip": lambda k=kind: encoded(k) + empty_zip,
            f"polyglot-{kind}-html": lambda k=kind: encoded(k) + script,
            f"polyglot-{kind}-before": lambda k=kind: script + encoded(k),
            f"polyglot-{kind}-pdf": lambda k=kind: b"%PDF-1.4\n" + encoded(k),
            f"polyglot-{kind}-twice": lambda k=kind: encoded(k) * 2,
            f"too-large-{kind}": lambda k=kind: encoded(k) + bytes(MAX_BYTES),
            f"padded-{kind}": lambda k=kind: encoded(k) + bytes(MAX_BYTES - 100_000),
        }
        files |= {
            f"size-{kind}-{w}x{h}": lambda k=kind, w=w, h=h: patched(k, w, h) for w, h in SIZES
        }
    files["polyglot-PNG-JPEG"] = lambda: raw_png(9, 7, before=chunk(b"teSt", encoded("JPEG")))
    files["polyglot-JPEG-PNG"] = lambda: jpeg_with(segment(0xFE, encoded("PNG")))
    return files


def _savers() -> set[str]:
    Image.init()
    return set(Image.SAVE)


def _cuts() -> dict[str, Callable[[], bytes]]:
    """Every base file, cut at (and just behind) each of its markers or chunks."""
    files = {}
    for number, (kind, data) in enumerate(bases()):
        marker = {
            "JPEG": rb"\xff[\x01-\xfe]",
            "PNG": rb"[A-Za-z]{4}",
            "WEBP": rb"(VP8.|ANIM|ANMF|EXIF|ICCP|ALPH)",
            "BMP": rb"BM",
        }[kind]
        places = sorted(
            {
                at + more
                for match in re.finditer(marker, data)
                for at in [match.start()]
                for more in (0, 2, 4)
            }
        )
        for at in places[:40]:
            files[f"cut-{kind}-{number}-{at}"] = lambda d=data, n=at: d[:n]
    return files


@lru_cache(maxsize=1)
def specials() -> dict[str, Callable[[], bytes]]:
    """Name → maker of the worked-out files."""
    return _bombs() | _metadata() | _others() | _cuts()


def make(seed: int, index: int) -> tuple[str, str, bytes]:
    """(kind, file name, bytes) of file `index`: one of the worked-out ones first, then random damage."""
    made = specials()
    rng = np.random.default_rng(stream_seed(seed, "fuzz", index))
    if index < len(made):
        kind = list(made)[index]
        return kind, kind + str(rng.choice(list(SUFFIX.values()))), made[kind]()
    number = int(rng.integers(len(bases())))
    kind, data = bases()[number]
    name = f"damaged-{index}" + (
        SUFFIX[kind] if rng.random() < 0.8 else str(rng.choice(list(SUFFIX.values())))
    )
    return f"damaged-{kind}-{number}", name, damaged(data, rng)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """1 to 8 changes to a file, half the time in its first 120 bytes: bits, values, cuts, repeats, insertions."""
    made = bytearray(data)
    header = rng.random() < 0.5
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(max(1, min(len(made), 120 if header else len(made)))))
        choice, value = int(rng.integers(6)), VALUES[int(rng.integers(len(VALUES)))]
        if choice == 0 and made:
            made[at % len(made)] ^= 1 << int(rng.integers(8))
        elif choice == 1:
            made[at : at + len(value)] = value
        elif choice == 2:
            made[at:at] = value
        elif choice == 3:
            del made[at : at + int(rng.integers(1, 40))]
        elif choice == 4:
            made[at:at] = made[at : at + int(rng.integers(1, 200))]
        else:
            made[at : at + 4] = rng.bytes(4)
    data = bytes(made)
    return sealed(data) if data.startswith(SIGNATURE) and rng.random() < 0.7 else data


def sealed(data: bytes) -> bytes:
    """A PNG with every chunk's checksum made right again, so that damage gets past it."""
    made, at = bytearray(data), 8
    while at + 12 <= len(made):
        length = struct.unpack(">I", made[at : at + 4])[0]
        if at + 12 + length > len(made):
            break
        made[at + 8 + length : at + 12 + length] = struct.pack(
            ">I", zlib.crc32(made[at + 4 : at + 8 + length])
        )
        at += 12 + length
    return bytes(made)
