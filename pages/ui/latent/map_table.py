"""The table of a map's points: to sort, read, download and select from, also without a mouse."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.insight.packed_map import COORDINATES
from pages.ui import frame, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap

NAMES = {
    "image_id": "Image id",
    "group": "Group",
    "umap_x": "UMAP x",
    "umap_y": "UMAP y",
    "pca_x": "PCA x",
    "pca_y": "PCA y",
}


def draw_table(first: LoadedMap, mask: np.ndarray) -> None:
    """All points that pass the filter. mask: (n,) bool."""
    with st.expander("Table", icon=":material/table:", key="table", on_change="rerun") as box:
        if not box.open:
            return
        columns = list(dict.fromkeys(["image_id", *first.columns, "group", *COORDINATES]))
        names = NAMES | first.columns
        points = _sorted_points(first, first.points[mask], columns, names)
        key = f"points-{first.run_id}-{selection.current().table_version}"
        rows = points["row"].tolist()
        st.dataframe(
            points[columns],
            hide_index=True,
            height=320,
            key=key,
            alt="All points of the map",
            selection_mode="multi-row",
            column_config={column: names[column] for column in columns},
            on_select=functools.partial(selection.select_in_table, first, key, rows),
        )
        st.caption("Tick lines to see their images and to ring them on the maps.")
        frame.download_table(points, "Download CSV", name="map")


def _sorted_points(
    first: LoadedMap, points: pd.DataFrame, columns: list[str], names: dict[str, str]
) -> pd.DataFrame:
    """The points in the chosen order, and a line of them selected by its number.

    Both work by keyboard and screen reader; the table's own ticks and headings, drawn on a canvas, do not.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        by = st.selectbox(
            "Sort by", columns, format_func=lambda name: names[name], key="table-sort", width=210
        )
        order = st.selectbox("Order", ["ascending", "descending"], key="table-order", width=150)
        points = points.sort_values(by, ascending=order == "ascending", kind="stable")
        key = f"line-{first.run_id}-{by}-{order}-{st.query_params.get('filter', '')}"

        def select_line() -> None:
            line = st.session_state[key]
            selection.select(first, [] if line is None else [points["row"].iloc[line - 1]], "line")

        line = st.number_input(
            "Choose line",
            1,
            max(len(points), 1),
            None,
            1,
            key=key,
            on_change=select_line,
            width=190,
            placeholder=f"1 to {len(points):,}",
            disabled=not len(points),
        )
    if line is not None and line <= len(points):
        name, label = points[["image_id", "label"]].iloc[line - 1]
        label = "no label" if pd.isna(label) else label
        st.markdown(f"Line {line:,}: **{words.plain(name)}** · {words.plain(label)}")
    return points
