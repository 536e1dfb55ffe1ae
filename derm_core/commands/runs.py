"""`runs list | show | edit | export | cancel | resume | delete`."""

from __future__ import annotations

import time
from typing import Any

from ..config import KINDS
from ..errors import ConfigError
from ..jobs.store import STATES, Run
from .output import Answer, Screen, duration, progress_line, size, table
from .reports import add_export

CANCEL_SECONDS = 10.0
LOG_LINES = 15


def add_commands(commands) -> None:
    parser = commands.add_parser("runs", help="list, show, name, cancel, resume and delete runs")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    one = actions.add_parser("list", help="runs of the workspace, newest first")
    one.add_argument("--kind", choices=tuple(KINDS))
    one.add_argument("--state", choices=STATES)
    one.add_argument("--tag", help="those with this tag")
    one.set_defaults(handler=list_runs)
    one = actions.add_parser(
        "edit", help="give a run a name, tags and a note; an empty text takes one away"
    )
    one.add_argument("run")
    one.add_argument("--name")
    one.add_argument("--tags", metavar="A,B,…", help="in place of those it has")
    one.add_argument("--note", metavar="TEXT", help="shown on its page and in its report")
    one.set_defaults(handler=edit_run)
    add_export(actions)
    for name, handler, help_text in (
        ("show", show_run, "one run: state, progress, settings, end of its log"),
        ("cancel", cancel_run, "stop a run; what it saved stays and can be resumed"),
        ("resume", resume_run, "go on with a failed, cancelled or interrupted run"),
        ("delete", delete_run, "delete a run's folder and all it made"),
    ):
        one = actions.add_parser(name, help=help_text)
        one.add_argument("run")
        one.set_defaults(handler=handler)
        if name in ("show", "resume"):
            one.add_argument("--follow", action="store_true", help="follow it until it ends")
        if name == "delete":
            one.add_argument("--force", action="store_true", help="even where other runs use it")


def _record(screen: Screen, run: Run) -> dict[str, Any]:
    from ..jobs.supervisor import run_bytes

    value = {
        name: getattr(run, name)
        for name in (
            "kind",
            "name",
            "tags",
            "note",
            "state",
            "device",
            "created",
            "started",
            "finished",
            "depends_on",
            "error",
            "progress",
        )
    }
    return {"run_id": run.id, **value, "disk_bytes": run_bytes(screen.workspace, run.id)}


def list_runs(args, screen: Screen) -> Answer:
    """JSON: {runs: [{run_id, kind, state, …, disk_bytes}], disk_bytes}."""
    from ..jobs.store import RunStore
    from ..jobs.supervisor import reconcile

    reconcile(screen.workspace)
    records = [
        _record(screen, run)
        for run in RunStore(screen.workspace).list(args.kind, args.state, args.tag)
    ]
    rows = [
        (
            row["run_id"],
            row["state"],
            _when(row["created"]),
            _took(row),
            size(row["disk_bytes"]),
            row["name"],
            ", ".join(row["tags"]),
        )
        for row in records
    ]
    asked = args.kind or args.state or args.tag
    nothing = "No such runs." if asked else "No runs. `compare --preset demo` makes the first."
    text = (
        table(("run", "state", "created", "took", "on disk", "name", "tags"), rows)
        if rows
        else nothing
    )
    return Answer({"runs": records, "disk_bytes": sum(row["disk_bytes"] for row in records)}, text)


def edit_run(args, screen: Screen) -> Answer:
    """JSON: {run_id, name, tags, note} as they now stand."""
    from ..jobs.store import RunStore

    if args.name is None and args.tags is None and args.note is None:
        raise ConfigError("Nothing to change: give --name, --tags or --note.")
    run = RunStore(screen.workspace).annotate(
        args.run,
        name=args.name,
        tags=None if args.tags is None else args.tags.split(","),
        note=args.note,
    )
    return Answer(
        {"run_id": run.id, "name": run.name, "tags": list(run.tags), "note": run.note},
        "\n".join([run.id, *_about(run)]),
    )


def _about(run: Run) -> list[str]:
    """What its user says of a run, a line each."""
    said = {"name": run.name, "tags": ", ".join(run.tags), "note": run.note}
    return [f"{what}: {text}" for what, text in said.items() if text]


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _took(row: dict[str, Any]) -> str:
    if row["started"] is None:
        return "–"
    return duration((row["finished"] or time.time()) - row["started"])


def show_run(args, screen: Screen) -> Answer:
    """JSON: the run's record with {config, summary, log: last lines, paths}."""
    from ..jobs.dependencies import stored_config
    from ..jobs.store import RunStore
    from ..jobs.supervisor import reconcile
    from .progress import follow

    store = RunStore(screen.workspace)
    store.get(args.run)
    reconcile(screen.workspace)
    run = follow(args.run, screen) if args.follow else store.get(args.run)
    paths = screen.workspace.run(run.id)
    log = _tail(paths.log)
    value = {
        **_record(screen, run),
        "config": stored_config(screen.workspace, run.id),
        "summary": run.summary,
        "log": log,
        "folder": str(paths.root),
    }
    lines = [
        f"{run.id} is {run.state}" + (f": {run.error}" if run.error else "."),
        f"created {_when(run.created)}, took {_took(value)}, {size(value['disk_bytes'])} in {paths.root}",
    ]
    lines += _about(run)
    if run.depends_on:
        lines.append(f"uses {run.depends_on}")
    if run.progress and run.state == "running":
        lines.append(progress_line(run.progress))
    return Answer(value, "\n".join([*lines, "", *log]))


def _tail(path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def cancel_run(args, screen: Screen) -> Answer:
    """JSON: {run_id, state}. Asks, and after some seconds forces."""
    from ..jobs.supervisor import cancel, reconcile

    reconcile(screen.workspace)
    run = cancel(screen.workspace, args.run, wait=CANCEL_SECONDS)
    problem = (
        ""
        if run.final
        else f"{run.id} has not stopped yet; run the same command again in a moment."
    )
    return Answer(
        {"run_id": run.id, "state": run.state},
        f"{run.id} is {run.state}." if run.final else "",
        problem,
    )


def resume_run(args, screen: Screen) -> Answer:
    """JSON: {run_id, state}, or with --follow what the finished run found."""
    from ..jobs.store import RunStore
    from ..jobs.supervisor import reconcile, resume
    from .progress import follow
    from .results import answer

    reconcile(screen.workspace)
    resume(screen.workspace, args.run)
    if args.follow:
        return answer(screen.workspace, follow(args.run, screen))
    run = RunStore(screen.workspace).get(args.run)
    return Answer(
        {"run_id": run.id, "state": run.state},
        f"{run.id} is {run.state} again; `runs show {run.id} --follow` follows it.",
    )


def delete_run(args, screen: Screen) -> Answer:
    """JSON: {run_id, freed_bytes}."""
    from ..jobs import supervisor

    supervisor.reconcile(screen.workspace)
    freed = supervisor.delete_run(screen.workspace, args.run, force=args.force)
    return Answer(
        {"run_id": args.run, "freed_bytes": freed}, f"{args.run} deleted, {size(freed)} freed."
    )
