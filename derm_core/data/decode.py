"""The one place where image files are checked and decoded: bytes in, a plain sRGB picture out.

Import, upload and command line all read images here, so that a model sees the same pixels
whichever way an image came. Uses Pillow only; HEIC photos need the extra pillow-heif.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from ..errors import ImageError
from .strip_metadata import exif_orientation, strip_metadata, xmp_orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_BYTES = 15 * 2**20
MAX_PIXELS = 40_000_000
# Of a JPEG that can be read at half its size, without ever being whole in memory.
MAX_PHOTO_PIXELS = 4 * MAX_PIXELS
PREPROCESSING_VERSION = 1

Source = bytes | bytearray | memoryview | Path | str | Image.Image

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
TRANSPOSE = {  # EXIF orientation → what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_bytes(path: Path | str, name: str = "image") -> bytes:
    """A file's bytes, refused above MAX_BYTES before they are read. Raises ImageError."""
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            data = handle.read(min(size, MAX_BYTES) + 1)  # room for MAX_BYTES takes longer
            if len(data) > size:  # the file does not know its size, or grows
                data += handle.read(MAX_BYTES + 1 - len(data))
    except OSError as error:
        raise ImageError(
            f"{name}: the file cannot be opened ({error.strerror or error})."
        ) from error
    return _check_bytes(data, name)


def _check_bytes(data: bytes, name: str) -> bytes:
    if not data:
        raise ImageError(f"{name}: the file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(
            f"{name}: the file is larger than {MAX_BYTES // 2**20} MB; save it smaller."
        )
    return data


def decode(source: Source, name: str = "image") -> Image.Image:
    """An image file as a plain 8-bit sRGB picture of its own, without metadata.

    Number of pixels and bytes are checked before decoding. EXIF orientation and a colour profile
    are applied, 16-bit grey is scaled, transparency is laid over white, of several frames the first
    is taken. A baseline JPEG above MAX_PIXELS is read at half its size.

    Args:
        source: the file's bytes, its path, or a picture that `decode` returned before.
        name: what the file is called in the message of an error.

    Raises:
        ImageError: the file is too large, damaged, truncated or of another format.
    """
    image = open_picture(source, name)
    if type(image) is not Image.Image:  # still the file's object, which holds its metadata
        image = image.copy()
        image.info = {}
    return image


def open_picture(source: Source, name: str = "image") -> Image.Image:
    """`decode` without the copy, for pixels that are read at once: the result may hold metadata."""
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        data = _check_bytes(bytes(source), name)
    else:
        data = read_bytes(source, name)
    try:
        data, orientation = strip_metadata(data)
    except ValueError as error:
        raise ImageError(f"{name}: the file has {error}.") from error
    formats = (*FORMATS, "HEIF") if _is_heic(data) and heic_ready() else FORMATS
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        raise ImageError(_unknown(data, name)) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels(name)) from error
    except Exception as error:
        raise ImageError(
            f"{name}: the file is damaged: {_reason(error)}. Copy or save it again."
        ) from error
    with image:
        _limit_pixels(image, data, name)
        try:
            image.load()
            transpose = TRANSPOSE.get(orientation or _orientation(image))
            plain = _to_srgb(image)
        except Exception as error:
            raise ImageError(
                f"{name}: the file is damaged or incomplete: {_reason(error)}. Copy or save it again."
            ) from error
    return plain.transpose(transpose) if transpose is not None else plain


