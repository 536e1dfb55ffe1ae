"""The maps that the address names: one, and beside it another of the same images."""

from __future__ import annotations

import streamlit as st

from derm_core.config import EmbedConfig, from_dict
from derm_core.jobs.published import PublishedRun
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import STATES, Run, RunStore
from derm_core.workspace import Workspace
from pages.ui import cached, frame, run_choice, words
from pages.ui.latent import new_map

NONE = "none"


def choose_maps(workspace: Workspace) -> tuple[str | None, str | None, list[str]]:
    """(first, second or None, all that are done): run ids, from two choices that are part of the address.

    Published maps come after the workspace's own.
    """
    named = (st.query_params.get("run"), st.query_params.get("beside"))
    own = run_choice.offered_runs(workspace, ("embed",), "maps", STATES, also=named)
    runs = [*own, *frame.published("embed")]
    maps = {run.id: run for run in runs if not run.final or cached.map_is_there(workspace, run.id)}
    done = [run_id for run_id, run in maps.items() if run.final]
    for last in RunStore(workspace).select(RunFilter(kinds=("embed",), archived=False), 1):
        if last.final and not cached.map_is_there(workspace, last.id):
            state = words.STATES[last.state][0].lower()
            frame.show_error(
                last.error or f"The last map was {state} before there was anything to see."
            )
    if not maps:
        frame.empty(
            "A dot for every image, near its neighbours according to one extractor's features; coloured by "
            "class, split, a "
            "model's prediction or any attribute. Make the first map below: the PCA is there in seconds, UMAP after "
            "about half a minute.",
            title="No map yet",
            icon=":material/scatter_plot:",
        )
        return None, None, done
    return *_choose_two(workspace, maps), done


def _choose_two(workspace: Workspace, maps: dict[str, Run]) -> tuple[str, str | None]:
    labels = {run_id: frame.run_label(workspace, run) for run_id, run in maps.items()}
    datasets = {run_id: _images_of(workspace, run) for run_id, run in maps.items()}
    frame.say_if_missing(maps)
    left, right = st.columns(2)
    with left:
        first = frame.linked("Map", labels, "run")
    others = [key for key in maps if key != first and datasets[key] == datasets[first]]
    labels[NONE] = "No second map" if others else "No other map of these images yet"
    with right:
        second = frame.linked(
            "Second map",
            {key: labels[key] for key in (NONE, *others)},
            "beside",
            always=False,
            default=_partner(workspace, maps[first], others),
            key=f"beside-{first}",
        )
    return first, None if second == NONE else second


def _images_of(workspace: Workspace, run: Run) -> str | None:
    """What two maps must share to stand side by side: the dataset, or the published result."""
    if isinstance(run, PublishedRun):
        return f"published {run.study}"
    return cached.config(workspace, run.id).get("dataset")


def _partner(workspace: Workspace, run: Run, others: list[str]) -> str:
    """The map that stands beside a published one at first: one that is aligned with it."""
    if isinstance(run, PublishedRun):
        for other in others:
            aligned = [cached.config(workspace, key).get("aligned_to") for key in (run.id, other)]
            if aligned[0] == other or aligned[1] == run.id:
                return other
    return NONE


def offer_alignment(workspace: Workspace, first: str, second: str) -> None:
    """A button that makes the second map again, aligned to the first, where the two are not aligned."""
    configs = [cached.config(workspace, run_id) for run_id in (first, second)]
    if configs[0].get("aligned_to") == second or configs[1].get("aligned_to") == first:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            "These two maps were laid out independently: the same images lie in different places. Compare "
            "neighbourhoods, or align the maps.",
            width="stretch",
        )
        if st.button(
            "Align the second map",
            icon=":material/join:",
            key="align",
            help="Makes the second map again; UMAP "
            "starts from the first map's coordinates and the result is rotated onto it.",
        ):
            config = from_dict(configs[1], EmbedConfig)
            new_map.make_map(workspace, config, "beside", aligned_to=first)
