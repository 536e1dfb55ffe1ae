"""What a command prints: its answer on standard output, progress and notes on standard error."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

from .. import formatting
from ..events import Event, Progress, counted
from ..workspace import Workspace

HELP: dict[str, str] = tomllib.loads(Path(__file__).with_name("help.toml").read_text("utf-8"))
T = TypeVar("T")
LINE_SECONDS = 5.0
REDRAW_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """The result of a command.

    Attributes:
        value: the JSON object, a record or a dict.
        text: the same as text.
        problem: one sentence where the command failed; the exit status is then 1.
    """

    value: Any
    text: str = ""
    problem: str = ""


def add_action(actions: Any, name: str, handler: Any, *positional: str) -> argparse.ArgumentParser:
    """The parser of an action of a command.

    Args:
        actions: what `add_subparsers` returns.
        name: command and action, such as "data list"; its help is in help.toml.
        handler: its function or "MODULE:FUNCTION", as `cli.parse` has it.
        positional: names of arguments that stand without an option.
    """
    action: argparse.ArgumentParser = actions.add_parser(name.split()[-1], help=HELP[name])
    for argument in positional:
        action.add_argument(argument)
    action.set_defaults(handler=handler)
    return action


class Screen:
    """Progress on standard error: one line that updates on a terminal, else a plain line every 5 s."""

    def __init__(self, workspace: Workspace, stream: TextIO | None = None):
        self.workspace = workspace
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self._printed_at = float("-inf")
        self._line_is_open = False

    def progress(self, value: Progress) -> None:
        """Print how far a piece of work is, unless this was printed a moment ago."""
        now = time.monotonic()
        pause = REDRAW_SECONDS if self.is_terminal else LINE_SECONDS
        if now - self._printed_at < pause and not (self.is_terminal and value.complete):
            return
        self._printed_at = now
        line = progress_line(value)
        if self.is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{line[:width]}")
            self._line_is_open = True
        else:
            self._write(line + "\n")

    def counter(self, what: str, unit: str) -> Callable[[int, int], None]:
        """A callback (done, total) that prints rate and time left since its first call."""
        count = counted(what, unit)
        return lambda done, total: self.progress(count(done, total).value)

    def finish(self, steps: Generator[Event, None, T]) -> T:
        """The result of a generator of events, whose progress is printed."""
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(event.value, Progress):
                self.progress(event.value)

    def note(self, message: str) -> None:
        """One sentence on standard error."""
        self.close()
        self._write(message + "\n")

    def close(self) -> None:
        """End a line that was being updated."""
        if self._line_is_open:
            self._write("\n")
            self._line_is_open = False

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def progress_line(value: Progress) -> str:
    """`pretraining  120/800 steps  15%  3.2 steps/s  3 min 32 s left`."""
    if not value.total:
        return f"{value.what}  {duration(value.elapsed_seconds or 0)} so far"
    parts = [value.what, f"{value.done:g}/{value.total:g} {value.unit}"]
    parts.append(f"{value.done / value.total:.0%}")
    if value.rate:
        parts.append(f"{value.rate:.3g} {value.unit}/s")
    if value.eta_seconds is not None and value.done < value.total:
        parts.append(f"{duration(value.eta_seconds)} left")
    return "  ".join(parts)


def duration(seconds: float | None) -> str:
    """`formatting.duration` with ordinary spaces: `48 s`, `3 min 32 s`, `2 h 5 min`."""
    return formatting.duration(seconds).replace(formatting.THIN, " ")


def size(byte_count: float) -> str:
    """`formatting.size` with ordinary spaces: `512 B`, `3.1 MB`, `1.2 GB`."""
    return formatting.size(byte_count).replace(formatting.THIN, " ")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in plain text; columns of numbers are aligned to the right."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    columns = range(len(header))
    widths = [max(len(line[i]) for line in lines) for i in columns]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in columns]

    def aligned(line: list[str]) -> str:
        cells = [
            line[i].rjust(widths[i]) if numeric[i] else line[i].ljust(widths[i]) for i in columns
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(map(aligned, lines))
