"""Start a run and follow it on the screen until it ends; Ctrl-C leaves it going."""

from __future__ import annotations

from ..jobs.store import Run
from .fold_progress import Folds
from .output import Answer, Screen


def start(config, args, screen: Screen) -> Answer:
    """Queue a run and hand back what it found; at once, with --detach."""
    from ..jobs.preflight import submit
    from ..jobs.store import RunStore
    from ..jobs.supervisor import reconcile
    from .results import answer

    reconcile(screen.workspace)
    run = RunStore(screen.workspace).get(submit(screen.workspace, config))
    after = f", after {run.depends_on}" if run.depends_on else ""
    if getattr(config, "all_folds", False):
        after = f", after the studies of its {config.folds} folds"
    if not run.final:
        screen.note(f"{run.id} is {run.state}{after}. It goes on if this command ends.")
    if args.detach:
        return Answer(
            {"run_id": run.id, "state": run.state, "depends_on": run.depends_on},
            f"{run.id}\nFollow it with `runs show {run.id} --follow`.",
        )
    return answer(screen.workspace, follow(run.id, screen))


def follow(run_id: str, screen: Screen) -> Run:
    """Show a run's log and progress (and those of the runs it waits for) until it ends; returns it.

    Ctrl-C comes back as a KeyboardInterrupt that says how to follow or cancel the run, which goes on.
    """
    from ..jobs.supervisor import wait

    folds = Folds(screen.workspace, run_id)
    if folds.of:
        screen.note(folds.standing())

    def show(row: dict) -> None:
        if row["kind"] == "progress":
            value = row["value"]
            screen.progress(value | {"what": f"{folds.where(row['run'])}{value['what']}"})
        elif row["kind"] == "log":
            screen.note(f"{row['run']}: {row['value']}")
        elif row["kind"] == "state" and row["value"] == "done" and folds.ends(row["run"]):
            screen.note(folds.standing())

    try:
        run = wait(screen.workspace, run_id, show)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{run_id} goes on without this command: `runs show {run_id} --follow` follows it, "
            f"`runs cancel {run_id}` stops it."
        ) from None
    screen.close()
    return run