def _limit_pixels(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse an opened image of too many pixels; read a large JPEG at half its size where it allows that.

    libjpeg halves a JPEG in its cosine transform, row by row. It holds a whole image of several
    scans (progressive ones are) in memory first, at whatever size: those have the limit of all
    others.
    """
    width, height = image.size
    if width * height <= MAX_PIXELS:
        return
    if image.format != "JPEG" or width * height > MAX_PHOTO_PIXELS or not _one_scan(data):
        raise ImageError(_too_many_pixels(name, image.size))
    image.draft(None, (width // 2, height // 2))


def _one_scan(jpeg: bytes) -> bool:
    """Whether the first scan of a sequential JPEG holds all its colours: it can be decoded row by row."""
    place, colours = 2, 0
    while place + 10 <= len(jpeg):
        if jpeg[place] != 0xFF:
            return False
        kind = jpeg[place + 1]
        if kind == 0xFF:  # a fill byte before the marker
            place += 1
        elif kind in (0xC0, 0xC1):  # sequential frame: its colours stand at byte 9
            colours = jpeg[place + 9]
            place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        elif kind == 0xDA:  # first scan: its colours stand at byte 4
            return colours > 0 and jpeg[place + 4] == colours
        elif 0xC2 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return False  # progressive, lossless or arithmetic
        else:
            place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return False


@lru_cache(maxsize=1)
def heic_ready() -> bool:
    """Whether HEIC photos can be read here: pillow-heif is installed, and now known to Pillow."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


def _is_heic(data: bytes) -> bool:
    """Whether the file says that it is a HEIF container with HEVC images (ISO 23008-12, brands of annex B)."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS


def _unknown(data: bytes, name: str) -> str:
    if not _is_heic(data):
        return f"{name}: not a JPEG, PNG, WebP or BMP image."
    if heic_ready():
        return (
            f"{name}: the HEIC photo is damaged or of a kind that cannot be read; save it as JPEG."
        )
    return (
        f"{name}: a HEIC photo, which needs the extra pillow-heif (pip install pillow-heif, see "
        "requirements-extras.txt); install it, or save the photo as JPEG."
    )


def crop_square(image: Image.Image, centre_x: float, centre_y: float, side: float) -> Image.Image:
    """A square part of a picture; it is moved inside the picture where it would leave it.

    (0.5, 0.5, 1) is the square that `prepare` takes.

    Args:
        image: the picture.
        centre_x: share of the width, 0 to 1.
        centre_y: share of the height, 0 to 1.
        side: share of the shorter side, at most 1.
    """
    pixels = max(1, round(min(image.size) * min(side, 1.0)))
    left, top = (
        min(max(round(centre * length - pixels / 2), 0), length - pixels)
        for centre, length in zip((centre_x, centre_y), image.size, strict=True)
    )
    return image.crop((left, top, left + pixels, top + pixels))


def _too_many_pixels(name: str, size: tuple[int, int] | None = None) -> str:
    actual = f" ({size[0]} × {size[1]})" if size else ""
    return (
        f"{name}: more than {MAX_PIXELS // 10**6} million pixels{actual}; save it smaller. Only JPEG photos of the "
        f"ordinary (baseline) kind may have up to {MAX_PHOTO_PIXELS // 10**6} million."
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:120] or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """The orientation in an image's EXIF block, else in its XMP packet.

    Read by `strip_metadata`, not by Pillow, which would read every entry of a hostile block.
    """
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    if exif:
        return exif_orientation(exif)
    return xmp_orientation(xmp) if isinstance(xmp, bytes) else 1


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
    values = np.asarray(image)
    scaled = np.empty(values.shape, np.uint8)
    # A few rows at a time: 40 million doubles would fill 300 MB, three times.
    step = max(1, 2**20 // image.width)
    for top in range(0, len(values), step):
        rows = np.clip(values[top : top + step].astype(np.float64), 0, 65535)
        scaled[top : top + step] = np.round(rows / 257)
    return Image.fromarray(scaled)


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


def prepare(image: Image.Image, size: int, interpolation: str = "bicubic") -> np.ndarray:
    """(size, size, 3) uint8: the short side to `size` (antialiased bicubic), then the centre square.

    interpolation: bicubic, bilinear or lanczos.

    Only the centre square is resampled; pixels beside it still enter the filter at its edge, as
    when the whole image is resized first and cropped then.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = image.resize(
        (size, size), RESAMPLING[interpolation], box=(left, top, left + side, top + side)
    )
    return np.asarray(square)


def read_image(source: Source, size: int, name: str = "image") -> np.ndarray:
    """(size, size, 3) uint8 sRGB of an image file: `decode`, then `prepare`. Raises ImageError."""
    return prepare(open_picture(source, name), size)
