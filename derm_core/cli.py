"""The command line: `derm COMMAND` or `python -m derm_core COMMAND`, the same engine without a browser.

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
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn, TextIO

from .commands.output import Answer, Screen
from .errors import DermError
from .files import write_atomic
from .records import to_json
from .workspace import Workspace

# A command's name is that of its module in derm_core.commands, which is loaded for that command
# alone.
COMMANDS = {
    "doctor": "check the machine, the workspace, weights and models",
    "data": "import, list, audit, generate and delete datasets",
    "pretrain": "pretrain a VAE on a dataset's training images, labels unused",
    "compare": "compare arms under identical conditions; `compare report RUN` shows one again",
    "features": "write an arm's features of a dataset to a Parquet file",
    "embed": "map an arm's features of a dataset (UMAP and PCA)",
    "predict": "classify images with several models side by side",
    "models": "the library of published models",
    "runs": "list, show, name, cancel, resume, archive and delete runs",
    "app": "open the app in a browser",
}


Handler = Callable[[argparse.Namespace, Screen], Answer]


class Parser(argparse.ArgumentParser):
    """argparse with one line per mistake, and the options that every command takes."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{"allow_abbrev": False, **kwargs})
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

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` shows what is allowed\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command; `handler` is its function or "MODULE:FUNCTION"."""
    parser = Parser(
        prog="derm",
        description="Compare VAE and ImageNet pretraining for skin lesion diagnosis. "
        "Research use only. Not for diagnosis.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = _command_name(argv)
    for name, summary in COMMANDS.items():
        one = commands.add_parser(name, help=summary)
        if name == command:
            import_module(f"derm_core.commands.{name}").add_arguments(one)
    return parser.parse_args(argv)


def _command_name(argv: Sequence[str]) -> str | None:
    """The first word that is neither an option nor the value of --workspace."""
    words = iter(argv)
    for word in words:
        if word == "--workspace":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = parse(sys.argv[1:] if argv is None else argv)
    as_json = getattr(args, "json", False)
    out, workspace, screen = sys.stdout, None, None
    try:
        workspace = Workspace.open(getattr(args, "workspace", None))
        os.environ["DERM_HOME"] = str(workspace.root)
        screen = Screen(workspace)
        with contextlib.redirect_stdout(sys.stderr):  # libraries print too: keep it off the answer
            answer = _handler(args.handler)(args, screen)
    except DermError as error:
        answer = Answer({"error": str(error)}, problem=str(error))
    except KeyboardInterrupt as stop:
        return _fail(screen, str(stop) or "Stopped.", 130)
    except Exception as error:
        answer = _unexpected(error, workspace)
    if screen:
        screen.close()
    return _deliver(answer, as_json, out)


def _handler(handler: Handler | str) -> Handler:
    """A command's function; "MODULE:FUNCTION" is one whose module is loaded only where it is needed."""
    if not isinstance(handler, str):
        return handler
    module, function = handler.split(":")
    loaded: Handler = getattr(import_module(f"derm_core.commands.{module}"), function)
    return loaded


def _deliver(answer: Answer, as_json: bool, out: TextIO) -> int:
    try:
        if as_json:
            out.write(json.dumps(to_json(answer.value), ensure_ascii=False, allow_nan=False) + "\n")
        elif answer.text:
            out.write(answer.text.rstrip("\n") + "\n")
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return _fail(None, answer.problem, 1) if answer.problem else 0


def _fail(screen: Screen | None, message: str, status: int) -> int:
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
