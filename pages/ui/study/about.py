"""What a study is called, its note, its files, and how it was made."""

from __future__ import annotations

import json

import streamlit as st

from derm_core.jobs.store import RunStore
from derm_core.report import tables

from .. import frame, words
from . import parts


def bar(workspace, run, study: dict) -> None:
    """Name, tags and note; the report and the tables, made when they are asked for."""
    with st.container(horizontal=True, gap="small"):
        edit(workspace, run)
        folder = workspace.run(run.id).root
        st.download_button(
            "Report (HTML)",
            lambda: report(study, folder),
            file_name=f"{run.id}.html",
            mime="text/html",
            icon=":material/description:",
            on_click="ignore",
            key="report-html",
            type="tertiary",
            help="One file with verdict, tables, figures, method and versions; no images, nothing fetched.",
        )
        st.download_button(
            "All tables (CSV)",
            lambda: archive(study, folder),
            file_name=f"{run.id}.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            key="report-zip",
            type="tertiary",
            help="Every table and the predictions for single images, as a ZIP.",
        )


def report(study: dict, folder) -> bytes:
    from derm_core.report.html import report_html

    return report_html(study, folder).encode()


def archive(study: dict, folder) -> bytes:
    from derm_core.report import files

    return files.archive(files.report_files(study, folder))


def edit(workspace, run) -> None:
    """A popover with the run's name, tags and note."""
    popover = st.popover(
        "Name and note",
        icon=":material/edit_note:",
        key="about-run",
        on_change="rerun",
        type="tertiary",
    )
    if not popover.open:
        return
    with popover, st.form("about", border=False):
        name = st.text_input("Name", run.name or "", placeholder=frame.run_name(workspace, run))
        tags = st.multiselect("Tags", list(run.tags), list(run.tags), accept_new_options=True)
        note = st.text_area("Note", run.note or "", placeholder="What a reader should know")
        if st.form_submit_button("Save", type="primary"):
            with frame.errors():
                RunStore(workspace).annotate(
                    run.id, name=name.strip(), tags=tags, note=note.strip()
                )
                st.rerun()


def said(run) -> None:
    """The run's tags and note, where it has any."""
    if run.tags:
        st.markdown(" ".join(f":gray-badge[{words.plain(tag)}]" for tag in run.tags))
    if run.note:
        st.info(words.plain(run.note), icon=":material/sticky_note_2:")


def making(workspace, run_id: str, study: dict) -> None:
    """How the study was made: settings, configuration, versions, files."""
    st.subheader("How this study was made", anchor=False)
    st.markdown(
        f"Took {words.duration(study.get('seconds'))} with "
        + ", ".join(f"{key} {value}" for key, value in study.get("versions", {}).items())
        + "."
    )
    if any(study["arms"][arm].get("setting") for arm in study["arms"]):
        st.markdown("**Settings**")
        st.table(
            tables.settings(study),
            border="horizontal",
            hide_index=True,
            alt="Common and own best setting of every arm",
        )
        st.caption(
            "Learning rate and weight decay. One setting for all arms is the primary comparison, each arm at its own "
            f"best the secondary; both chosen on validation loss. {tables.EDGE} at the edge of the grid."
        )
    if study.get("folds"):
        st.markdown("**Folds**")
        parts.table(
            study,
            *tables.folds(study),
            file="folds",
            alt="Balanced accuracy and accuracy gap of arms by fold",
            caption="Balanced accuracy of each arm on the fold’s own images and, in brackets, its accuracy gap at the "
            "final epoch; means over seeds. The CSV has both gaps at the final and the best epoch.",
        )
        with st.container(horizontal=True, gap="small"):
            for row in study["folds"]:
                frame.link(
                    "compare", f"Fold {row['fold']}", icon=":material/open_in_new:", run=row["run"]
                )
    left, right = st.columns(2)
    with left:
        st.markdown("**Grid**")
        st.json(study.get("grid", {}), expanded=False)
    with right:
        st.markdown("**Configuration**")
        st.json(study["config"], expanded=False)
    with st.container(horizontal=True):
        st.download_button(
            "study.json",
            lambda: json.dumps(study, indent=1).encode(),
            file_name=f"{run_id}.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
            key="study-json",
        )
        for file, label in (
            ("predictions", "Predictions (Parquet)"),
            ("decisions", "Decisions (Parquet)"),
        ):
            path = workspace.run(run_id).artefacts / f"{file}.parquet"
            if path.exists():
                st.download_button(
                    label,
                    path.read_bytes,
                    file_name=f"{run_id}-{file}.parquet",
                    icon=":material/download:",
                    on_click="ignore",
                    key=f"{file}-parquet",
                )
        frame.link("train", "The run and its log", icon=":material/model_training:", run=run_id)
