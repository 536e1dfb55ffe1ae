"""What a study is called, its note, its files, and how it was made."""

from __future__ import annotations

from functools import partial

import streamlit as st

from derm_core.files import read_bytes
from derm_core.jobs.published import PublishedRun
from derm_core.jobs.store import Run, RunStore
from derm_core.records import to_json
from derm_core.report.files import archive, report_files
from derm_core.report.html import report_html
from derm_core.report.sections import checklist_sections, cost, method, protocol
from derm_core.report.sections.parts import describe_making
from derm_core.study.study_result import StudyResult
from derm_core.workspace import Workspace
from pages.ui import cached, demo, frame, words
from pages.ui.glossary import heading
from pages.ui.section import draw


def draw_actions(workspace: Workspace, run: Run, result: StudyResult) -> None:
    """Name, tags and note; the report and the tables, made when they are wanted."""
    folder = workspace.run(run.id).root
    with st.container(horizontal=True, gap="small"):
        if not isinstance(run, PublishedRun):
            edit_name_and_note(workspace, run)
        frame.download(
            "Report (HTML)",
            lambda: report_html(result, folder).encode(),
            name=f"{run.id}.html",
            key="report-html",
            icon="description",
            mime="text/html",
            type="tertiary",
            help="One file with verdict, tables, figures, method and versions; no images, nothing "
            "fetched.",
        )
        frame.download(
            "All tables (CSV)",
            lambda: archive(report_files(result, folder)),
            name=f"{run.id}.zip",
            key="report-zip",
            icon="folder_zip",
            mime="application/zip",
            type="tertiary",
            help="Every table and the predictions for single images, as a ZIP.",
        )
        demo.offer_again(workspace, run)


def edit_name_and_note(workspace: Workspace, run: Run) -> None:
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


def draw_tags_and_note(run: Run) -> None:
    """The run's tags and note, where it has any; of a published result its terms, small."""
    if isinstance(run, PublishedRun):
        st.caption(words.plain(run.note))
        return
    if run.tags:
        st.markdown(" ".join(f":gray-badge[{words.plain(tag)}]" for tag in run.tags))
    if run.note:
        st.info(words.plain(run.note), icon=":material/sticky_note_2:")


def method_tab(workspace: Workspace, result: StudyResult) -> None:
    """How the study was made: settings, configuration, versions, files."""
    heading(
        "How this study was made",
        terms=("arm", "frozen-features", "head", "group", "split", "seed"),
    )
    st.markdown(words.plain(describe_making(result)))
    draw(method.data(result), file=result.run_id)
    frame.link("data", "The dataset", icon=":material/dataset:", dataset=result.dataset.name)
    draw(
        protocol.protocol(result),
        method.settings(result),
        method.folds(result),
        cost.cost(result),
        *checklist_sections(result),
        file=result.run_id,
    )
    is_published = isinstance(cached.run(workspace, result.run_id), PublishedRun)
    if result.folds and not is_published:
        icon = ":material/open_in_new:"
        with st.container(horizontal=True, gap="small"):
            for fold in result.folds:
                frame.link("compare", f"Fold {fold.fold}", icon=icon, run=fold.run)
    parts = {"Grid": to_json(result.grid), "Configuration": result.config}
    for column, (name, value) in zip(st.columns(2), parts.items(), strict=True):
        with column:
            st.markdown(f"**{name}**")
            st.json(value, expanded=False)
    draw_files(workspace, result.run_id, is_published)


def draw_files(workspace: Workspace, run_id: str, is_published: bool) -> None:
    """study.json and the predictions for single images, as the run wrote them; a published one has no log."""
    run = workspace.run(run_id)
    files = {
        "study-json": ("study.json", run.study),
        "predictions-parquet": ("Predictions (Parquet)", run.predictions),
        "decisions-parquet": ("Decisions (Parquet)", run.decisions),
    }
    with st.container(horizontal=True):
        for key, (label, path) in files.items():
            if path.exists():
                name = f"{run_id}.json" if path == run.study else f"{run_id}-{path.name}"
                frame.download(label, partial(read_bytes, path), name=name, key=key)
        if not is_published:
            frame.link("train", "The run and its log", icon=":material/model_training:", run=run_id)
