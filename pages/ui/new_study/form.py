"""The form of a new study: a preset and a dataset, and every setting behind them, folded."""

from __future__ import annotations

import dataclasses

import streamlit as st

from derm_core.config import StudyConfig
from derm_core.data.on_demand import is_missing_synth
from derm_core.errors import DermError
from derm_core.study.fitting_arms import fitting_arms
from derm_core.study.presets import PRESETS, find_preset_dataset, preset
from derm_core.workspace import Workspace
from pages.ui import cached, frame, words
from pages.ui.new_study.analyses import choose_questions
from pages.ui.new_study.marks import choose_marks
from pages.ui.new_study.networks import draw_arms, draw_memory_warning
from pages.ui.new_study.settings import choose_comparison, choose_extractor, choose_pretraining

OFFERED = ("demo", "laptop", "folds", "long", "paper")


def choose_study(workspace: Workspace) -> StudyConfig | None:
    """The form; None, with the reason shown, where the settings are not valid.

    ?preset=, ?data= and ?scale= in the address set what is chosen first.
    """
    left, right = st.columns(2, gap="medium")
    with left:
        name = frame.segments("Preset", {key: key.capitalize() for key in OFFERED}, "preset")
        st.caption(PRESETS[name].description)
    with right:
        dataset = _choose_dataset(workspace, name)
    full = st.toggle(
        "Full study",
        key="full",
        bind="query-params",
        help=(
            "Also measures fewer labels, corrupted images, a planted artefact and, where imported, external test sets. "
            "Takes about twice as long beyond the pretraining."
        ),
    )
    arms = st.container()
    with st.expander("All settings", icon=":material/tune:", key="settings"):
        try:
            config = _choose_settings(workspace, name, dataset, full)
        except DermError as error:
            frame.show_error(error)
            return None
    with arms:
        draw_arms(workspace, config)
        draw_memory_warning(config)
    with frame.errors():
        if config.regime == "finetune" and (left_out := fitting_arms(config)[1]):
            arms.caption(f":material/info: {words.plain(' '.join(left_out))}")
        return choose_marks(workspace, config)
    return None


def _choose_dataset(workspace: Workspace, name: str) -> str:
    """A dataset of the workspace or a synthetic one; first that which the preset `name` is made for, where it is here.

    Where it is not, the step that brings it stands first.
    """
    wanted = find_preset_dataset(workspace, name)
    if wanted is None:
        _draw_next_step(PRESETS[name].made_for)
    offered = {
        row.name: f"{row.name} · {row.images:,} images" for row in cached.datasets(workspace)
    }
    for synthetic in dict.fromkeys((wanted or "synth", "synth")):
        offered.setdefault(synthetic, f"{synthetic} · synthetic images, made when first needed")
    dataset: str = frame.linked(
        "Dataset" if wanted else "Or another dataset",
        offered,
        "data",
        default=wanted or "synth",
        key=f"data-{wanted}",
        always=False,
    )
    if is_missing_synth(workspace, dataset):
        st.caption("The run makes these images first; that takes 20 seconds at most.")
    return dataset


def _draw_next_step(made_for: str) -> None:
    """Where the data set that a preset is made for is not here: how to get it."""
    st.markdown(f"This preset is made for **{made_for}**, which is not imported here.")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button(f"Get {made_for}", icon=":material/cloud_download:", key="get-dataset"):
            frame.go("data", get=made_for.lower())
        frame.link("data", "Import a copy that is here", icon=":material/database:")


def _choose_scale() -> float:
    try:
        start = min(1.0, max(0.05, float(st.query_params.get("scale", 1))))
    except ValueError:
        start = 1.0
    return st.slider(
        "Scale",
        0.05,
        1.0,
        start,
        0.05,
        key="scale-choice",
        help="The share of images, epochs, seeds and grid points that is kept. A scaled study shows that "
        "everything works; its numbers say little.",
    )


def _choose_settings(workspace: Workspace, name: str, dataset: str, full: bool) -> StudyConfig:
    scale = _choose_scale()
    base = preset(name, dataset, scale, full=full)
    tag = f"{name}-{dataset}-{scale}"  # in the widgets' keys: another preset brings other defaults
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown("**Pretraining**")
        vae, pretraining = choose_pretraining(workspace, base, tag)
    with right:
        st.markdown("**Extractor and machine**")
        shared = choose_extractor(workspace, base, tag)
    with middle:
        st.markdown("**Comparison**")
        comparison = choose_comparison(workspace, base, shared["backbone"], tag)
    st.markdown("**Additional analyses**")
    frozen = comparison["regime"] == "frozen"
    questions = choose_questions(workspace, base, frozen, full, f"{tag}-{full}")
    pretrain = None
    if base.pretrain and not vae["vae"]:
        pretrain = dataclasses.replace(base.pretrain, **pretraining, **shared)
    return dataclasses.replace(base, **vae, pretrain=pretrain, **shared, **comparison, **questions)
