"""Follow a run on the screen until it ends; Ctrl-C leaves it going."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..events import Progress
from ..jobs.store import Run
from ..jobs.supervisor import wait
from .fold_progress import FoldProgress
from .output import Screen


def follow(run_id: str, screen: Screen) -> Run:
    """Show the log and progress of a run, and of the runs that it waits for, until it ends.

    Raises:
        KeyboardInterrupt: on Ctrl-C, saying how to follow or cancel the run, which goes on.
    """
    folds = FoldProgress(screen.workspace, run_id)
    if folds.fold_of:
        screen.note(folds.summary())

    def show_event(row: dict[str, Any]) -> None:
        value = row["value"]
        if row["kind"] == "progress":
            progress = Progress.from_json(value)
            screen.progress(replace(progress, what=folds.prefix(row["run"]) + progress.what))
        elif row["kind"] == "log":
            screen.note(f"{row['run']}: {value}")
        elif row["kind"] == "state" and value == "done" and row["run"] in folds.studies:
            screen.note(folds.summary())

    try:
        run = wait(screen.workspace, run_id, show_event)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{run_id} goes on without this command: `runs show {run_id} --follow` follows it, "
            f"`runs cancel {run_id}` stops it."
        ) from None
    screen.close()
    return run
