"""Train: set a study up, launch it, watch it. One click queues the pretraining and the comparison."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from derm_core.jobs import supervisor
from derm_core.jobs.preflight import submit
from derm_core.jobs.store import Run
from derm_core.workspace import Workspace
from pages.ui import cached, demo, frame, run_progress, runs_table, words
from pages.ui.glossary import heading
from pages.ui.new_study.form import choose_study

DEMONSTRATION = (
    "A demonstration, not evidence: it shows how a comparison works and how its results read. Its pretraining is too "
    "short, and its images are too few, for any conclusion."
)


def draw_new_study(workspace: Workspace) -> None:
    """The form of a new study, and the button that queues it."""
    heading(
        "New study",
        terms=("study", "preset", "arm", "pretraining", "frozen-features", "fine-tuning", "head"),
    )
    with st.container(border=True):
        config = choose_study(workspace)
        with st.container(horizontal=True, vertical_alignment="center"):
            pressed = st.button(
                "Launch", type="primary", icon=":material/play_arrow:", disabled=config is None
            )
            st.caption(
                "Queues the pretraining and, after it, the comparison. Both go on when this window is closed.",
                width="content",
            )
    if pressed and config is not None:
        with frame.errors():
            open_run(submit(workspace, config))
            st.rerun()


def open_run(run_id: str | None) -> None:
    """Show this run on the page, and name it in the address; None: no run."""
    if run_id is None:
        st.query_params.pop("run", None)
    else:
        st.query_params["run"] = run_id


# ---- one run -----------------------------------------------------------------------------------


def draw_run(workspace: Workspace, run_id: str) -> None:
    """One run: its state, what can be done with it, its progress."""
    run = cached.run(workspace, run_id)
    if run is None:
        st.warning(
            "There is no run of that name in this workspace; it may have been deleted, or be someone else's.",
            icon=":material/search_off:",
        )
        return
    st.subheader(words.plain(frame.run_name(workspace, run)), anchor=False)
    draw_actions(workspace, run)
    if demo.is_demo(workspace, run):
        st.info(DEMONSTRATION, icon=":material/science:")
    before, _ = run_before(workspace, run)
    st.fragment(frame.errors()(watch), run_every=None if run.final else 1.0)(
        workspace, run_id, run.state, before.state if before else None
    )


def run_before(workspace: Workspace, run: Run) -> tuple[Run | None, int]:
    """The first run that this one still waits for, and how many it waits for; else the one that it came after."""
    waiting = [] if run.final else supervisor.unfinished_before(workspace, run.id)
    first = waiting[0] if waiting else run.depends_on
    return cached.run(workspace, first) if first else None, len(waiting)


def watch(workspace: Workspace, run_id: str, state: str, state_before: str | None) -> None:
    """The part that runs every second: reads only what is new; when a state changes, the whole page runs again."""
    if state in ("queued", "running"):
        cached.active_runs(workspace)
    run = cached.run(workspace, run_id)
    before, waiting = run_before(workspace, run) if run else (None, 0)
    if run is None or run.state != state or (before.state if before else None) != state_before:
        st.rerun()
    else:
        run_progress.draw_progress(workspace, run, before, waiting)


def draw_actions(workspace: Workspace, run: Run) -> None:
    """State, what can be done now, and the run's id."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        archived = " :gray-badge[:material/archive: Archived]" if run.archived else ""
        st.markdown(words.state_badge(run.state) + archived, width="content")
        st.caption(
            f"{runs_table.dataset_of(workspace, run)} · {words.ago(run.created)} · `{run.id}`",
            width="content",
        )
        st.space("stretch")
        compared = run.kind in ("study", "evaluate") and run.state == "done"
        if compared and st.button("Compare", type="primary", icon=":material/compare:"):
            frame.go("compare", run=run.id)
        demo.offer_again(workspace, run)
        if run.kind == "publish" and run.state == "done":
            frame.link("models", "The library", icon=":material/deployed_code:")
        if not run.final and st.button(
            "Cancel", icon=":material/stop_circle:", disabled=run.cancel_requested
        ):
            act(supervisor.cancel, workspace, run.id)
        if (
            run.final
            and run.state != "done"
            and st.button("Resume", type="primary", icon=":material/play_arrow:")
        ):
            act(supervisor.resume, workspace, run.id)
        if run.final:
            runs_table.draw_archive_button(workspace, run)
            draw_delete(workspace, run)


def act(action: Callable[[Workspace, str], object], workspace: Workspace, run_id: str) -> None:
    """Do something to a run, then run the page again."""
    with frame.errors():
        action(workspace, run_id)
        st.rerun()


def draw_delete(workspace: Workspace, run: Run) -> None:
    """A button that deletes the run after confirmation."""
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(
            f"Delete this run and its files, {words.size(supervisor.run_bytes(workspace, run.id))}? "
            "This cannot be undone."
        )
        if st.button("Delete the run", type="primary", key="delete-run"):
            with frame.errors():
                supervisor.delete_run(workspace, run.id)
                open_run(None)
                st.rerun()


workspace = frame.page("train")
selected = st.query_params.get("run")
first, second, third = st.container(), st.container(), st.container()
with first if selected is None else second:
    draw_new_study(workspace)
with second if selected is None else first:
    if selected is not None:
        draw_run(workspace, selected)
with third:
    if clicked := runs_table.draw_runs(workspace, selected):
        open_run(clicked)
        st.rerun()
