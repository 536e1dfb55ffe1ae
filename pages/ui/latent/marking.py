"""Marking images of a map: they belong to a dataset of the workspace, also where the map is a published one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.insight.published_images import local_names
from derm_core.published import publication_of
from derm_core.workspace import Workspace
from pages.ui import cached, image_marks, words
from pages.ui.latent.loaded_map import LoadedMap


def marked_dataset(workspace: Workspace, first: LoadedMap) -> Dataset | None:
    """The dataset that keeps the marks of a map's images; None where a published map's is not imported here."""
    if first.stored is None:
        return first.dataset
    study = publication_of(workspace.run(first.run_id))
    names = local_names(workspace, study.about) if study else []
    return cached.dataset(workspace, names[0]) if names else None


def draw_marking(workspace: Workspace, first: LoadedMap, image_ids: Sequence[str]) -> None:
    """What the selected images are marked, and a form to mark them."""
    dataset = marked_dataset(workspace, first)
    if dataset is None:
        st.caption(
            f":material/flag: Import {words.plain(first.dataset.name)} on *Data* to mark its images."
        )
        return
    here = set(dataset.frame["image_id"])
    names = [name for name in image_ids if name in here]
    image_marks.draw_undo(workspace, dataset, "selection")
    image_marks.draw_marks(workspace, dataset, names, "selection")
    label = f"Mark {words.count(len(names), 'image')}" if len(names) != 1 else "Mark this image"
    with st.expander(label, icon=":material/flag:", key="marking", on_change="rerun") as box:
        if box.open and names:
            image_marks.draw_form(dataset, names, "selection")


def draw_used(first: LoadedMap) -> None:
    """That the extractor or a model of a map was trained with marks, where one was."""
    if marks := first.info.marks:
        st.caption(
            f":material/flag: Trained with marks of images: {words.plain('; '.join(marks))}. The images that were "
            "left out are on the map all the same."
        )
