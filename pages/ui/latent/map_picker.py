"""The maps that the address or the reader names: one, and one beside it of the same images."""

from __future__ import annotations

import streamlit as st

from pages.ui import cached, frame, words
from pages.ui.latent import new_map

ALONE = "none"


def choose_maps(workspace) -> tuple[str | None, str | None, list[str]]:
    """(first, second or None, all that are done): run ids, from two choices that are kept in the address."""
    runs = cached.runs(workspace, kind="embed")
    found = {run.id: run for run in runs if not run.final or cached.map_is_there(workspace, run.id)}
    done = [run_id for run_id, run in found.items() if run.final]
    if runs and runs[0].id not in found:
        state = words.STATES[runs[0].state][0].lower()
        frame.show_error(
            runs[0].error or f"The last map was {state} before there was anything to see."
        )
    if not found:
        frame.empty(
            "A dot for every image, near its neighbours according to one extractor's features; coloured by class, split, a "
            "model's answer or any attribute. Make the first map below: the PCA stands in seconds, UMAP after about "
            "half a minute.",
            title="No map yet",
            icon=":material/scatter_plot:",
        )
        return None, None, done
    label = {key: frame.run_label(workspace, run) for key, run in found.items()}.get
    left, right = st.columns(2)
    with left:
        first = frame.linked("Map", list(found), "run", format_func=label)
    dataset = cached.config(workspace, first).get("dataset")
    others = [
        key
        for key in found
        if key != first and cached.config(workspace, key).get("dataset") == dataset
    ]
    with right:
        nothing = "No second map" if others else "No other map of these images yet"
        second = frame.linked(
            "Beside it",
            [ALONE, *others],
            "beside",
            always=False,
            key=f"beside-{first}",
            format_func=lambda key: nothing if key == ALONE else label(key),
        )
    return first, None if second == ALONE else second, done


def offer_alignment(workspace, first: str, second: str) -> None:
    """A second map that was not aligned to the first can be made again so that it is."""
    configs = [cached.config(workspace, run_id) for run_id in (first, second)]
    if configs[0].get("aligned_to") == second or configs[1].get("aligned_to") == first:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            "These two maps were laid out independently: the same images lie in different places. Compare what is "
            "near what, or align them.",
            width="stretch",
        )
        if st.button(
            "Align the second map",
            icon=":material/join:",
            key="align",
            help="Makes the second map again; UMAP "
            "starts from the first map's places and the result is turned onto it.",
        ):
            new_map.submit(workspace, {**configs[1], "aligned_to": first}, "beside")
