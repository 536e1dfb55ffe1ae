"""Which images are selected: by a click, lasso or box in either map, by table, search or the address.

What is selected in one map has rings in the other. A chart loses its own selection whenever its figure changes, so a
chart in which images were selected keeps the rings that it had; they are hidden beside a selection of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from derm_core.insight.regions import Region
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.map_detail import MapDetail

KEY, VISITED, RINGED = "map-selection", "map-visited", "map-rings"
CLEARED = "cleared"


@dataclass(frozen=True)
class Selection:
    """The selected images of a dataset.

    Attributes:
        dataset: its name.
        rows: manifest rows.
        source: where they were selected: a chart's key, "table", "line", "search", "address" or CLEARED.
        image: id of a single selected image, which is part of the address.
        beyond: whether a box or lasso selected images that its chart does not draw.
        table_version: changes when another source than the table selects, which takes the table's ticks back.
        chart_version: changes when the selection is cleared from outside the charts, which then start afresh.
    """

    dataset: str = ""
    rows: tuple[int, ...] = ()
    source: str = ""
    image: str | None = None
    beyond: bool = False
    table_version: int = 0
    chart_version: int = 0


def current() -> Selection:
    """The session's selection, empty before the first."""
    return st.session_state.get(KEY) or Selection()


def selected_rows(first: LoadedMap) -> list[int]:
    """The selected manifest rows that are on the map. An address that names another image than before comes first."""
    state, linked = current(), st.query_params.get("image")
    if linked and first.info.expected and linked not in set(first.points["image_id"]):
        return []  # it is among the images that follow
    if state.dataset != first.dataset.name or (linked and linked != state.image):
        rows = first.points.loc[first.points["image_id"] == (linked or ""), "row"]
        select(first, rows.tolist(), "address")
    on_map = set(first.points["row"])
    return [row for row in current().rows if row in on_map]


def select(first: LoadedMap, rows: Sequence[int], source: str, beyond: bool = False) -> None:
    """Select these manifest rows; see `Selection`. One image alone becomes part of the address."""
    rows = tuple(dict.fromkeys(int(row) for row in rows))
    ids = first.points.loc[first.points["row"].isin(rows[:1]), "image_id"]
    image = str(ids.iloc[0]) if len(rows) == 1 and len(ids) else None
    before = current()
    st.session_state[KEY] = Selection(
        first.dataset.name,
        rows,
        source,
        image,
        beyond,
        before.table_version + (source != "table"),
        before.chart_version + (source == CLEARED),
    )
    if image is None:
        st.query_params.pop("image", None)
    else:
        st.query_params["image"] = image
        earlier = [row for row in st.session_state.get(VISITED, []) if row != rows[0]]
        st.session_state[VISITED] = [*earlier[-1:], rows[0]]


def recent_rows(first: LoadedMap) -> list[int]:
    """Rows selected now, else visited last, else one image of each class; at least two where the map has two."""
    state = current()
    now = state.rows[:2] if state.dataset == first.dataset.name else ()
    visited = reversed(st.session_state.get(VISITED, []))
    examples = first.points.drop_duplicates("label")["row"].tolist()
    on_map = set(first.points["row"])
    return [row for row in dict.fromkeys([*now, *visited, *examples]) if row in on_map]


def clicked_rows(key: str) -> list[int]:
    """Manifest rows that are selected in the chart `key`."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
    values = [point["customdata"] for point in points if "customdata" in point]
    return [int(value[0] if isinstance(value, (list, tuple)) else value) for value in values]


def dot_of(key: str) -> str:
    """The source of what was selected by a dot that the page's script drew in the chart `key`: it has a ring there."""
    return f"{key}, a further dot"


def select_in_chart(first: LoadedMap, key: str, detail: MapDetail | None) -> None:
    """Callback of a chart. detail: all of its points, where it does not draw all: a box or lasso selects among them."""
    boxes, outlines = drawn_outlines(key)
    if detail is not None and (boxes or outlines):
        select(first, detail.inside(boxes, outlines, clicked_rows(key)), key, beyond=True)
    else:
        select(first, clicked_rows(key), key)


def drawn_outlines(key: str) -> tuple[list[Region], list[np.ndarray]]:
    """The boxes and lassos that are drawn in the chart `key`; of a lasso its corners (k, 2)."""
    drawn = (st.session_state.get(key) or {}).get("selection", {})
    boxes = [
        Region(min(box["x"]), max(box["x"]), min(box["y"]), max(box["y"]))
        for box in drawn.get("box", [])
    ]
    return boxes, [np.array([one["x"], one["y"]]).T for one in drawn.get("lasso", [])]


def select_in_table(first: LoadedMap, key: str, rows: Sequence[int]) -> None:
    """Callback of the table. rows: the manifest row of each of its lines."""
    ticked = (st.session_state.get(key) or {}).get("selection", {}).get("rows", [])
    select(first, [rows[line] for line in ticked if line < len(rows)], "table")


def rows_to_ring(key: str, selected: list[int]) -> list[int]:
    """The rows with rings in the chart `key`: those selected elsewhere, or its earlier ones."""
    rings = st.session_state.setdefault(RINGED, {})
    in_chart = current().source == key and bool(clicked_rows(key))
    if not in_chart and current().source != dot_of(key):
        rings[key] = list(selected)
    return rings.setdefault(key, [])
