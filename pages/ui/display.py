"""A chart or a table on a page, with its title, how to read it, and its numbers as CSV (frame.show_chart)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import streamlit as st

from derm_core.report.csv_tables import safe_table
from derm_core.report.figure_text import with_plain_texts
from pages.ui import words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Table: TypeAlias = pd.DataFrame | Callable[[], pd.DataFrame]
CHART_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": [
        "select2d",
        "lasso2d",
        "autoScale2d",
        "zoomIn2d",
        "zoomOut2d",
        "pan2d",
    ],
}
SELECT_CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtonsToRemove": ["toImage", "zoom2d", "autoScale2d"],
}


def show_chart(
    figures: Figure | Sequence[Figure],
    table: Table | None,
    *,
    caption: str,
    alt: str,
    key: str,
    labels: Sequence[str] = (),
    formats: Mapping[str, Any] | None = None,
    on_select: Any = "ignore",
    selection_mode: Any = ("points", "box", "lasso"),
    title: str | None = None,
) -> Any:
    """A chart with its title above, how to read it below, and its table (CSV) one click away.

    Args:
        figures: one figure, or several that share axes: side by side where there is room, stacked on a phone.
        table: what the chart shows, or a function that makes it when it is opened.
        caption: how to read the chart.
        alt: what a reader who cannot see it should know.
        key: of the chart, and the first part of the table's keys.
        labels: markdown above each of several figures.
        formats: column_config of the table.
        on_select: of a single figure, see st.plotly_chart.
        selection_mode: likewise.
        title: of several figures. A single one has its own, written as text so that it wraps and can be selected.

    Returns:
        The selection of a single figure.
    """
    group = [
        readable(figure) for figure in (figures if isinstance(figures, Sequence) else [figures])
    ]
    titles = [_take_title(figure) for figure in group]
    title = title or titles[0]
    selectable = on_select != "ignore" and selection_mode != "points"
    config = SELECT_CONFIG if selectable else CHART_CONFIG
    with st.container(gap="xsmall"):
        if title:
            st.markdown(f"**{words.plain(title)}**")
        event = None
        if len(group) == 1:
            event = st.plotly_chart(
                group[0],
                key=key,
                alt=alt,
                config=config,
                on_select=on_select,
                selection_mode=selection_mode,
            )
        else:
            _draw_side_by_side(group, labels, [each or alt for each in titles], key)
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            gap="small",
            wrap=False,
        ):
            st.caption(caption, width="stretch")
            if table is not None:
                _draw_table_button(table, key, title or key, formats)
    return event


def _draw_side_by_side(
    figures: Sequence[Figure], labels: Sequence[str], alts: Sequence[str], key: str
) -> None:
    with st.grid(len(figures), min_column_width=210, gap="small"):
        for index, figure in enumerate(figures):
            with st.container(gap="xsmall"):
                if labels:
                    st.markdown(labels[index])
                st.plotly_chart(figure, key=f"{key}-{index}", alt=alts[index], config=CHART_CONFIG)


def readable(figure: Figure) -> Figure:
    """The figure with foreign text as text, and all text in the page's own colour.

    Streamlit's light theme writes small text too pale to read, and on the dark page plotly takes pale cells for bright
    ones.
    """
    with_plain_texts(figure)
    mode = st.context.theme.type
    ink = st.get_option(f"theme.{mode or 'light'}.textColor")
    if mode == "dark":
        figure.update_traces(textfont_color=ink, selector={"type": "heatmap"})
    return figure.update_layout(font={"color": ink}) if mode and ink else figure


def show_table(
    table: pd.DataFrame, *, title: str, key: str, formats: Mapping[str, Any] | None = None
) -> None:
    """A table with its CSV below it. title: what the table holds, read aloud and used as file name."""
    st.dataframe(table, hide_index=True, column_config=dict(formats or {}), alt=title)
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or key
    download_table(table, "Download CSV", name=name)


def download(label: str, make, *, name: str, key: str, icon: str = "download", **settings) -> None:
    """A button for a file that is made when it is pressed."""
    st.download_button(
        label,
        make,
        file_name=name,
        icon=f":material/{icon}:",
        on_click="ignore",
        key=key,
        **settings,
    )


def download_table(table: Table, label: str, *, name: str) -> None:
    """A table's numbers as CSV, written when the button is pressed."""

    def csv() -> bytes:
        return safe_table(table() if callable(table) else table).to_csv(index=False).encode()

    st.download_button(
        label,
        csv,
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}-csv",
        on_click="ignore",
    )


def _take_title(figure: Figure) -> str:
    title = figure.layout.title.text or ""
    figure.update_layout(title=None)
    return re.sub(r"<[^>]+>", "", title)


def _draw_table_button(
    table: Table, key: str, title: str, formats: Mapping[str, Any] | None
) -> None:
    popover = st.popover(
        "Table", icon=":material/table:", type="tertiary", key=f"{key}-table", on_change="rerun"
    )
    if popover.open:
        with popover:
            show_table(table() if callable(table) else table, title=title, key=key, formats=formats)
