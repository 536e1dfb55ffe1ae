"""The maps, one or two side by side, with the selected images. A fragment: a selection runs this part alone."""

from __future__ import annotations

import streamlit as st

from derm_core.workspace import Workspace
from pages.ui import frame, scheduling
from pages.ui.latent import (
    filters,
    map_chart,
    map_hover,
    map_table,
    selected_images,
    selection,
    upload,
)
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

HEIGHT_ALONE, HEIGHT_OF_TWO = 560, 460  # pixels


@st.fragment
@scheduling.in_turn
def draw_maps(
    workspace: Workspace, first: LoadedMap, second: LoadedMap | None, own: Upload | None
) -> None:
    """own: the user's own image, where one is uploaded."""
    with frame.errors():
        settings = filters.draw_filters(first, second, about=map_chart.explain)
        rows = selection.selected_rows(first)
        height = HEIGHT_ALONE if second is None else HEIGHT_OF_TWO
        charts = []
        columns = st.columns([5, 3] if second is None else 2, gap="medium")
        for column, loaded, side in zip(columns, (first, second), "ab", strict=True):
            if loaded is not None:
                place = upload.place_upload(workspace, own, loaded, settings.method)
                with column, st.container(key=map_hover.chart_key(side)):
                    charts.append(
                        map_chart.draw_map(first, loaded, settings, rows, side, height, place)
                    )
        if second is None:
            with columns[0]:
                map_table.draw_table(first, settings.mask)
        with columns[1] if second is None else st.container():
            map_hover.draw_hover(first, charts)
            if own is not None:
                upload.draw_upload(workspace, own, first, second)
            if rows or own is None:
                selected_images.draw_selection(
                    workspace, first, second, rows, wide=second is not None
                )
        if second is not None:
            map_table.draw_table(first, settings.mask)
