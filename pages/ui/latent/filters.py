"""Above the maps: method, colour, filter and search, all of them kept in the address."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.insight.selection import (
    categories,
    find,
    is_scale,
    narrow,
    read_filters,
    write_filters,
)
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import METHODS, LoadedMap

from .. import frame, words


def draw_filters(first: LoadedMap, second: LoadedMap | None) -> tuple[str, str, np.ndarray]:
    """(method, column to colour by, which points the filter leaves (n,) bool)."""
    methods = [method for method in first.methods if second is None or method in second.methods]
    columns = first.columns
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        method = frame.linked(
            "Method",
            methods,
            "method",
            widget=st.segmented_control,
            required=True,
            always=False,
            key=f"method-{len(methods)}",
            format_func=METHODS.get,
        )
        colour = frame.linked(
            "Colour by", list(columns), "colour", width=210, always=False, format_func=columns.get
        )
        kept = filtered(first, columns)
        search(first)
    return method, colour, kept


def filtered(first: LoadedMap, columns: dict[str, str]) -> np.ndarray:
    """The filter's popover; returns which points it leaves. The address holds what is set."""
    filters = {
        column: wanted
        for column, wanted in read_filters(st.query_params.get("filter", "")).items()
        if column in columns
    }
    label = f"Filter · {words.count(len(filters), 'rule')}" if filters else "Filter"
    with st.popover(label, icon=":material/filter_alt:", key="filter", on_change="rerun") as box:
        if box.open:
            used = st.multiselect(
                "Show only images with",
                list(columns),
                default=list(filters),
                format_func=columns.get,
                key=f"filter-columns-{first.run_id}",
                placeholder="Choose what to filter by",
            )
            filters = {
                column: _wanted(first.points[column], column, columns[column], filters.get(column))
                for column in used
            }
            filters = {column: wanted for column, wanted in filters.items() if wanted}
    if filters:
        st.query_params["filter"] = write_filters(filters)
    else:
        st.query_params.pop("filter", None)
    return narrow(first.points, filters)


def _wanted(values: pd.Series, column: str, name: str, before) -> tuple[float, float] | list[str]:
    """One column's rule: a range for a measure, values for a category."""
    if is_scale(values):
        low, high = float(values.min()), float(values.max())
        start = (
            tuple(float(np.clip(end, low, high)) for end in before)
            if isinstance(before, tuple)
            else (low, high)
        )
        return tuple(st.slider(words.plain(name), low, high, start, key=f"filter-{column}"))
    text = categories(values).value_counts()
    known = (
        [value for value in before or [] if value in text.index]
        if not isinstance(before, tuple)
        else []
    )
    return st.multiselect(
        words.plain(name),
        sorted(text.index),
        default=known,
        key=f"filter-{column}",
        placeholder="Any",
        format_func=lambda value: f"{value} ({text[value]:,})",
    )


def search(first: LoadedMap) -> None:
    """Find images by their id, or a part of it."""

    def found() -> None:
        rows = find(first.points, st.session_state["search"])
        st.session_state["search-missed"] = (
            "" if rows or not st.session_state["search"] else st.session_state["search"]
        )
        if rows:
            selection.take(first, rows, "search")

    st.text_input(
        "Search by image id",
        key="search",
        type="search",
        on_change=found,
        width=190,
        placeholder="or a part of it",
    )
    if st.session_state.get("search-missed"):
        st.caption(
            f"No image id on this map holds “{words.plain(st.session_state['search-missed'])}”."
        )
