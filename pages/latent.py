"""Latent space: maps of what extractors have learned, ways through a VAE's latent space, trouble found in the data."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame
from pages.ui.latent import atlas, choosing, making, shown, travel, trouble, upload

VIEWS = {"map": ":material/scatter_plot: Map", "travel": ":material/explore: Travel",
         "trouble": ":material/report: Data trouble"}

workspace = frame.page("latent")
first_id, second_id, done = choosing.maps(workspace)
if first_id is not None:
    with st.container(horizontal=True, vertical_alignment="center"):
        view = frame.linked("View", list(VIEWS), "view", widget=st.segmented_control, required=True, always=False,
                            format_func=VIEWS.get, label_visibility="collapsed")
        own = upload.choose()
    for run_id in filter(None, (first_id, second_id)):
        making.follow(workspace, run_id)
    with frame.errors():
        first = shown.load(workspace, first_id)
        second = shown.load(workspace, second_id) if second_id else None
        if first is not None and second is not None:
            first, second = shown.tell_apart(first, second)
        if view == "map" and first is not None:
            if second is not None:
                choosing.offer_alignment(workspace, first_id, second_id)
            atlas.show(workspace, first, second, own)
        elif view == "travel":
            travel.show(workspace, first, own)
        elif view == "trouble" and first is not None:
            trouble.show(workspace, first)
making.new_map(workspace, expanded=first_id is None, others=done)
