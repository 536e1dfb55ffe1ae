"""The one gate for image files, trusted or not: bytes in, a plain sRGB picture out, or a reason.

Import, upload and command line all pass through here, so that a model sees the same pixels
whichever way an image came. Uses Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from ..errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_BYTES = 15 * 2**20
MAX_PIXELS = 40_000_000
PREPROCESSING_VERSION = 1

ORIENTATION_TAG = 0x0112
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
         4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
         6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}


def read_bytes(path: Path | str, name: str = "image") -> bytes:
    """A file's bytes, refused above MAX_BYTES before they are read. Raises ImageError."""
    try:
        with open(path, "rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{name}: the file cannot be opened ({error.strerror or error}).") from error
    return _check_bytes(data, name)


def _check_bytes(data: bytes, name: str) -> bytes:
    if not data:
        raise ImageError(f"{name}: the file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name}: the file is larger than {MAX_BYTES // 2**20} MB; save it smaller.")
    return data


def decode(source: bytes | Path | str, name: str = "image") -> Image.Image:
    """An image file as a plain 8-bit sRGB picture of its own, without metadata.

    source: the file's bytes or its path. Number of pixels and bytes are checked before decoding;
    EXIF orientation and a colour profile are applied, 16-bit grey is scaled, transparency is laid
    over white, of several frames the first is taken. Truncated files are refused. Raises ImageError.
    """
    image = _decode(source, name)
    if type(image) is not Image.Image:      # still the file's object, which keeps what was in the file
        image = image.copy()
        image.info = {}
    return image


def _decode(source: bytes | Path | str, name: str) -> Image.Image:
    """`decode` without the copy: the pixels may still belong to the file's object, with its metadata."""
    data = _check_bytes(bytes(source), name) if isinstance(source, (bytes, bytearray, memoryview)) \
        else read_bytes(source, name)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a JPEG, PNG, WebP or BMP image.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels(name)) from error
    except Exception as error:
        raise ImageError(f"{name}: the file is damaged ({_reason(error)}).") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(_too_many_pixels(name, image.size))
        try:
            image.load()
            turn = TURNS.get(_orientation(image))
            plain = _to_srgb(image)
        except Exception as error:
            raise ImageError(f"{name}: the file is damaged or incomplete ({_reason(error)}).") from error
    return plain.transpose(turn) if turn is not None else plain


def _too_many_pixels(name: str, size: tuple[int, int] | None = None) -> str:
    shown = f" ({size[0]} × {size[1]})" if size else ""
    return f"{name}: more than {MAX_PIXELS // 10**6} million pixels{shown}; save it smaller."


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the EXIF block cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:   # a hostile EXIF block raises almost anything in Pillow; without it the pixels are still good
        return 1


def _to_srgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as sRGB mode "RGB", transparency over white, metadata dropped."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.mode.startswith("I") or image.mode == "F":
        image = _scale_16_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    converted = _apply_profile(image, profile) if profile else None
    plain = converted or (image if image.mode == "RGB" else image.convert("RGB"))
    plain.info = {}
    if alpha is not None:
        white = Image.new("RGB", plain.size, "white")
        white.paste(plain, mask=alpha)
        plain = white
    return plain


def _scale_16_bit(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey: 65535 becomes 255, not a clipped white image."""
    values = np.clip(np.asarray(image).astype(np.float64), 0, 65535)
    return Image.fromarray(np.round(values / 257).astype(np.uint8))


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` in sRGB through its embedded profile; None where the profile is broken or of another mode."""
    try:
        transform = _transform(profile, image.mode)
        return None if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from `profile` to sRGB; None for sRGB itself, which needs none."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.buildTransform(source, target, mode, "RGB")


def prepare(image: Image.Image, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the short side to `size` (antialiased bicubic), then the centre square.

    Only the centre square is resampled; pixels beside it still enter the filter at its edge, as
    when the whole image is resized first and cropped then.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(square)


def read_image(source: bytes | Path | str, size: int, name: str = "image") -> np.ndarray:
    """(size, size, 3) uint8 sRGB of an image file: `decode`, then `prepare`. Raises ImageError."""
    return read_sizes(source, [size], name)[size]


def read_sizes(source: bytes | Path | str, sizes: Iterable[int], name: str = "image") -> dict[int, np.ndarray]:
    """`read_image` at several sizes, decoded once."""
    image = _decode(source, name)
    return {size: prepare(image, size) for size in sizes}
