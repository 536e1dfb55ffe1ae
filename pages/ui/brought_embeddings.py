"""Vectors that others computed for a dataset's images: a form that brings a file of them, and those there are."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from derm_core.data.cautions import sort_notes
from derm_core.data.embedding_files import bring_embeddings
from derm_core.data.embeddings import (
    EmbeddingsInfo,
    delete_embeddings,
    embedding_names,
    embeddings_info,
    register_embeddings,
    sources_of,
    usual_name,
)
from derm_core.data.import_roots import check_root, import_roots
from derm_core.data.manifest import Dataset
from derm_core.errors import ConfigError
from derm_core.formatting import count, listed
from derm_core.workspace import Workspace
from pages.ui import frame, words

TYPES = ["npz", "parquet", "pq", "csv", "tsv", "txt"]
MEGABYTES = 15  # of an uploaded file: what the server takes
ABOUT = (
    "A file with an image id or file name and a vector for each image, from any extractor. The vectors become an arm "
    "of studies, compared like every other, and can be mapped. `derm features` writes such files."
)


def draw_embeddings(workspace: Workspace, dataset: Dataset) -> None:
    """Embeddings of a dataset, folded: what there is, and the form that brings more."""
    names = embedding_names(workspace, dataset.name)
    title = f"Embeddings · {len(names)}" if names else "Embeddings"
    with st.expander(title, icon=":material/scatter_plot:", key="embeddings"):
        for name in names:
            with frame.errors():
                _draw_info(workspace, dataset, embeddings_info(workspace, dataset.name, name))
        if names:
            with st.container(horizontal=True, gap="small"):
                frame.link(
                    "train", "Compare as arms", icon=":material/compare_arrows:", data=dataset.name
                )
                frame.link("latent", "Map them", icon=":material/hub:")
        if info := draw_bring_form(workspace, dataset):
            message = f"{describe(info)} They can be arms on Train, and be mapped."
            frame.announce(words.plain(message))
            st.rerun()


def describe(info: EmbeddingsInfo) -> str:
    """What embeddings are of, in one sentence."""
    vectors = f"{count(info.images, 'vector')} of {count(info.features, 'feature')}"
    return f"{info.name}: {vectors} for {info.dataset}, from {info.file}."


def _draw_info(workspace: Workspace, dataset: Dataset, info: EmbeddingsInfo) -> None:
    """One line with its notes, and the button that removes the embeddings."""
    known = listed([str(one.get("pretrained_on") or "") for one in sources_of(info)])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{words.plain(info.name)}** · {count(info.images, 'vector')} of "
            f"{count(info.features, 'feature')} · from {words.plain(info.file)} · pretrained on: "
            f"{words.plain(known or 'not stated')}",
            width="content",
        )
        with st.popover("Remove", icon=":material/delete:", type="tertiary"):
            st.markdown(
                f"Removes **{info.name}**. Finished studies and maps keep their results; an interrupted run that "
                "needs it cannot be resumed."
            )
            if st.button("Remove", type="primary", key=f"remove-embeddings-{info.name}"):
                delete_embeddings(workspace, dataset.name, info.name)
                frame.announce(f"Removed {info.name}.")
                st.rerun()
    cautions, notes = sort_notes(info.notes)
    if notes:
        st.caption(words.plain(" ".join(notes)))
    if cautions:
        st.warning("\n\n".join(map(words.plain, cautions)), icon=":material/warning:")


def draw_bring_form(workspace: Workspace, dataset: Dataset) -> EmbeddingsInfo | None:
    """The form that reads a file and keeps its vectors; what it kept, in the run in which it was sent off."""
    st.markdown(ABOUT)
    with st.form("embeddings-form", border=False):
        file = st.file_uploader(
            "File of embeddings",
            TYPES,
            key="embeddings-file",
            max_upload_size=MEGABYTES,
            help=".npz, .parquet or .csv. `data embeddings` and a path read larger ones.",
        )
        path = ""
        if import_roots(workspace):
            path = st.text_input(
                "Or its path on this machine",
                placeholder="/home/me/clip.parquet",
                key=f"embeddings-path-{dataset.name}",
            )
        with st.grid(2, min_column_width=220):
            called = st.text_input(
                "Name",
                placeholder="After the file",
                key=f"embeddings-name-{dataset.name}",
                help="Small letters, digits and hyphens.",
            )
            pretrained_on = st.text_input(
                "Pretrained on",
                placeholder="ImageNet-1k",
                key=f"embeddings-pretrained-{dataset.name}",
                help="Images that the extractor was pretrained on. Where nothing is stated, it stays unknown whether "
                "it has seen this dataset.",
            )
            vectors = st.text_input(
                "Which part are the vectors",
                placeholder="Found by its name",
                key=f"embeddings-vectors-{dataset.name}",
                help="An array, a column of lists, or columns (what stands before their numbers); `--vectors` of the "
                "command line.",
            )
            allow_labels = st.checkbox(
                "Allow labels",
                key=f"embeddings-labels-{dataset.name}",
                help="Takes vectors although a feature follows from the labels, which makes every result too good; "
                "`--allow-labels` of the command line.",
            )
        pressed = st.form_submit_button("Bring embeddings", icon=":material/add:")
    if not pressed:
        return None
    with frame.errors(), _on_disk(workspace, file, path.strip()) as source:
        name = called.strip() or usual_name(source.name)
        with st.spinner("Reading the vectors…"):
            brought = bring_embeddings(dataset, source, vectors.strip() or None, allow_labels)
            return register_embeddings(
                workspace, dataset, name, brought, source.name, pretrained_on.strip()
            )
    return None


@contextmanager
def _on_disk(workspace: Workspace, file: Any, path: str) -> Iterator[Path]:
    """The file to read: the uploaded one in a private folder, or that of a path.

    Raises:
        ConfigError: none or both were given, or the path lies outside what the app may read.
    """
    if bool(file) == bool(path):
        raise ConfigError(
            "A file and a path were given: give one of them."
            if file
            else "There is no file yet: choose one, or give its path on this machine."
        )
    if path:
        yield check_root(path, workspace)
        return
    with tempfile.TemporaryDirectory(prefix="derm-embeddings-") as folder:
        called = re.sub(r"[^\w .()+@-]", "_", Path(file.name).name).strip(". ") or "file"
        (source := Path(folder) / called).write_bytes(file.getvalue())
        yield source
