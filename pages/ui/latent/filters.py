"""Above the maps: method, colour, filter and search, all of them part of the address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from pages.ui import frame, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import METHODS, LoadedMap

MISSED = "search-missed"


@dataclass(frozen=True)
class MapSettings:
    """What is set above the maps.

    Attributes:
        method: "umap" or "pca".
        colour: the column to colour by.
        mask: (n,) bool, points of the first map that pass the filter.
    """

    method: str
    colour: str
    mask: np.ndarray


def draw_filters(
    first: LoadedMap, second: LoadedMap | None, about: Callable[[], None]
) -> MapSettings:
    """The row of widgets above the maps, and at its end what `about` draws."""
    methods = [method for method in first.methods if second is None or method in second.methods]
    columns = first.columns
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        method = frame.segments(
            "Method",
            {name: METHODS[name] for name in methods},
            "method",
            key=f"method-{len(methods)}",
        )
        colour = frame.linked("Colour by", columns, "colour", width=210, always=False)
        mask = _draw_filter(first, columns)
        _draw_search(first)
        about()
    return MapSettings(method, colour, mask)


def _draw_filter(first: LoadedMap, columns: dict[str, str]) -> np.ndarray:
    """The filter's popover; returns which points pass. The address holds what is set."""
    linked = read_filters(st.query_params.get("filter", ""))
    filters = {column: rule for column, rule in linked.items() if column in columns}
    label = f"Filter · {words.count(len(filters), 'rule')}" if filters else "Filter"
    with st.popover(label, icon=":material/filter_alt:", key="filter", on_change="rerun") as box:
        if box.open:
            used = st.multiselect(
                "Show only images with",
                list(columns),
                default=list(filters),
                format_func=lambda column: columns[column],
                key=f"filter-columns-{first.run_id}",
                placeholder="Choose what to filter by",
            )
            rules = {
                column: _draw_rule(
                    first.points[column], column, columns[column], filters.get(column)
                )
                for column in used
            }
            filters = {column: rule for column, rule in rules.items() if rule}
    if filters:
        st.query_params["filter"] = write_filters(filters)
    else:
        st.query_params.pop("filter", None)
    return narrow(first.points, filters)


def _draw_rule(
    values: pd.Series, column: str, name: str, before: tuple[float, float] | Sequence[str] | None
) -> tuple[float, float] | list[str]:
    """One column's rule: a range for a measure, values for a category."""
    key = f"filter-{column}"
    if is_scale(values):
        low, high = float(values.min()), float(values.max())
        start, end = before if isinstance(before, tuple) else (low, high)
        ends = float(np.clip(start, low, high)), float(np.clip(end, low, high))
        return st.slider(words.plain(name), low, high, ends, key=key)
    counts = categories(values).value_counts()
    chosen = () if before is None or isinstance(before, tuple) else before
    return st.multiselect(
        words.plain(name),
        sorted(counts.index),
        default=[value for value in chosen if value in counts.index],
        key=key,
        placeholder="Any",
        format_func=lambda value: f"{value} ({counts[value]:,})",
    )


def _draw_search(first: LoadedMap) -> None:
    """Select images by their id, or a part of it."""

    def search() -> None:
        text = st.session_state["search"]
        rows = find(first.points, text)
        st.session_state[MISSED] = "" if rows else text
        if rows:
            selection.select(first, rows, "search")

    st.text_input(
        "Search by image id",
        key="search",
        type="search",
        on_change=search,
        width=190,
        placeholder="or a part of it",
    )
    if missed := st.session_state.get(MISSED):
        st.caption(f"No image id on this map holds “{words.plain(missed)}”.")
