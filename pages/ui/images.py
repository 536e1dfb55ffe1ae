"""Images on a page: thumbnails of a dataset, small enough to send many. Originals are read, never changed."""

from __future__ import annotations

import io
from collections.abc import Sequence

import streamlit as st
from PIL import Image

from derm_core.data.decode import read_image
from derm_core.errors import ImageError

THUMBNAIL = 144


@st.cache_data(max_entries=4000, show_spinner=False)
def _thumbnail(path: str, sha256: str, size: int) -> bytes | None:
    try:
        image = Image.fromarray(read_image(path, size))
    except (ImageError, OSError):
        return None
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=72)
    return buffer.getvalue()


def thumbnail(dataset, row: int, size: int = THUMBNAIL) -> bytes | None:
    """The image of a manifest row as a WEBP of about 4 KB; None where its file is gone."""
    found = dataset.frame.iloc[int(row)]
    return _thumbnail(found["path"], found["sha256"], size)


def gallery(dataset, rows: Sequence[int], *, captions: Sequence[str] | None = None, width: int = 132) -> None:
    """Thumbnails side by side, wrapping, each with its caption (else its class)."""
    with st.container(horizontal=True, gap="small"):
        for place, row in enumerate(rows):
            caption = captions[place] if captions is not None else str(dataset.frame["label"].iloc[int(row)])
            picture = thumbnail(dataset, row)
            with st.container(width=width, gap=None):
                if picture is None:
                    st.caption(f":material/broken_image: {dataset.frame['image_id'].iloc[int(row)]}: its file is gone "
                               "or has changed")
                else:
                    st.image(picture, width=width)
                    st.caption(caption)
