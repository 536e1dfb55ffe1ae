"""What a command says: its answer on standard output, progress and notes on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from ..events import counted
from ..workspace import Workspace

LINE_SECONDS = 5.0
REDRAW_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """What a command hands back. value: the JSON object; text: the same to be read; problem: one
    sentence where it failed, which makes the exit status 1."""

    value: dict[str, Any]
    text: str = ""
    problem: str = ""


class Screen:
    """Progress on standard error: one line that updates on a terminal, else a plain line every 5 s."""

    def __init__(self, workspace: Workspace, stream: TextIO | None = None):
        self.workspace = workspace
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.shown = float("-inf")
        self.open_line = False

    def progress(self, value: dict[str, Any]) -> None:
        """Show a progress event's value: {what, done, total, unit, rate, eta_seconds}, as events.Event says."""
        now, complete = time.monotonic(), 0 < value["total"] <= value["done"]
        if now - self.shown < (REDRAW_SECONDS if self.terminal else LINE_SECONDS) and not (
            self.terminal and complete
        ):
            return
        self.shown = now
        line = progress_line(value)
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\x1b[K{line[:width]}")
            self.open_line = True
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def counter(self, what: str, unit: str) -> Callable[[int, int], None]:
        """A callback (done, total) that shows rate and time left since its first call."""
        count = counted(what, unit)
        return lambda done, total: self.progress(count(done, total).value)

    def note(self, message: str) -> None:
        """One sentence on standard error."""
        self.close()
        self.stream.write(message + "\n")
        self.stream.flush()

    def close(self) -> None:
        """End a line that was being updated."""
        if self.open_line:
            self.stream.write("\n")
            self.stream.flush()
            self.open_line = False


def progress_line(value: dict[str, Any]) -> str:
    """`pretraining  120/800 steps  15%  3.2 steps/s  3 min 32 s left`."""
    done, total = value["done"], value["total"]
    if not total:
        return f"{value['what']}  {duration(value.get('elapsed_seconds', 0))} so far"
    share = f"{done / total:.0%}"
    parts = [value["what"], f"{done:g}/{total:g} {value['unit']}", share]
    if value.get("rate"):
        parts.append(f"{value['rate']:.3g} {value['unit']}/s")
    if value.get("eta_seconds") is not None and done < total:
        parts.append(f"{duration(value['eta_seconds'])} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as `48 s`, `3 min 32 s` or `2 h 5 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes as `512 B`, `3.1 MB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in plain text; columns of numbers are aligned to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [
        bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
        for i in range(len(header))
    ]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    lines = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric)
        ]
        for line in [list(header), *cells]
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)
