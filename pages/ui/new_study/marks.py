"""Whether a new study uses the marks of its dataset's images."""

from __future__ import annotations

import json

import streamlit as st

from derm_core.config import StudyConfig, to_dict
from derm_core.data.on_demand import is_missing_synth
from derm_core.errors import DermError
from derm_core.study.marks import MarksInStudy, marks_in_study, require_enough, with_marks
from derm_core.workspace import Workspace
from pages.ui import cached, frame, words


def choose_marks(workspace: Workspace, config: StudyConfig) -> StudyConfig | None:
    """The study with the marks that are chosen; None, with the reason shown, where they cannot be used.

    Nothing is drawn where no image of the study has a mark that a study can use.
    """
    name = config.dataset
    if is_missing_synth(workspace, name) or not cached.marks(workspace, name):
        return config
    dataset = cached.dataset(workspace, name)
    paths = workspace.dataset(name)
    settings = json.dumps(to_dict(config), sort_keys=True)
    key = (str(workspace.root), cached.stamp(paths.marks, paths.info), settings)
    marks = cached.built_once(("marks-found", *key), lambda: marks_in_study(config, dataset))
    options = _options(marks)
    if not options:
        return config
    chosen = st.segmented_control(
        "Marks of images",
        ["", *options],
        default="",
        required=True,
        format_func=lambda one: options.get(one, "Not used"),
        key=f"marks-{name}-{'-'.join(options)}",
        help="People marked images of this dataset (*Data*, *Latent space*). Those marked exclude or duplicate are "
        "left out of the pretraining and of training, validation and test; every other image keeps its part. The "
        "result says so.",
    )
    if not chosen:
        return config
    try:
        marked: StudyConfig = cached.built_once(
            ("marks-used", *key, chosen),
            lambda: with_marks(config, dataset, new_labels=chosen == "labels"),
        )
        require_enough(marked, dataset)
    except DermError as error:
        frame.show_error(error)
        return None
    return marked


def _options(marks: MarksInStudy) -> dict[str, str]:
    """{"out" or "labels": what the study then does}."""
    out, changed = len(marks.left_out), len(marks.changed)
    leave = f"Leave out {words.count(out, 'image')}" if out else ""
    use = f"use {words.count(changed, 'new label')}" if changed else ""
    both = ", ".join(filter(None, (leave, use)))
    return {
        **({"out": leave} if out else {}),
        **({"labels": both[:1].upper() + both[1:]} if changed else {}),
    }
