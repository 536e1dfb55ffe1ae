"""Data: the datasets on this machine, whether their splits can be trusted, import and deletion."""

from __future__ import annotations

from typing import Any

import streamlit as st

from derm_core.data.import_roots import check_root
from derm_core.data.importers import import_dataset
from derm_core.data.manifest import DatasetSummary, delete_dataset
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import RunError
from derm_core.jobs.dependencies import dataset_users
from derm_core.workspace import Workspace, check_id
from pages.ui import cached, dataset_view, frame, live_run, words


def choose_dataset(workspace: Workspace, datasets: dict[str, DatasetSummary]) -> str | None:
    """The dataset that the address names, else the first; None where there is none yet."""
    if datasets:
        few: dict[str, Any] = {"widget": st.segmented_control} if len(datasets) <= 6 else {}
        return frame.linked(
            "Dataset",
            {name: f"{name} · {summary.images:,}" for name, summary in datasets.items()},
            "dataset",
            **few,
        )
    if frame.empty(
        "Your images will be listed here with their classes, groups and splits. Import a folder below, or start "
        "with 2,000 synthetic lesions that the product generates itself: no download, half a minute.",
        title="No dataset yet",
        action="Make the synthetic images",
    ):
        make_synthetic(workspace)
    return None


def make_synthetic(workspace: Workspace) -> None:
    """Generate the synthetic dataset, with progress."""
    bar = st.progress(0.0, "Generating synthetic images…")
    with frame.errors():
        make_synth(workspace, progress=live_run.counter(bar, "Generating synthetic images"))
        st.rerun()


def draw_import(workspace: Workspace, expanded: bool) -> None:
    """The form of an import, folded unless there is no dataset yet."""
    with st.expander("Import images", icon=":material/upload_file:", expanded=expanded):
        st.markdown(
            "A folder or file on this machine. HAM10000 and ISIC tables, ISIC one-hot ground truth, PAD-UFES-20, "
            "MedMNIST `.npz`, one folder per class, or a CSV with a path and a label column are recognised. "
            "Your files stay where they are; unreadable ones are skipped and listed."
        )
        with st.form("import", border=False):
            path = st.text_input("Path", placeholder="/home/me/HAM10000")
            name = st.text_input(
                "Name",
                placeholder="ham10000",
                help="1 to 40 lower-case letters, digits and hyphens.",
            )
            size = st.select_slider(
                "Decoded size",
                [32, 64, 96, 128, 192, 224],
                value=64,
                help="Side of the square copies in pixels. Others are made when a run needs them.",
            )
            pressed = st.form_submit_button("Import", type="primary")
        if pressed:
            run_import(workspace, path.strip(), name.strip(), size)


def run_import(workspace: Workspace, path: str, name: str, size: int) -> None:
    """Import a dataset, with progress."""
    if not path or not name:
        st.error("Give a path and a name.", icon=":material/error:")
        return
    bar = st.progress(0.0, "Reading the listing…")
    with frame.errors():
        name = check_id(name, "dataset name")
        progress = live_run.counter(bar, "Importing")
        result = import_dataset(workspace, check_root(path), name, sizes=(size,), progress=progress)
        frame.announce(
            f"Imported {result.images:,} images of {result.classes} classes in "
            f"{words.duration(result.seconds)}; {words.count(len(result.skipped), 'file')} skipped."
        )
        st.query_params["dataset"] = name
        st.rerun()


def draw_delete(workspace: Workspace, name: str) -> None:
    """A button that deletes the dataset after confirmation."""
    with st.popover("Delete this dataset", icon=":material/delete:", type="tertiary"):
        st.markdown(
            f"Deletes the manifest, the decoded copies and cached features of **{name}**. "
            "Files outside the workspace stay; finished studies keep their results."
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
        dataset = cached.dataset(workspace, name)
        dataset_view.draw_facts(dataset, datasets[name])
        dataset_view.draw_splits(workspace, dataset)
        dataset_view.draw_priorities(workspace, dataset)
        dataset_view.draw_gallery(dataset)
draw_import(workspace, expanded=name is None)
if name is not None:
    with st.container(horizontal=True):
        has_synthetic = any(known.startswith("synth") for known in workspace.dataset_names())
        if not has_synthetic and st.button(
            "Make the synthetic images", icon=":material/palette:", type="tertiary"
        ):
            make_synthetic(workspace)
        draw_delete(workspace, name)
