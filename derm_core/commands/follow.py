"""Follow a run on the screen until it ends; Ctrl-C leaves it going."""

from __future__ import annotations

from ..jobs.store import Run
from .screen import Screen


def follow(run_id: str, screen: Screen) -> Run:
    """Show a run's log and progress (and those of the run it waits for) until it ends; returns it.

    Ctrl-C comes back as a KeyboardInterrupt that says how to follow or cancel the run, which goes on.
    """
    from ..jobs.supervisor import wait

    def show(row: dict) -> None:
        if row["kind"] == "progress":
            screen.progress(row["value"])
        elif row["kind"] == "log":
            screen.note(f"{row['run']}: {row['value']}")

    try:
        run = wait(screen.workspace, run_id, show)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{run_id} goes on without this command: `runs show {run_id} --follow` follows it, "
            f"`runs cancel {run_id}` stops it.") from None
    screen.close()
    return run
