"""The demo: one click starts it and shows it, or shows the one that is under way or done."""

from __future__ import annotations

import dataclasses

import streamlit as st

from derm_core.config import StudyConfig, from_dict
from derm_core.jobs.dependencies import matching_run
from derm_core.jobs.preflight import submit
from derm_core.jobs.store import Run
from derm_core.study.presets import preset
from derm_core.workspace import Workspace
from pages.ui import cached, frame

LABEL = "Run the demo"
ABOUT = (
    "The demo makes its own synthetic images, pretrains a VAE on them for about a minute and compares it with a VAE "
    "that was pretrained on HAM10000 earlier, with ImageNet and with random weights: about two minutes on two cores, "
    "from nothing. It shows how a comparison works and is no evidence."
)
UNDER_WAY = ("running", "queued")


def run_demo(workspace: Workspace) -> None:
    """Start the demo and go to its live page; one that is under way is shown instead, and one that is done.

    A demo that failed or was cancelled is started anew.
    """
    _show_or_start(workspace, preset("demo"), (*UNDER_WAY, "done"))


def is_demo(workspace: Workspace, run: Run) -> bool:
    """Whether a run is a study of the preset demo."""
    return cached.config(workspace, run.id).get("preset") == "demo"


def offer_again(workspace: Workspace, run: Run) -> None:
    """For a demo that is done, the button that runs it again; nothing for other runs."""
    if not is_demo(workspace, run) or run.state != "done":
        return
    if st.button(
        "Run again",
        icon=":material/replay:",
        type="tertiary",
        key="demo-again",
        help="The same demo once more. A pretraining that is done is used again.",
    ):
        config = from_dict(cached.config(workspace, run.id), StudyConfig)
        if config.pretrain:  # whose run is found again
            config = dataclasses.replace(config, vae_run=None, recipe_runs=())
        _show_or_start(workspace, config, UNDER_WAY)


def _show_or_start(workspace: Workspace, config: StudyConfig, states: tuple[str, ...]) -> None:
    """Go to the run of this config in one of these states, the first of them preferred, or to a new one."""
    with frame.errors():
        run = matching_run(workspace, config, states)
        if run is not None and run.state == "done":
            frame.go("compare", run=run.id)
        frame.go("train", run=run.id if run else submit(workspace, config))
