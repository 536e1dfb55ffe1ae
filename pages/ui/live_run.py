"""A run's events in the session, and its progress as a share and as text."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from derm_core.events import Progress, counted
from derm_core.report.run_events import RunEvents
from derm_core.workspace import Workspace
from pages.ui import words


def follow(workspace: Workspace, run_id: str) -> RunEvents:
    """The run's events up to now; for a fragment with run_every=1."""
    known = st.session_state.setdefault("run-events", {})
    path = workspace.run(run_id).events
    started_again = run_id in known and path.exists() and path.stat().st_size < known[run_id].offset
    if run_id not in known or started_again:
        known[run_id] = RunEvents()
    known[run_id].update(path)
    return known[run_id]


def share(progress: Progress | None) -> float:
    """How much of the work is done, 0 to 1; 0 where it is unknown."""
    return progress.share if progress else 0.0


def progress_text(progress: Progress) -> str:
    """`Decoding mine at 64 pixels · 1,200 of 10,015 images · 850 images/s · about 10 s left`."""
    rate, left = progress.rate, progress.eta_seconds
    parts = [words.plain(progress.what[:1].upper() + progress.what[1:])]
    if progress.total:
        parts.append(f"{progress.done:,.0f} of {progress.total:,.0f} {progress.unit}")
        if rate:
            parts.append(f"{words.number(rate, 1 if rate < 100 else 0)} {progress.unit}/s")
        if left is not None:
            parts.append(f"about {words.duration(left)} left")
    elif progress.elapsed_seconds:
        parts.append(f"{words.duration(progress.elapsed_seconds)} so far")
    return " · ".join(filter(None, parts))


def counter(bar: DeltaGenerator, what: str, unit: str = "images") -> Callable[[int, int], None]:
    """A callback (done, total) that shows what is done, its rate and the time left on a progress bar."""
    count = counted(what, unit)

    def update(done: int, total: int) -> None:
        progress = count(done, total).value
        bar.progress(share(progress), progress_text(progress))

    return update
