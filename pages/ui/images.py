"""Images on a page: thumbnails of a dataset, small enough to send many. Originals are read, never changed."""

from __future__ import annotations

import base64
import functools
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from derm_core.config.shared import ImageForm
from derm_core.data.decode import read_image
from derm_core.data.manifest import Dataset
from derm_core.data.masks import Masks, as_seen
from derm_core.errors import ImageError
from derm_core.insight.overlay import outlined
from pages.ui import words

THUMBNAIL = 144  # pixels
THUMBNAIL_BYTES = 4_400  # below 6 KB in base64, as it is sent
QUALITIES = (72, 50, 30, 15, 5, 0)
ABSENT = "its file is gone or has changed"
RECONSTRUCTIONS = "Reconstructions by the VAE; the images are not on this machine"
RECONSTRUCTED = "reconstruction by the VAE; the image is not on this machine"
Reconstruct = Callable[[Sequence[int], int], list[bytes]]  # rows and size in pixels -> WEBP each


def webp(image: Image.Image, quality: int = QUALITIES[0]) -> bytes:
    """An image as WEBP; one of skin has 1 to 4 KB at 144 px.

    Method 0 takes a fifth of the usual time for a fifth more bytes.
    """
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=0)
    return buffer.getvalue()


def small_webp(image: Image.Image) -> bytes:
    """An image as WEBP of at most THUMBNAIL_BYTES, at the best quality that fits; at half the side where none does."""
    for quality in QUALITIES:
        data = webp(image, quality)
        if len(data) <= THUMBNAIL_BYTES:
            return data
    return small_webp(image.reduce(2))


def data_url(data: bytes, kind: str = "webp") -> str:
    """An image file's bytes as an address for st.image and a table's image column.

    From bytes, st.image would encode a JPEG at every run of the page. From bytes and pixels it makes a file that the
    server holds until the whole page runs again: too long for a user's image, which a fragment may remove.
    """
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def jpeg_url(image: Image.Image) -> str:
    """`data_url` of an image that is encoded once and shown once: as a JPEG, several times as fast as `webp`."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return data_url(buffer.getvalue(), "jpeg")


def resized(pixels: np.ndarray, side: int) -> Image.Image:
    """uint8 (S, S, 3) as an image of `side` pixels, bicubic."""
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


@functools.lru_cache(4000)  # st.cache_data takes longer to look up a thumbnail than to send it
def _thumbnail(path: str, sha256: str, size: int) -> bytes | None:
    if not path:  # of a published result, and not on this machine
        return None
    try:
        image = Image.fromarray(read_image(path, size))
    except (ImageError, OSError):
        return None
    return small_webp(image) if size <= THUMBNAIL else webp(image)


def thumbnail(dataset: Dataset, row: int, size: int = THUMBNAIL) -> bytes | None:
    """The centre square of a manifest row's image, `size` pixels, as WEBP; None where its file is gone."""
    path, content = (dataset.frame[column].iloc[int(row)] for column in ("path", "sha256"))
    return _thumbnail(path, content, size)


@dataclass(frozen=True)
class Picture:
    """An image as it is shown: of its file, or as a VAE draws it."""

    webp: bytes
    is_reconstruction: bool = False


def pictures(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    size: int = THUMBNAIL,
    reconstruct: Reconstruct | None = None,
) -> list[Picture | None]:
    """Manifest rows as `thumbnail` has them, drawn by `reconstruct` where a file is not here; None for neither."""
    here = {row: thumbnail(dataset, row, size) for row in map(int, rows)}
    absent = [row for row, webp in here.items() if webp is None]
    drawn = reconstruct(absent, size) if reconstruct is not None and absent else []
    shown = {row: Picture(webp) for row, webp in here.items() if webp is not None}
    shown |= {row: Picture(webp, True) for row, webp in zip(absent, drawn)}
    return [shown.get(int(row)) for row in rows]


def outline(picture: Picture, masks: Masks, image_id: str) -> Picture:
    """A thumbnail with the outline of its lesion; as it is where that is not known."""
    mask = masks.of_image(image_id)
    if mask is None or picture.is_reconstruction:
        return picture
    with Image.open(io.BytesIO(picture.webp)) as image:
        pixels = np.asarray(image.convert("RGB"))
    drawn = outlined(pixels, as_seen(mask, ImageForm(len(pixels))))
    return Picture(webp(Image.fromarray(drawn), quality=QUALITIES[0]))


def file_thumbnail(path: str, size: int = THUMBNAIL) -> bytes | None:
    """`thumbnail` of an image file that is not imported yet; None where it cannot be read."""
    try:
        version = str(os.stat(path).st_mtime_ns)
    except OSError:
        return None
    return _thumbnail(path, version, size)


def gallery(
    dataset: Dataset,
    rows: Sequence[int] | np.ndarray,
    *,
    columns: int = 8,
    min_width: int = 96,
    captions: Sequence[str] | None = None,
    reconstruct: Reconstruct | None = None,
    masks: Masks | None = None,
) -> None:
    """Thumbnails in a grid that fills the width, each with its class, or its caption, below.

    Args:
        reconstruct: draws those whose files are not here; what is drawn is called that.
        masks: whose outlines are drawn over the images.
    """
    frame = dataset.frame
    shown = pictures(dataset, rows, reconstruct=reconstruct)
    if masks:
        names = frame["image_id"].iloc[list(rows)]
        shown = [picture and outline(picture, masks, name) for picture, name in zip(shown, names)]
    with st.grid(columns, min_column_width=min_width, gap="small"):
        for place, (row, picture) in enumerate(zip(map(int, rows), shown, strict=True)):
            label, name = frame["label"].iloc[row] or "no label", frame["image_id"].iloc[row]
            with st.container(gap=None):
                if picture is None:
                    st.caption(f":material/broken_image: {words.plain(name)}: {ABSENT}")
                else:
                    about = f", {RECONSTRUCTED}" if picture.is_reconstruction else ""
                    alt = f"{name}, {label}{about}"
                    st.image(data_url(picture.webp), width="stretch", alt=alt)
                    st.caption(captions[place] if captions else words.plain(label))
    drawn = sum(one.is_reconstruction for one in shown if one is not None)
    if drawn == len(shown) > 0:
        st.caption(f"{RECONSTRUCTIONS}.")
    elif drawn:
        st.caption(
            f"{drawn} of these are reconstructions by the VAE; their images are not on this machine."
        )
