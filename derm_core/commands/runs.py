"""`runs list | show | edit | export | cancel | resume | delete`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ..config import KINDS
from ..errors import ConfigError
from ..jobs import supervisor
from ..jobs.dependencies import stored_config, waits_for
from ..jobs.store import STATES, Run, RunStore
from .follow import follow
from .output import HELP, Answer, Screen, add_action, duration, progress_line, size, table

CANCEL_SECONDS = 10.0
LOG_LINES = 15
RECORD = """kind name tags note state device created started finished depends_on error
    progress""".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `runs` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    one = add_action(actions, "runs list", list_runs)
    one.add_argument("--kind", choices=tuple(KINDS))
    one.add_argument("--state", choices=STATES)
    one.add_argument("--tag", help=HELP["runs list --tag"])
    one = add_action(actions, "runs edit", edit_run, "run")
    one.add_argument("--name")
    one.add_argument("--tags", metavar="A,B,…", help=HELP["runs edit --tags"])
    one.add_argument("--note", metavar="TEXT", help=HELP["runs edit --note"])
    one = add_action(actions, "runs export", "run_results:export_run", "run")
    one.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help=HELP["runs export --tensorboard"]
    )
    one.add_argument("--mlflow", metavar="URI", help=HELP["runs export --mlflow"])
    one = add_action(actions, "runs show", show_run, "run")
    one.add_argument("--follow", action="store_true", help=HELP["runs show --follow"])
    add_action(actions, "runs cancel", cancel_run, "run")
    one = add_action(actions, "runs resume", "run_results:resume_run", "run")
    one.add_argument("--follow", action="store_true", help=HELP["runs resume --follow"])
    one = add_action(actions, "runs delete", delete_run, "run")
    one.add_argument("--force", action="store_true", help=HELP["runs delete --force"])


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
    if needed := waits_for(screen.workspace, run):
        lines.append(f"uses {', '.join(needed)}")
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
