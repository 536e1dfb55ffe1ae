"""`runs list | show | edit | export | cancel | resume | archive | unarchive | delete`."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import formatting
from ..config import KINDS
from ..errors import ConfigError
from ..jobs import archive, supervisor
from ..jobs.dependencies import stored_config, waits_for
from ..jobs.queries import RunFilter
from ..jobs.store import STATES, Run, RunStore
from .follow import follow
from .output import HELP, Answer, Screen, add_action, duration, progress_line, size, table

CANCEL_SECONDS = 10.0
LOG_LINES = 15
NAMED_RUNS = 20  # at most so many ids stand in an answer's text
RECORD = """kind name tags note state device created started finished depends_on error
    progress archived""".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `runs` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    one = add_action(actions, "runs list", list_runs)
    one.add_argument("--kind", choices=tuple(KINDS))
    one.add_argument("--state", choices=STATES)
    one.add_argument("--tag", help=HELP["runs list --tag"])
    one.add_argument("--search", metavar="WORDS", default="", help=HELP["runs list --search"])
    one.add_argument("--archived", action="store_true", help=HELP["runs list --archived"])
    one.add_argument("--limit", type=int, metavar="N", help=HELP["runs list --limit"])
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
    for name in ("archive", "unarchive"):
        one = add_action(actions, f"runs {name}", archive_runs)
        one.add_argument("run", nargs="*")
        one.add_argument("--older-than", metavar="AGE", help=HELP["runs archive --older-than"])
        one.add_argument("--dry-run", action="store_true", help=HELP["runs archive --dry-run"])
        one.set_defaults(archive=name == "archive")
    one = add_action(actions, "runs delete", delete_run, "run")
    one.add_argument("--force", action="store_true", help=HELP["runs delete --force"])


def _record(screen: Screen, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        **{name: getattr(run, name) for name in RECORD},
        "disk_bytes": supervisor.run_bytes(screen.workspace, run.id),
    }


def list_runs(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {runs: [{run_id, kind, state, …, disk_bytes}], disk_bytes, total, other}.

    `disk_bytes` is that of the runs that are listed; `total` counts those that fit the filters, and `other` those
    that are left out because they are archived, or with --archived because they are not.
    """
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; allowed: 1 or more.")
    supervisor.reconcile(screen.workspace)
    store = RunStore(screen.workspace)
    which = RunFilter(
        kinds=(args.kind,) if args.kind else (),
        states=(args.state,) if args.state else (),
        tag=args.tag,
        text=args.search,
        archived=args.archived,
    )
    runs, total = store.select(which, args.limit), store.count(which)
    others = store.count(dataclasses.replace(which, archived=not args.archived))
    records = [_record(screen, run) for run in runs]
    filtered = args.kind or args.state or args.tag or args.search or args.archived or others
    text = "No such runs." if filtered else "No runs. `compare --preset demo` makes the first."
    lines = [_run_table(runs, records) if runs else text]
    if len(runs) < total:
        lines.append(
            f"These are the newest {len(runs):,} of {total:,}; without --limit all are listed."
        )
    if others and not args.archived:
        lines.append(
            f"{formatting.count(others, 'archived run')} not listed: --archived lists them."
        )
    on_disk = sum(record["disk_bytes"] for record in records)
    value = {"runs": records, "disk_bytes": on_disk, "total": total, "other": others}
    return Answer(value, "\n".join(lines))


def _run_table(runs: Sequence[Run], records: Sequence[dict[str, Any]]) -> str:
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
    return table(("run", "state", "created", "took", "on disk", "name", "tags"), rows)


def archive_runs(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {runs: [run_id], archived, dry_run}. Of the runs that changed, or with --dry-run would."""
    workspace = screen.workspace
    if bool(args.run) == (args.older_than is not None):
        raise ConfigError("Give either runs or --older-than AGE, such as 90d.")
    supervisor.reconcile(workspace)
    store = RunStore(workspace)
    if args.older_than is not None:
        days = archive.age_in_days(args.older_than)
        runs = store.select(archive.ended_filter(days, archived=not args.archive))
    else:
        runs = archive.named_runs(workspace, args.run, archived=not args.archive)
    if not args.dry_run:
        runs = store.set_archived([run.id for run in runs], args.archive)
    value = {"runs": [run.id for run in runs], "archived": args.archive, "dry_run": args.dry_run}
    return Answer(value, _describe_archive(runs, args))


def _describe_archive(runs: Sequence[Run], args: argparse.Namespace) -> str:
    done = "archived" if args.archive else "brought back"
    if not runs:
        return f"Nothing {'would be' if args.dry_run else 'was'} {done}: {_nothing_left(args)}"
    verb = "would be" if args.dry_run else "was" if len(runs) == 1 else "were"
    lines = [f"{formatting.count(len(runs), 'run')} {verb} {done}; nothing is deleted."]
    lines += [
        f"  {run.id}  ended {_date(run.finished or run.created)}" for run in runs[:NAMED_RUNS]
    ]
    if len(runs) > NAMED_RUNS:
        lines.append(f"  and {len(runs) - NAMED_RUNS:,} older ones (--json names all)")
    return "\n".join(lines)


def _nothing_left(args: argparse.Namespace) -> str:
    if args.older_than is None:
        return f"they are {'archived already' if args.archive else 'not archived'}."
    which = "that is not archived" if args.archive else "that is archived"
    return f"no run {which} ended more than {args.older_than} ago."


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
        *(["archived: it is in no list"] if run.archived else []),
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
