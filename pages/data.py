"""Data: the datasets on this machine, whether their splits can be trusted, import and deletion."""

from __future__ import annotations

from typing import Any

import streamlit as st

from derm_core.data.manifest import DatasetSummary, delete_dataset
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import RunError
from derm_core.jobs.dependencies import dataset_users
from derm_core.workspace import Workspace
from pages.ui import (
    brought_embeddings,
    brought_predictions,
    cached,
    dataset_marks,
    dataset_view,
    frame,
    import_form,
    lesion_masks,
    live_run,
    public_data,
    words,
)

SHARED = "Shared by everyone on this server. It can be read and studied; whoever runs the server changes it."


def label(summary: DatasetSummary) -> str:
    """A dataset in the choice: its name, its number of images, and whether it is shared."""
    return f"{summary.name} · {summary.images:,}" + (" · shared" if summary.shared else "")


def choose_dataset(workspace: Workspace, datasets: dict[str, DatasetSummary]) -> str | None:
    """The dataset that the address names, else the first; None where there is none yet."""
    if datasets:
        few: dict[str, Any] = {"widget": st.segmented_control} if len(datasets) <= 6 else {}
        return frame.linked(
            "Dataset",
            {name: label(summary) for name, summary in datasets.items()},
            "dataset",
            **few,
        )
    if frame.empty(
        "Your images will be listed here with their classes, groups and splits. Import a folder below, or generate "
        "2,000 synthetic lesions: no download, half a minute.",
        title="No dataset yet",
        action="Generate synthetic images",
    ):
        make_synthetic(workspace)
    return None


def make_synthetic(workspace: Workspace) -> None:
    """Generate the synthetic dataset, with progress."""
    bar = st.progress(0.0, "Generating synthetic images…")
    with frame.errors():
        make_synth(workspace, progress=live_run.counter(bar, "Generating synthetic images"))
        st.rerun()


def draw_delete(workspace: Workspace, name: str) -> None:
    """A button that deletes the dataset after confirmation."""
    with st.popover("Delete this dataset", icon=":material/delete:", type="tertiary"):
        st.markdown(
            f"Deletes the manifest, the decoded copies and cached features of **{name}**. "
            "Files outside the workspace stay; finished studies keep their results."
        )
        if marks := len(cached.marks(workspace, name)):
            st.markdown(
                f":material/flag: **{words.count(marks, 'mark')}** of its images are deleted as well: export them "
                "first, under *Marks of images*."
            )
        if st.button("Delete", type="primary", key="delete"):
            with frame.errors():
                if users := dataset_users(workspace, name):
                    raise RunError(
                        f"{name} is in use by {', '.join(users)}: wait for it, or cancel it on Train first."
                    )
                freed = delete_dataset(workspace, name)
                frame.announce(f"Deleted {name}; {words.size(freed)} freed.")
                st.query_params.clear()
                st.rerun()


workspace = frame.page("data")
datasets = {summary.name: summary for summary in cached.datasets(workspace, disk=True)}
name = choose_dataset(workspace, datasets)
if name is not None:
    with frame.errors():
        if datasets[name].shared:
            st.caption(SHARED)
        dataset = cached.dataset(workspace, name)
        audit = cached.audit(workspace, name)
        dataset_view.draw_facts(workspace, dataset, datasets[name], audit.cautions)
        dataset_view.draw_splits(workspace, dataset)
        dataset_view.draw_priorities(workspace, dataset)
        dataset_marks.draw_marks(workspace, dataset)
        lesion_masks.draw_masks(workspace, dataset)
        brought_embeddings.draw_embeddings(workspace, dataset)
        brought_predictions.draw_predictions(dataset)
        dataset_view.draw_gallery(workspace, dataset)
import_form.draw_import(workspace, expanded=name is None)
public = st.container()
if name is not None:
    with st.container(horizontal=True):
        with frame.errors():
            dataset_view.draw_report_button(cached.dataset(workspace, name))
        has_synthetic = any(known.startswith("synth") for known in workspace.dataset_names())
        if not has_synthetic and st.button(
            "Generate synthetic images", icon=":material/palette:", type="tertiary"
        ):
            make_synthetic(workspace)
        if not datasets[name].shared:
            draw_delete(workspace, name)
with public:  # last: a download holds the script until it ends
    public_data.draw_public_sets(workspace)
