"""`runs list | show | edit | export | cancel | resume | delete`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ..config import KINDS
from ..errors import ConfigError
from ..jobs import supervisor
from ..jobs.dependencies import stored_config
from ..jobs.store import STATES, Run, RunStore
from .follow import follow
from .output import Answer, Screen, duration, progress_line, size, table

CANCEL_SECONDS = 10.0
LOG_LINES = 15
RECORD = """kind name tags note state device created started finished depends_on error
    progress""".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `runs` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    one = actions.add_parser("list", help="runs of the workspace, newest first")
    one.add_argument("--kind", choices=tuple(KINDS))
    one.add_argument("--state", choices=STATES)
    one.add_argument("--tag", help="those with this tag")
    one.set_defaults(handler=list_runs)

    def add_action(name: str, handler: Any, summary: str) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(name, help=summary)
        action.add_argument("run")
        action.set_defaults(handler=handler)
        return action

    one = add_action(
        "edit", edit_run, "give a run a name, tags and a note; an empty text takes one away"
    )
    one.add_argument("--name")
    one.add_argument("--tags", metavar="A,B,…", help="in place of those it has")
    one.add_argument("--note", metavar="TEXT", help="shown on its page and in its report")
    one = add_action(
        "export", "run_results:export_run", "a run's metrics and pictures for TensorBoard or MLflow"
    )
    one.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write event files below DIR/RUN"
    )
    one.add_argument(
        "--mlflow",
        metavar="URI",
        help="log it to a tracking server or database, such as sqlite:///mlflow.db",
    )
    one = add_action("show", show_run, "one run: state, progress, settings, end of its log")
    one.add_argument("--follow", action="store_true", help="follow it until it ends")
    add_action("cancel", cancel_run, "stop a run; what it saved stays and can be resumed")
    one = add_action(
        "resume", "run_results:resume_run", "go on with a failed, cancelled or interrupted run"
    )
    one.add_argument("--follow", action="store_true", help="follow it until it ends")
    one = add_action("delete", delete_run, "delete a run's folder and all it made")
    one.add_argument("--force", action="store_true", help="even where other runs use it")


def _record(screen: Screen, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        **{name: getattr(run, name) for name in RECORD},
        "disk_bytes": supervisor.run_bytes(screen.workspace, run.id),
    }


def list_runs(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {runs: [{run_id, kind, state, …, disk_bytes}], disk_bytes}."""
    supervisor.reconcile(screen.workspace)
    runs = RunStore(screen.workspace).list(args.kind, args.state, args.tag)
    records = [_record(screen, run) for run in runs]
    rows = [
        (
            run.id,
            run.state,
            _date(run.created),
            _time_taken(run),
            size(record["disk_bytes"]),
            run.name,
            ", ".join(run.tags),
        )
        for run, record in zip(runs, records, strict=True)
    ]
    filtered = args.kind or args.state or args.tag
    text = "No such runs." if filtered else "No runs. `compare --preset demo` makes the first."
    if rows:
        text = table(("run", "state", "created", "took", "on disk", "name", "tags"), rows)
    total = sum(record["disk_bytes"] for record in records)
    return Answer({"runs": records, "disk_bytes": total}, text)


def edit_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, name, tags, note} after the change."""
    if args.name is None and args.tags is None and args.note is None:
        raise ConfigError("Nothing to change: give --name, --tags or --note.")
    run = RunStore(screen.workspace).annotate(
        args.run,
        name=args.name,
        tags=None if args.tags is None else args.tags.split(","),
        note=args.note,
    )
    return Answer(
        {"run_id": run.id, "name": run.name, "tags": run.tags, "note": run.note},
        "\n".join([run.id, *_annotations(run)]),
    )


def _annotations(run: Run) -> list[str]:
    """Name, tags and note of a run, a line each."""
    texts = {"name": run.name, "tags": ", ".join(run.tags), "note": run.note}
    return [f"{what}: {text}" for what, text in texts.items() if text]


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _time_taken(run: Run) -> str:
    if run.started is None:
        return duration(None)
    return duration((run.finished or time.time()) - run.started)


def show_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: the run's record with {config, summary, log: last lines, folder}."""
    store = RunStore(screen.workspace)
    store.get(args.run)
    supervisor.reconcile(screen.workspace)
    run = follow(args.run, screen) if args.follow else store.get(args.run)
    files = screen.workspace.run(run.id)
    log = _last_lines(files.log)
    value = {
        **_record(screen, run),
        "config": stored_config(screen.workspace, run.id),
        "summary": run.summary,
        "log": log,
        "folder": str(files.root),
    }
    lines = [
        f"{run.id} is {run.state}" + (f": {run.error}" if run.error else "."),
        f"created {_date(run.created)}, took {_time_taken(run)}, "
        f"{size(value['disk_bytes'])} in {files.root}",
        *_annotations(run),
    ]
    if run.depends_on:
        lines.append(f"uses {run.depends_on}")
    if run.progress and run.state == "running":
        lines.append(progress_line(run.progress))
    return Answer(value, "\n".join([*lines, "", *log]))


def _last_lines(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def cancel_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state}. Requests the end of the run, and after some seconds forces it."""
    supervisor.reconcile(screen.workspace)
    run = supervisor.cancel(screen.workspace, args.run, wait=CANCEL_SECONDS)
    value = {"run_id": run.id, "state": run.state}
    if run.final:
        return Answer(value, f"{run.id} is {run.state}.")
    return Answer(
        value, problem=f"{run.id} has not stopped yet; run the same command again in a moment."
    )


def delete_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, freed_bytes}."""
    supervisor.reconcile(screen.workspace)
    freed = supervisor.delete_run(screen.workspace, args.run, force=args.force)
    return Answer(
        {"run_id": args.run, "freed_bytes": freed}, f"{args.run} deleted, {size(freed)} freed."
    )
