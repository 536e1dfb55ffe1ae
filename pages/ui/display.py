"""A chart or a table on a page, with its title, how to read it, and its export (frame.show_chart).

A chart is exported as a picture (its camera button), its table as CSV, and code that draws it; what is
made for that is made when it is asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import streamlit as st

from derm_core.report.csv_tables import safe_table
from derm_core.report.figure_code import figure_code, figure_files, figure_points
from derm_core.report.figure_text import with_plain_texts
from derm_core.report.files import archive
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
    "modeBarButtonsToRemove": ["autoScale2d"],
}
VISIBLE_ROWS, ROW_PIXELS = 6, 35  # of a chart's table
PICTURES = {"png": "PNG", "svg": "SVG"}
PICTURE_FORMAT = "picture-format"  # of this session: what the camera buttons save
PIXELS = {"png": {"scale": 3}, "svg": {}}  # a PNG for print: 3 pixels for each of the screen's


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
    """A chart with its title above, how to read it below, and its table, pictures and code one click away.

    Args:
        figures: one figure, or several that share axes: side by side where there is room, stacked on a phone.
        table: what the chart shows, or a function that makes it when it is opened; None where the page has it.
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
    panels = dict(zip(titles, group)) if len(group) > 1 else {"": group[0]}
    with st.container(gap="xsmall"):
        if title:
            st.markdown(f"**{words.plain(title)}**")
        event = None
        if len(group) == 1:
            event = st.plotly_chart(
                group[0],
                key=key,
                alt=alt,
                config=with_camera(config, file_name(title or alt)),
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
            draw_export_button(panels, title or alt, table=table, key=key, formats=formats)
    return event


def _draw_side_by_side(
    figures: Sequence[Figure], labels: Sequence[str], alts: Sequence[str], key: str
) -> None:
    with st.grid(len(figures), min_column_width=210, gap="small"):
        for index, figure in enumerate(figures):
            with st.container(gap="xsmall"):
                if labels:
                    st.markdown(labels[index])
                st.plotly_chart(
                    figure,
                    key=f"{key}-{index}",
                    alt=alts[index],
                    config=with_camera(CHART_CONFIG, file_name(alts[index])),
                )


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
    if not (mode and ink):
        return figure
    page = st.get_option(f"theme.{mode}.backgroundColor")  # of a picture that is saved, too
    return figure.update_layout(font={"color": ink}, paper_bgcolor=page)


def show_table(
    table: pd.DataFrame, *, title: str, key: str, formats: Mapping[str, Any] | None = None
) -> None:
    """A table with its CSV below it. title: what the table holds, read aloud and used as file name."""
    st.dataframe(table, hide_index=True, column_config=dict(formats or {}), alt=title)
    download_table(table, "Download CSV", name=file_name(title) or key)


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


def file_name(title: str) -> str:
    """A title as the name of a file, without its ending: 'loss-by-epoch'."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80]


# ---- what leaves with a chart ------------------------------------------------------------------


def with_camera(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A chart's buttons, whose camera saves a picture called `name` in the format that was chosen."""
    kind = st.session_state.get(PICTURE_FORMAT, "png")
    picture = {"format": kind, "filename": name or "figure", **PIXELS[kind]}
    return {**config, "toImageButtonOptions": picture}


def draw_export_button(
    panels: Mapping[str, Figure],
    title: str,
    *,
    table: Table | None,
    key: str,
    formats: Mapping[str, Any] | None = None,
) -> None:
    """A button that opens the files of a chart: its numbers, its code, the format of its picture.

    Args:
        panels: the figures by what each is called; "" for a single one.
        title: of the chart; names the files.
        table: what the chart shows; None where the page has it elsewhere.
        key: of the chart.
        formats: column_config of the table.
    """
    popover = st.popover(
        "Export",
        icon=":material/download:",
        type="tertiary",
        help="The numbers, the picture, and code that draws the chart",
        key=f"{key}-table",
        on_change="rerun",
    )
    if not popover.open:
        return
    name = file_name(title) or "figure"
    with popover:
        with st.container(horizontal=True, gap="small"):
            if table is None:
                points = functools.partial(figure_points, panels)
                download_table(points, "Drawn points (CSV)", name=f"{key}-points")
            else:
                numbers = table() if callable(table) else table
                download_table(numbers, "Table (CSV)", name=name)
            _download_code(panels, title, name, key)
        _draw_picture_choice(key)
        if table is not None:
            rows = min(len(numbers), VISIBLE_ROWS) + 1
            st.dataframe(
                numbers,
                hide_index=True,
                height=ROW_PIXELS * rows + 3,
                column_config=dict(formats or {}),
                alt=title,
            )
        st.markdown("Code for this figure")
        code = figure_code(panels, title, f"{name}-figure.csv")
        st.code(code, language="python", height=180)


def _draw_picture_choice(key: str) -> None:
    """PNG or SVG, for the cameras of all charts: the browser makes the picture."""

    def choose() -> None:
        st.session_state[PICTURE_FORMAT] = st.session_state[f"{key}-picture"]

    st.segmented_control(
        "Picture",
        PICTURES,
        default=st.session_state.get(PICTURE_FORMAT, "png"),
        required=True,
        format_func=PICTURES.__getitem__,
        key=f"{key}-picture",
        on_change=choose,
    )
    st.caption("To save the picture, point at the chart or tap it, and press the camera above it.")


def _download_code(panels: Mapping[str, Figure], title: str, name: str, key: str) -> None:
    """A button for the script that draws the figure and the points that it reads."""
    download(
        "Code and data (ZIP)",
        lambda: archive(figure_files(panels, title, name)),
        name=f"{name}-figure.zip",
        key=f"{key}-code",
        mime="application/zip",
        type="tertiary",
    )
