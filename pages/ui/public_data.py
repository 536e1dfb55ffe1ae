"""Public data sets: their terms, a download that can be cancelled, and the import that follows."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from derm_core.commands.data_get import MEGABYTE, check_target, describe_size
from derm_core.data.downloads import PUBLIC_SETS, PublicSet, download_set
from derm_core.data.import_roots import check_root, import_roots
from derm_core.data.importers import import_dataset
from derm_core.workspace import Workspace
from pages.ui import frame, live_run, words

NO_FOLDER = (
    "Whoever runs this server downloads public data sets for all users, with `derm data get NAME`; they then stand "
    "here as shared datasets."
)
STOPPED = "The download was cancelled. What is there stays, and another download goes on from it."


def draw_public_sets(workspace: Workspace) -> None:
    """The choice of a public data set, its terms, and the button that downloads and imports it.

    ?get=NAME in the address opens it with that data set chosen.
    """
    wanted = st.query_params.get("get", "")
    with st.expander(
        "Get a public data set", icon=":material/cloud_download:", expanded=bool(wanted)
    ):
        if not import_roots(workspace):
            st.markdown(NO_FOLDER)
            return
        name = st.selectbox(
            "Data set",
            list(PUBLIC_SETS),
            index=list(PUBLIC_SETS).index(wanted) if wanted in PUBLIC_SETS else 0,
            format_func=lambda name: PUBLIC_SETS[name].title,
            key="public-set",
        )
        chosen = PUBLIC_SETS[name]
        _draw_terms(chosen)
        folder = st.text_input(
            "Folder",
            str(_default_folder(workspace, chosen)),
            key=f"public-folder-{name}",
            help="On this machine, outside the workspace. The files are yours and stay there.",
        )
        agreed = st.checkbox(
            f"I have read the licence ({chosen.terms.license}) and agree to it.",
            key=f"public-agreed-{name}",
        )
        pressed = st.button(
            "Download and import",
            disabled=not agreed,
            icon=":material/download:",
            key="public-download",
        )
        if pressed and agreed:
            _get(workspace, chosen, folder)


def _draw_terms(chosen: PublicSet) -> None:
    rows = [
        ["Download", describe_size(chosen)],
        ["Licence", f"[{words.plain(chosen.terms.license)}]({chosen.licence_page})"],
        ["Cite as", words.plain(chosen.terms.citation)],
        ["From", f"[{words.plain(chosen.page)}]({chosen.page})"],
    ]
    st.markdown("\n".join(f"- {name}: {value}" for name, value in rows))


def _default_folder(workspace: Workspace, chosen: PublicSet) -> Path:
    """Below the working folder, as of the command line, where the app may import from there."""
    here, roots = Path.cwd().resolve(), import_roots(workspace)
    base = here if any(here.is_relative_to(root) for root in roots) else roots[0]
    return base / "data" / chosen.name


def _get(workspace: Workspace, chosen: PublicSet, typed: str) -> None:
    """Download a data set and import it, with progress.

    Whatever is pressed meanwhile begins the page anew, which ends the download at its next
    report; it can go on from there.
    """
    bar = st.progress(0.0, f"Asking {words.plain(chosen.page)}…")
    st.button(
        "Cancel", key="public-cancel", on_click=frame.announce, args=(STOPPED,), type="tertiary"
    )
    st.caption("Leaving the page stops the download as well; it goes on where it stopped.")
    with frame.errors():
        folder = check_root(typed, workspace)
        check_target(workspace, chosen, folder)
        megabytes = live_run.counter(bar, f"Downloading {chosen.name}", "MB")
        download_set(
            chosen,
            folder,
            accept_licence=True,
            progress=lambda done, total: megabytes(done // MEGABYTE, total // MEGABYTE),
            unpacking=live_run.counter(bar, "Unpacking", "files"),
        )
        progress = live_run.counter(bar, "Importing")
        result = import_dataset(workspace, chosen.to_import(folder), chosen.name, progress=progress)
        frame.announce(
            f"Downloaded and imported {result.images:,} images of {result.classes} classes."
        )
        st.query_params.pop("get", None)
        st.query_params["dataset"] = chosen.name
        st.rerun()
