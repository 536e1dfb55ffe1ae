"""The runs of the workspace, a page of them at a time, found by words, kind and state; old ones can be archived."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from derm_core.jobs import archive
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.workspace import Workspace
from pages.ui import cached, frame, live_run, words

PAGE = 50
FEW = 10  # runs that need no search
ANY = ""
OLD_DAYS = 90


def draw_runs(workspace: Workspace, selected: str | None) -> str | None:
    """A page of the runs, newest first. Returns the run whose row was clicked just now."""
    store = RunStore(workspace)
    current, archived = (store.count(RunFilter(archived=is_old)) for is_old in (False, True))
    if not current + archived:
        return None
    st.subheader("Runs", anchor=False)
    which = RunFilter(archived=False)
    if archived or current > FEW:
        which = _choose(current, archived)
    total = store.count(which)
    table, page = st.container(), 1
    pages = -(-total // PAGE)
    if pages > 1:
        page = st.pagination(pages, key=f"runs-page-{zlib.crc32(repr(which).encode())}")
    runs = store.select(which, PAGE, (page - 1) * PAGE)
    with table:
        clicked = _draw_table(workspace, runs, which, total) if runs else None
        _draw_extent((page - 1) * PAGE, len(runs), total, bool(which.archived))
    is_new = clicked is not None and clicked not in (selected, st.session_state.get("picked"))
    st.session_state["picked"] = clicked
    return clicked if is_new else None


def _choose(current: int, archived: int) -> RunFilter:
    """Words, kind, state, and whether archived runs are shown."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        text = st.text_input(
            "Search the runs",
            key="runs-search",
            icon=":material/search:",
            placeholder="Name, tag, note, dataset, preset or id",
            label_visibility="collapsed",
            width=320,
        )
        kind = _choice("Kind", {ANY: "All kinds", **words.KINDS}, "runs-kind")
        states = {state: name for state, (name, _, _) in words.STATES.items()}
        state = _choice("State", {ANY: "All states", **states}, "runs-state")
        is_archived = False
        if archived:
            names = {False: f"Current ({current:,})", True: f"Archived ({archived:,})"}
            is_archived = st.segmented_control(
                "Which runs",
                list(names),
                default=False,
                required=True,
                key="runs-archived",
                format_func=names.__getitem__,
                label_visibility="collapsed",
            )
    return RunFilter(
        kinds=(kind,) if kind else (),
        states=(state,) if state else (),
        text=text,
        archived=bool(is_archived),
    )


def _choice(label: str, names: dict[str, str], key: str) -> str:
    return st.selectbox(
        label,
        list(names),
        key=key,
        format_func=names.__getitem__,
        label_visibility="collapsed",
        width=160,
    )


def _draw_extent(before: int, shown: int, total: int, is_archived: bool) -> None:
    which = " archived" if is_archived else ""
    if not shown:
        st.caption(f"No{which} run is found by these words, kind and state.")
    elif shown < total:
        st.caption(
            f"{before + 1:,} to {before + shown:,} of {total:,}{which} runs, newest first; the pages below have the "
            "others."
        )


def _draw_table(
    workspace: Workspace, runs: Sequence[Run], which: RunFilter, total: int
) -> str | None:
    """The table, its CSV, which has all pages, and archiving. Returns the id of the selected run."""
    table = as_table(workspace, runs)
    # Other rows are another table: a selected place must not become that of another run.
    rows = zlib.crc32(" ".join(run.id for run in runs).encode())
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs-{rows}",
        alt="Runs, newest first",
        height="content" if len(table) <= 10 else 380,
        column_config={
            "Progress": st.column_config.ProgressColumn(format="percent", width="small"),
            "Created": st.column_config.DatetimeColumn(format="distance"),
        },
    )

    def every() -> pd.DataFrame:
        return as_table(workspace, RunStore(workspace).select(which))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        label = "Download CSV" if len(runs) == total else f"Download CSV of all {total:,}"
        frame.download_table(every, label, name="runs")
        _offer_archiving(workspace, which, total)
    selected = event.selection.rows
    return runs[selected[0]].id if selected else None


def as_table(workspace: Workspace, runs: Sequence[Run]) -> pd.DataFrame:
    """The runs, one a row."""
    return pd.DataFrame([_row(workspace, run) for run in runs])


def _row(workspace: Workspace, run: Run) -> dict[str, object]:
    done = 1.0 if run.state == "done" else None
    seconds = (run.finished or run.started or 0) - run.started if run.started else 0
    return {
        "State": words.STATES[run.state][0],
        "Run": frame.run_name(workspace, run),
        "Dataset": dataset_of(workspace, run),
        "Progress": done if run.final else live_run.share(run.progress),
        "Created": pd.Timestamp(run.created, unit="s", tz="UTC"),
        "Took": words.duration(seconds) if run.started and run.final else "",
        "Id": run.id,
    }


def dataset_of(workspace: Workspace, run: Run) -> str:
    """Name of the dataset of a run; empty where unknown."""
    return cached.config(workspace, run.id).get("dataset", "")


# ---- archiving ---------------------------------------------------------------------------------


def _offer_archiving(workspace: Workspace, which: RunFilter, total: int) -> None:
    """Of archived runs their way back, of others that of old ones into the archive."""
    if which.archived and total:
        with st.popover("Bring back", icon=":material/unarchive:", type="tertiary"):
            st.markdown(
                f"Bring {words.count(total, 'archived run')} back into the lists: all that the search finds."
            )
            if st.button("Bring them back", type="primary", key="unarchive-runs"):
                _set_archived(workspace, which, False)
    elif not which.archived and RunStore(workspace).count(archive.ended_filter(0)):
        with st.popover("Archive old runs", icon=":material/archive:", type="tertiary"):
            _draw_archiving(workspace)


def _draw_archiving(workspace: Workspace) -> None:
    days = st.number_input(
        "Ended more than this many days ago", 0, 36_500, OLD_DAYS, key="archive-days"
    )
    old = archive.ended_filter(days)
    count = RunStore(workspace).count(old)
    st.markdown(
        f"{words.count(count, 'run')}, of all kinds, whatever the search finds. Archived runs leave the lists and "
        "choices of all pages. Nothing is deleted: links to them work, as do studies, maps and models made from them, "
        "and they can be brought back."
    )
    if st.button("Archive them", type="primary", key="archive-runs", disabled=not count):
        _set_archived(workspace, old, True)


def _set_archived(workspace: Workspace, which: RunFilter, archived: bool) -> None:
    with frame.errors():
        store = RunStore(workspace)
        changed = store.set_archived([run.id for run in store.select(which)], archived)
        done = "archived" if archived else "brought back"
        frame.announce(f"{words.count(len(changed), 'run')} {done}.")
        st.session_state.pop("runs-archived", None)
        st.rerun()


def draw_archive_button(workspace: Workspace, run: Run) -> None:
    """Archives a run that has ended, or brings it back."""
    label, icon = ("Archive", "archive") if run.archived is None else ("Bring back", "unarchive")
    about = "Leaves the lists and choices; nothing is deleted" if run.archived is None else None
    if st.button(label, icon=f":material/{icon}:", key="archive-run", help=about):
        with frame.errors():
            archive.named_runs(workspace, [run.id], archived=run.archived is not None)
            RunStore(workspace).set_archived([run.id], run.archived is None)
            st.rerun()
