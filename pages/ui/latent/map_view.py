"""The maps, one or two side by side, with what is chosen in them. A fragment: a selection runs this part alone."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame, scheduling
from pages.ui.latent import filters, map_chart, selected_images, selection, upload
from pages.ui.latent.loaded_map import LoadedMap

ALONE, PAIRED = 560, 460  # pixels high


@st.fragment
@scheduling.in_turn
def draw_maps(
    workspace, first: LoadedMap, second: LoadedMap | None, own: upload.Upload | None
) -> None:
    with frame.errors():
        method, colour, kept = filters.draw_filters(first, second)
        rows = selection.selected_rows(first)
        places = [upload.place_upload(workspace, own, map_, method) for map_ in (first, second)]
        if second is None:
            left, right = st.columns([5, 3], gap="medium")
            with left:
                map_chart.draw_map(first, first, method, colour, kept, rows, "a", ALONE, places[0])
                map_chart.draw_table(first, kept)
        else:
            sides = zip(st.columns(2, gap="medium"), (first, second), "ab", places, strict=True)
            for column, map_, place, where in sides:
                with column:
                    map_chart.draw_map(
                        first, map_, method, colour, kept, rows, place, PAIRED, where
                    )
            right = st.container()
        with right:
            if own is not None:
                upload.draw_upload(workspace, own, first, second)
            if rows or own is None:
                selected_images.draw_selection(first, second, rows, wide=second is not None)
        if second is not None:
            map_chart.draw_table(first, kept)
        st.caption(map_chart.MEASURES)
