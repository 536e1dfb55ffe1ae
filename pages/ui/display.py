"""A chart or a table on a page: its title above, how to read it below, its numbers one click away (frame.show_chart)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from derm_core.report.csv_tables import safe_table
from derm_core.report.figure_text import with_plain_texts
from pages.ui import words

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
    figures: Any,
    table: pd.DataFrame | Callable[[], pd.DataFrame] | None,
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

    figures: one figure, or several that share axes: side by side where there is room, stacked on a
    phone, each under its label (markdown, with `title` for all of them). A title is the figure's own,
    set as text so that it wraps and can be selected.
    table: what the chart shows, or what makes it when it is opened; formats: column_config for it. alt: what a reader who cannot see
    the chart should know. Returns the selection of a single figure (see st.plotly_chart).
    """
    group = [
        readable(figure)
        for figure in (figures if isinstance(figures, (list, tuple)) else [figures])
    ]
    titles = [_take_title(figure) for figure in group]
    title = title or titles[0]
    with st.container(gap="xsmall"):
        if title:
            st.markdown(f"**{words.plain(title)}**")
        config = (
            CHART_CONFIG if on_select == "ignore" or selection_mode == "points" else SELECT_CONFIG
        )
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
            event = None
            with st.grid(len(group), min_column_width=210, gap="small"):
                for index, figure in enumerate(group):
                    with st.container(gap="xsmall"):
                        if labels:
                            st.markdown(labels[index])
                        st.plotly_chart(
                            figure, key=f"{key}-{index}", alt=titles[index] or alt, config=config
                        )
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            gap="small",
            wrap=False,
        ):
            st.caption(caption, width="stretch")
            if table is not None:
                _table(table, key, title or key, formats)
    return event


def readable(figure: Any) -> Any:
    """The figure with foreign text as text, and all of it in the page's own colour: Streamlit's light theme writes it too
    pale to read when small, and on the dark page plotly takes pale cells for bright ones."""
    with_plain_texts(figure)
    mode = st.context.theme.type
    ink = st.get_option(f"theme.{mode or 'light'}.textColor")
    if mode == "dark":
        figure.update_traces(textfont_color=ink, selector={"type": "heatmap"})
    return figure.update_layout(font={"color": ink}) if mode and ink else figure


def download_table(
    table: pd.DataFrame | Callable[[], pd.DataFrame], label: str, *, name: str
) -> None:
    """A table's numbers as CSV, written when it is asked for."""

    def written() -> bytes:
        return safe_table(table() if callable(table) else table).to_csv(index=False).encode()

    st.download_button(
        label,
        written,
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}-csv",
        on_click="ignore",
    )


def _take_title(figure: Any) -> str:
    title = figure.layout.title.text or ""
    figure.update_layout(title=None)
    return re.sub(r"<[^>]+>", "", title)


def _table(
    table: pd.DataFrame | Callable[[], pd.DataFrame],
    key: str,
    title: str,
    formats: Mapping[str, Any] | None,
) -> None:
    popover = st.popover(
        "Table", icon=":material/table:", type="tertiary", key=f"{key}-table", on_change="rerun"
    )
    if popover.open:
        with popover:
            rows = table() if callable(table) else table
            show_table(rows, title=title, key=key, formats=formats)


def show_table(
    table: pd.DataFrame, *, title: str, key: str, formats: Mapping[str, Any] | None = None
) -> None:
    """A table with its CSV below it. title: what the table holds, read aloud and used as file name."""
    st.dataframe(table, hide_index=True, column_config=dict(formats or {}), alt=title)
    download_table(
        table, "Download CSV", name=re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or key
    )
