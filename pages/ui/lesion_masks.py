"""Masks of the lesions on Data: what is known of them, adding and removing them, and the outlines in the gallery."""

from __future__ import annotations

import streamlit as st

from derm_core.data.cautions import sort_notes
from derm_core.data.import_roots import check_root, import_roots
from derm_core.data.manifest import Dataset
from derm_core.data.mask_files import masks_at
from derm_core.data.masks import Masks, add_masks, remove_masks
from derm_core.workspace import Workspace
from pages.ui import cached, frame, glossary, live_run, words


def draw_masks(workspace: Workspace, dataset: Dataset) -> None:
    """Masks of a dataset, folded: how many images have one, what was left out, and a field that adds them."""
    masks = cached.masks(workspace, dataset.name)
    title = f"Lesion masks · {len(masks):,}" if masks else "Lesion masks"
    with st.expander(title, icon=":material/lasso_select:", key="masks"):
        st.markdown(glossary.text("lesion-mask"))
        if masks:
            cautions, notes = sort_notes(masks.info.notes)
            for sentence in (str(masks.info), *notes):
                st.markdown(words.plain(sentence))
            if cautions:
                st.warning("\n\n".join(map(words.plain, cautions)), icon=":material/warning:")
        else:
            st.markdown(
                "None yet. An import takes masks that lie beside the images: a folder `masks`, files "
                "`*_segmentation.png`, or an archive such as `segmentations.zip`."
            )
        if import_roots(workspace):
            _draw_field(workspace, dataset)
        if dataset.paths.lesion_masks.exists():
            _draw_removal(dataset)


def _draw_field(workspace: Workspace, dataset: Dataset) -> None:
    """The folder or archive of masks to read, in the place of those there are."""
    with st.form("masks-form", border=False):
        typed = st.text_input(
            "Folder or zip archive of masks",
            placeholder="/home/me/HAM10000/segmentations.zip",
            key=f"masks-path-{dataset.name}",
            help="White is the lesion. Files are called as their images, with or without an ending such as "
            "_segmentation. They take the place of the masks that the dataset has.",
        )
        pressed = st.form_submit_button("Add masks", icon=":material/add:")
    if pressed:
        bar = st.progress(0.0, "Reading names…")
        with frame.errors():
            sources = masks_at(check_root(typed, workspace))
            counter = live_run.counter(bar, "Reading masks", "masks")
            frame.announce(str(add_masks(dataset, sources, counter)))
            st.rerun()


def _draw_removal(dataset: Dataset) -> None:
    """A button that removes the masks after confirmation."""
    with st.popover("Remove masks", icon=":material/delete:", type="tertiary"):
        st.markdown(
            "Removes the masks from this dataset. The files they were read from stay, and so do the results of "
            "finished studies."
        )
        if st.button("Remove", type="primary", key=f"remove-masks-{dataset.name}"):
            with frame.errors():
                remove_masks(dataset.paths)
                frame.announce(f"Removed the lesion masks of {dataset.name}.")
                st.rerun()


def choose_outlines(workspace: Workspace, dataset: Dataset) -> Masks | None:
    """The masks whose outlines the gallery shows; None where there are none, or they are not wanted."""
    masks = cached.masks(workspace, dataset.name)
    if not masks:
        return None
    wanted = st.toggle("Lesion outline", key=f"outlines-{dataset.name}")
    return masks if wanted else None
