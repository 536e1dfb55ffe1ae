"""Images on a page: thumbnails of a dataset, small enough to send many. Originals are read, never changed."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence

import streamlit as st
from PIL import Image

from derm_core.data.decode import read_image
from derm_core.errors import ImageError

from . import words

THUMBNAIL = 144
MOST_BYTES = 4_400  # of a thumbnail: in base64, as it is sent, below 6 KB
QUALITIES = (72, 50, 30, 15, 5, 0)


def webp(image: Image.Image, quality: int = QUALITIES[0]) -> bytes:
    """An image as WEBP; one of skin has 1 to 4 KB at 144 px."""
    buffer = io.BytesIO()
    image.save(
        buffer, "WEBP", quality=quality, method=0
    )  # a fifth of the time for a fifth more bytes
    return buffer.getvalue()


def small(image: Image.Image) -> bytes:
    """An image as WEBP of at most MOST_BYTES, at the best quality that fits; of half the pixels where none does."""
    for quality in QUALITIES:
        data = webp(image, quality)
        if len(data) <= MOST_BYTES:
            return data
    return small(image.reduce(2))


def drawn(image: Image.Image) -> str:
    """What is made once and shown once, as `data_url`: a JPEG, several times as fast as `webp`."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return data_url(buffer.getvalue(), "jpeg")


def data_url(data: bytes, kind: str = "webp") -> str:
    """An image file's bytes as an address that st.image and a table's image column show as it is.

    Of bytes, st.image would make a JPEG anew at every run of the page. Of bytes and pixels it makes a file that the server
    keeps until the whole page runs again: too long for what shows a user's image, which a fragment may take away.
    """
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


@functools.lru_cache(
    4000
)  # not st.cache_data, which takes longer to look a small thing up than to send it
def _thumbnail(path: str, sha256: str, size: int) -> bytes | None:
    try:
        return (small if size <= THUMBNAIL else webp)(Image.fromarray(read_image(path, size)))
    except (ImageError, OSError):
        return None


def thumbnail(dataset, row: int, size: int = THUMBNAIL) -> bytes | None:
    """The centre square of a manifest row's image, `size` pixels, as WEBP; None where its file is gone."""
    path, content = (dataset.frame[column].iloc[int(row)] for column in ("path", "sha256"))
    return _thumbnail(path, content, size)


def gallery(
    dataset,
    rows: Sequence[int],
    *,
    columns: int = 8,
    min_width: int = 96,
    captions: Sequence[str] | None = None,
) -> None:
    """Thumbnails in a grid that fills the width, each with its class, or its caption, below."""
    frame = dataset.frame
    with st.grid(columns, min_column_width=min_width, gap="small"):
        for place, row in enumerate(map(int, rows)):
            label, name = frame["label"].iloc[row] or "no label", frame["image_id"].iloc[row]
            picture = thumbnail(dataset, row)
            with st.container(gap=None):
                if picture is None:
                    st.caption(
                        f":material/broken_image: {words.plain(name)}: its file is gone or has changed"
                    )
                else:
                    st.image(data_url(picture), width="stretch", alt=f"{name}, {label}")
                    st.caption(captions[place] if captions else words.plain(label))
