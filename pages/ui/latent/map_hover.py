"""The image of the dot under the pointer, beside the map or over its corner, and images in place of dots.

The charts stay those of st.plotly_chart. A component of the page (map_hover.js) listens to them and asks this app for
images, a few at a time (pages/ui/map_route.py). No part of the page runs for that, and the selection is not touched.
Of a chart that draws only some of its points it draws those in view as well (map_detail.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import streamlit as st
from starlette.responses import JSONResponse

from pages.ui import images, map_route
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap

SIDE = 128  # pixels of an image
BATCH = 4  # images that are prepared together: a VAE draws several as fast as one
MAX_ROWS = 100  # in a request
SECONDS = 0.1  # after which no further images are prepared for one request
_FILES = Path(__file__).parent
_component = st.components.v2.component(
    "map_hover",
    html=(_FILES / "map_hover.html").read_text("utf-8"),
    css=(_FILES / "map_hover.css").read_text("utf-8"),
    js=(_FILES / "map_hover.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class ShownChart:
    """A chart of the page, as the component is told of it.

    Attributes:
        side: "a" or "b".
        key: of its widget.
        points: the address of its further points; None where it draws all.
    """

    side: str
    key: str
    points: str | None


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


def draw_hover(first: LoadedMap, charts: Sequence[ShownChart]) -> None:
    """The component for these charts, inside the fragment that draws them.

    Args:
        first: the map whose dataset has the images.
        charts: one or two.
    """
    key = f"hover-{first.run_id}-{len(first.points)}"
    source = map_route.offer(
        map_route.IMAGES,
        "map-images",
        lambda query: answer(first, query),
        (first.run_id, first.version),
    )
    places = {chart_key(chart.side): chart for chart in charts}
    _component(
        key=key,
        data={
            "charts": list(places),
            "images": source.address,
            "points": {name: chart.points for name, chart in places.items() if chart.points},
        },
        on_chosen_change=lambda: _choose(first, key),
        on_clicked_change=lambda: _choose_in_chart(first, key, places),
    )


def answer(first: LoadedMap, query: map_route.Query) -> JSONResponse:
    """JSON [{row, …}, …] of the rows that `query` names: ?rows=1,2. Raises BadQuery."""
    try:
        rows = [int(row) for row in query.get("rows", "").split(",")]
    except ValueError:
        rows = []
    if not 0 < len(rows) <= MAX_ROWS:
        raise map_route.BadQuery(f"rows: 1 to {MAX_ROWS} numbers, separated by commas.")
    return JSONResponse([asdict(image) for image in hover_images(first, rows)])


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


def _choose_in_chart(first: LoadedMap, key: str, places: Mapping[str, ShownChart]) -> None:
    """Select the image whose dot, one that the component drew, was clicked."""
    clicked = st.session_state[key].get("clicked") or {}
    chart = places.get(str(clicked.get("chart")))
    if chart is not None and clicked.get("row") in set(first.points["row"]):
        selection.select(first, [clicked["row"]], selection.dot_of(chart.key))
