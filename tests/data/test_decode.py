"""The gate for image files: every kind comes out as plain sRGB, everything harmful is refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from derm_core.data.decode import MAX_BYTES, MAX_PIXELS, decode, prepare, read_image
from derm_core.errors import ImageError
from tests.builders import encode, noise


def linear_profile() -> bytes:
    """A minimal ICC v2 profile with sRGB primaries (D50 adapted) and a linear tone curve."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"linear\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ " + bytes(4) + fixed(0.4361, 0.2225, 0.0139),
        b"gXYZ": b"XYZ " + bytes(4) + fixed(0.3851, 0.7169, 0.0971),
        b"bXYZ": b"XYZ " + bytes(4) + fixed(0.1431, 0.0606, 0.7141),
    }
    tags |= {name: b"curv" + bytes(8) for name in (b"rTRC", b"gTRC", b"bTRC")}
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s",
        offset + len(body),
        b"lcms",
        0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0),
        b"acsp",
        b"APPL",
    )
    header += bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return header[:128] + struct.pack(">I", len(tags)) + table + body


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG file whose header promises `width` × `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_keep_every_pixel(format):
    pixels = noise(20, 30)
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(np.asarray(decode(encode(pixels, format, **options))), pixels)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied_and_dropped(orientation, turned):
    pixels, exif = noise(12, 18), Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(pixels, "PNG", exif=exif))
    assert np.array_equal(np.asarray(image), turned(pixels))
    assert not image.info and not dict(image.getexif())


def test_a_colour_profile_is_converted_to_srgb():
    linear = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (8, 1, 3))
    x = linear / 255
    expected = 255 * np.where(
        x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055
    )  # IEC 61966-2-1
    result = np.asarray(decode(encode(linear, icc_profile=linear_profile())))
    assert np.abs(result - expected).max() <= 2


def test_a_broken_colour_profile_does_not_lose_the_image():
    pixels = noise(8, 8)
    assert np.array_equal(np.asarray(decode(encode(pixels, icc_profile=b"nonsense"))), pixels)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    grey = np.asarray(decode(encode(values)))
    assert np.abs(grey[..., 0] - values / 257).max() <= 0.5
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()


def test_transparency_lies_over_white():
    pixels = np.concatenate(
        [noise(10, 10), np.linspace(0, 255, 100).astype(np.uint8).reshape(10, 10, 1)], axis=2
    )
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(decode(encode(pixels))) - expected).max() <= 1


def test_a_palette_with_a_transparent_colour():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 10, 20, 1, 2, 3])
    image.putpixel((0, 0), 1)
    result = np.asarray(decode(encode(image, transparency=1)))
    assert result[0, 0].tolist() == [255, 255, 255] and result[2, 2].tolist() == [200, 10, 20]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK"])
def test_other_modes_become_rgb(mode):
    grey = Image.new("L", (9, 7), 255).convert(mode)
    image = decode(
        encode(
            grey,
            "JPEG" if mode == "CMYK" else "PNG",
            **({"quality": 100} if mode == "CMYK" else {}),
        )
    )
    assert image.mode == "RGB" and image.size == (9, 7)
    assert np.asarray(image).min() >= 253


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encode(
        frames[0],
        format,
        save_all=True,
        append_images=frames[1:],
        duration=50,
        **({"lossless": True} if format == "WEBP" else {}),
    )
    assert np.asarray(decode(data))[8, 8].tolist() == [255, 0, 0]


def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    def decoding(*_):
        raise AssertionError("the image was decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decoding)
    for width, height in ((MAX_PIXELS // 5000 + 1, 5000), (60000, 60000)):
        with pytest.raises(ImageError, match="million pixels"):
            decode(png_claiming(width, height))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_files_are_refused(format, share):
    data = encode(noise(64, 64), format)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"this is a text, not a picture\n" * 20, "not a JPEG"),
        (bytes(MAX_BYTES + 1), "larger than"),
        (encode(Image.new("RGB", (8, 8)), "GIF"), "not a JPEG"),
        (encode(Image.new("RGB", (8, 8)), "TIFF"), "not a JPEG"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(tmp_path, data, why):
    path = tmp_path / "lesion.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=why) as refusal:
        decode(path, "lesion.jpg")
    assert "lesion.jpg" in str(refusal.value)


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="cannot be opened"):
        decode(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("width", "height"), [(60, 60), (180, 60), (60, 180), (240, 60), (60, 300)]
)
def test_prepare_equals_resize_then_centre_crop(width, height):
    size, image = 20, Image.fromarray(noise(height, width, seed=1))
    whole = image.resize((width // 3, height // 3), Image.Resampling.BICUBIC)
    left, top = (whole.width - size) // 2, (whole.height - size) // 2
    expected = np.asarray(whole.crop((left, top, left + size, top + size))).astype(int)
    assert np.abs(prepare(image, size).astype(int) - expected).max() <= 1


def test_a_decoded_picture_is_no_files_object_any_more():
    image = decode(encode(noise(12, 18), "JPEG", comment=b"mine", dpi=(72, 72)))
    assert type(image) is Image.Image and not image.info


def test_read_image_accepts_bytes_and_paths_alike(tmp_path):
    data = encode(noise(40, 50), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    from_bytes, from_path = read_image(data, 16), read_image(tmp_path / "a.jpg", 16)
    assert from_bytes.shape == (16, 16, 3) and from_bytes.dtype == np.uint8
    assert np.array_equal(from_bytes, from_path)


@pytest.mark.shared
def test_everyday_photographs_pass(shared):
    for path in sorted((shared / "data" / "photos").iterdir()):
        assert decode(path, path.name).mode == "RGB"
