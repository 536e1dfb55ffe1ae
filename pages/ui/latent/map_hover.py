"""The image of the dot under the pointer, beside the map or over its corner, and images in place of dots.

The charts stay those of st.plotly_chart. A component of the page (map_hover.js) listens to them and asks this app for
images, a few at a time (pages/ui/map_route.py). No part of the page runs for that, and the selection is not touched.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.ui import map_route, images
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap

SIDE = 128  # pixels of an image
BATCH = 4  # images that are prepared together: a VAE draws several as fast as one
SECONDS = 0.1  # after which no further images are prepared for one request
_FILES = Path(__file__).parent
_component = st.components.v2.component(
    "map_hover",
    html=(_FILES / "map_hover.html").read_text("utf-8"),
    css=(_FILES / "map_hover.css").read_text("utf-8"),
    js=(_FILES / "map_hover.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class HoverImage:
    """An image as the component shows it.

    Attributes:
        row: of the manifest.
        src: the image as a data address; None where there is neither a file nor a reconstruction.
        name: the image's id.
        lines: its class, split and predictions, and what the picture is where it is no photo.
        is_reconstruction: whether a VAE drew it.
    """

    row: int
    src: str | None
    name: str
    lines: list[str]
    is_reconstruction: bool


def draw_hover(first: LoadedMap, sides: str) -> None:
    """The component for the charts in the containers "chart-a" and "chart-b", inside the fragment with the charts.

    Args:
        first: the map whose dataset has the images.
        sides: "a" or "ab".
    """
    key = f"hover-{first.run_id}-{len(first.points)}"
    source = map_route.offer(
        "map-images", lambda rows: entries(first, rows), (first.run_id, first.version)
    )
    _component(
        key=key,
        data={"charts": [chart_key(side) for side in sides], "images": source.address},
        on_chosen_change=lambda: _choose(first, key),
    )


def entries(first: LoadedMap, rows: list[int]) -> list[dict[str, Any]]:
    """`hover_images` as they are sent."""
    return [asdict(image) for image in hover_images(first, rows)]


def chart_key(side: str) -> str:
    """Key of the container of a chart, by which the component finds it."""
    return f"chart-{side}"


def hover_images(first: LoadedMap, rows: list[int], seconds: float = SECONDS) -> list[HoverImage]:
    """The images of these manifest rows, BATCH at least; no more than can be prepared in `seconds`.

    Rows that the dataset does not have are left out; of one that the first map does not have (yet), its class alone is
    known.
    """
    known = [row for row in rows if 0 <= row < len(first.dataset)]
    points = first.points[first.points["row"].isin(known)].set_index("row")
    prepared: list[HoverImage] = []
    deadline = time.monotonic() + seconds
    for start in range(0, len(known), BATCH):
        if start and time.monotonic() > deadline:
            break
        part = known[start : start + BATCH]
        pictures = images.pictures(first.dataset, part, SIDE, first.reconstruct)
        for row, picture in zip(part, pictures, strict=True):
            point = points.loc[row] if row in points.index else pd.Series(dtype=object)
            prepared.append(_hover_image(first, row, point, picture))
    return prepared


def _hover_image(
    first: LoadedMap, row: int, point: pd.Series, picture: images.Picture | None
) -> HoverImage:
    name, label = first.dataset.frame[["image_id", "label"]].iloc[row]
    lines = ["no label" if pd.isna(label) else str(label)]
    if "split" in point:
        lines.append(f"Split {point['split']}")
    for model in first.models:
        prediction = point.get(f"prediction_{model.slot}")
        if pd.notna(prediction):
            lines.append(f"{model.short_name}: {prediction}")
    if picture is None:
        lines.append(images.ABSENT)
    elif picture.is_reconstruction:
        lines.append(images.RECONSTRUCTED)
    src = images.data_url(picture.webp) if picture is not None else None
    return HoverImage(row, src, str(name), lines, picture is not None and picture.is_reconstruction)


def _choose(first: LoadedMap, key: str) -> None:
    """Select the image that the Enter key chose."""
    row = st.session_state[key].get("chosen")
    if row in set(first.points["row"]):
        selection.select(first, [row], "keyboard")
