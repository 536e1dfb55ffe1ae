"""`compare report`: a finished comparison as files that leave the machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ConfigError, RunError
from ..files import write_atomic
from ..jobs.published import PublishedRun, find_run
from ..jobs.store import Run
from ..records import to_json
from ..report.files import report_files
from ..report.html import report_html
from ..study.study_result import study_result
from ..workspace import Workspace
from .output import HELP, Answer, Screen, size
from .results import answer, read_study


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `compare report`."""
    parser.add_argument("run", help=HELP["compare report run"])
    parser.add_argument("--out", type=Path, metavar="FILE", help=HELP["compare report --out"])
    parser.add_argument(
        "--images", type=int, default=0, metavar="N", help=HELP["compare report --images"]
    )
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help=HELP["compare report --csv"])
    parser.set_defaults(handler=run_report)


def run_report(args: argparse.Namespace, screen: Screen) -> Answer:
    """The text report of a finished comparison, or of a published one by its name.

    JSON as of `compare`; with --out or --csv {run_id, files}.
    """
    run = find_run(screen.workspace, args.run)
    if run.kind not in ("study", "evaluate"):
        raise ConfigError(
            f"{run.id} is a {run.kind}; a report is made of a study (`runs list --kind study`) or an evaluation."
        )
    if args.images and not args.out:
        raise ConfigError("--images are shown in the HTML report: give --out FILE as well.")
    if not (args.out or args.csv):
        return _answer(screen.workspace, run)
    result = study_result(read_study(screen.workspace, run.id))
    folder = screen.workspace.run(run.id).root
    written = []
    if args.out:
        written.append(
            write_file(args.out, report_html(result, folder, images=args.images).encode())
        )
    if args.csv:
        for name, data in report_files(result, folder).items():
            written.append(write_file(args.csv / name, data))
    return Answer(
        {"run_id": run.id, "files": [str(path) for path in written]},
        "\n".join(f"{path} ({size(path.stat().st_size)})" for path in written),
    )


def _answer(workspace: Workspace, run: Run) -> Answer:
    """The results of a run; those of a published one with its terms and origin (JSON: published)."""
    results = answer(workspace, run)
    if not isinstance(run, PublishedRun):
        return results
    value = {**results.value, "published": to_json(run.about)}
    return Answer(value, f"{run.name}\n{run.note}\n\n{results.text}", results.problem)


def write_file(path: Path, data: bytes) -> Path:
    """Write a file that the user named; its path. Raises RunError."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}); choose another place."
        ) from error
    return path
