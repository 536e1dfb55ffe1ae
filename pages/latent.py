"""Latent space: maps of the features of extractors, traversals of a VAE's latent space, issues in the data."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame, words
from pages.ui.latent import (
    data_issues,
    loaded_map,
    map_picker,
    map_view,
    marking,
    new_map,
    traverse,
    upload,
)

VIEWS = {  # the names stand in addresses
    "map": ":material/scatter_plot: Map",
    "traversal": ":material/explore: Latent traversal",
    "issues": ":material/report: Data issues",
}
EARLIER_NAMES = {
    "travel": "traversal",
    "trouble": "issues",
}  # of views, in addresses of earlier versions

workspace = frame.page("latent")
if (linked := st.query_params.get("view")) in EARLIER_NAMES:
    st.query_params["view"] = EARLIER_NAMES[linked]
first_id, second_id, done = map_picker.choose_maps(workspace)
if first_id is not None:
    with st.container(horizontal=True, vertical_alignment="center"):
        view = frame.segments("View", VIEWS, "view", label_visibility="collapsed")
        own = upload.choose_upload()
    new_map.follow(workspace, filter(None, (first_id, second_id)))
    with frame.errors():
        first = loaded_map.load_map(workspace, first_id)
        second = loaded_map.load_map(workspace, second_id) if second_id else None
        if first is not None and second is not None:
            first, second = loaded_map.with_distinct_names(first, second)
        if first is not None and first.stored is not None:
            st.caption(words.plain(first.stored.terms))
        if first is not None:
            marking.draw_used(first)
        if view == "map" and first is not None:
            if second is not None and second_id is not None:
                map_picker.offer_alignment(workspace, first_id, second_id)
            map_view.draw_maps(workspace, first, second, own)
        elif view == "traversal":
            traverse.draw_traversals(workspace, first, own)
        elif view == "issues" and first is not None:
            data_issues.draw_data_issues(workspace, first)
new_map.draw_form(workspace, expanded=first_id is None, others=done)
