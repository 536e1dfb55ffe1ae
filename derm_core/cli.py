"""The command line: `python -m derm_core …`, the same engine without a browser.

With --json exactly one JSON object goes to standard output, progress to standard error. A failure
is one line on standard error that says what to do, and exit status 1 (2 for wrong usage).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback

from .commands import data, doctor, models, runs, training
from .commands.output import Answer, Screen
from .errors import DermError
from .events import jsonable
from .files import write_atomic
from .workspace import Workspace


class Parser(argparse.ArgumentParser):
    """argparse with one line per mistake, and the options that every command takes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)
        everywhere = self.add_argument_group("options of every command")
        everywhere.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="one JSON object on standard output, progress on standard error",
        )
        everywhere.add_argument(
            "--workspace",
            metavar="DIR",
            default=argparse.SUPPRESS,
            help="where datasets, runs and models live (default: $DERM_HOME, else ./workspace)",
        )

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` shows what is allowed\n")


def build_parser() -> Parser:
    """All commands; each sets `handler`, a function (args, screen) -> Answer."""
    parser = Parser(
        prog="python -m derm_core",
        description="Compare VAE and ImageNet pretraining for skin lesion diagnosis. "
        "Research use only. Not for diagnosis.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for family in (doctor, data, training, models, runs):
        family.add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = build_parser().parse_args(argv)
    as_json = getattr(args, "json", False)
    out, workspace, screen = sys.stdout, None, None
    try:
        workspace = Workspace.open(getattr(args, "workspace", None))
        os.environ["DERM_HOME"] = str(workspace.root)
        screen = Screen(workspace)
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # what a library prints is no part of the answer
            answer = args.handler(args, screen)
    except DermError as error:
        answer = Answer({"error": str(error)}, problem=str(error))
    except KeyboardInterrupt as stop:
        return _say(screen, str(stop) or "Stopped.", 130)
    except Exception as error:
        answer = _unexpected(error, workspace)
    if screen:
        screen.close()
    return _deliver(answer, as_json, out)


def _deliver(answer: Answer, as_json: bool, out) -> int:
    try:
        if as_json:
            out.write(
                json.dumps(jsonable(answer.value), ensure_ascii=False, allow_nan=False) + "\n"
            )
        elif answer.text:
            out.write(answer.text.rstrip("\n") + "\n")
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return _say(None, answer.problem, 1) if answer.problem else 0


def _say(screen: Screen | None, message: str, status: int) -> int:
    if screen:
        screen.close()
    print(" ".join(message.split()), file=sys.stderr)
    return status


def _unexpected(error: Exception, workspace: Workspace | None) -> Answer:
    detail = next(iter(str(error).splitlines()), "no message")
    message = f"Unexpected {type(error).__name__}: {detail}"
    if workspace is not None:
        path = workspace.root / "last-error.txt"
        with contextlib.suppress(OSError):
            write_atomic(path, traceback.format_exc())
            message += f"; please report it with {path}"
    return Answer({"error": message}, problem=message)
