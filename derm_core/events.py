"""Events of a run while it works: one JSON object a line, appended by the worker alone.

A job is a generator of events. `tick` events mark a step and are never written: they are where
the worker may stop. The last event of a finished job is a `result` with its summary.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import storage_errors
from .records import optional, to_json

KINDS = ("metric", "image", "log", "state", "progress", "result", "tick")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        what: the work.
        done, total: in units; total is 0 where it is not known.
        unit: what is counted.
        rate: units per second; None where it is not known yet.
        eta_seconds: time left; None where it is not known.
        elapsed_seconds: time taken so far, where total is not known.
    """

    what: str = ""
    done: float = 0
    total: float = 0
    unit: str = ""
    rate: float | None = None
    eta_seconds: float | None = None
    elapsed_seconds: float | None = optional()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """The progress that a line of events.jsonl or the run database holds."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: value[name] for name in names if name in value})

    @property
    def share(self) -> float:
        """How much is done, 0 to 1; 0 where the total is not known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total else 0.0

    @property
    def complete(self) -> bool:
        """Whether the total is known and reached."""
        return 0 < self.total <= self.done


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: one of KINDS.
        series: of a metric: "ARM/SPLIT/NAME" or "SPLIT/NAME".
        step, epoch: when, where it is known.
        value: of a metric a number, or a list with one number for each seed; of progress a
            `Progress`; of an image a file name below the run's artefacts; of a result the run's
            summary.
    """

    kind: str
    series: str = ""
    step: int | None = None
    epoch: float | None = None
    value: Any = None


TICK = Event(kind="tick")


def log(message: str) -> Event:
    """One sentence for the run's log."""
    return Event(kind="log", value=message)


def progress(
    done: float, total: float, unit: str, *, what: str, started: float, before: float = 0
) -> Event:
    """Progress with rate and time left.

    Args:
        done: in units.
        total: in units.
        unit: what is counted.
        what: the work.
        started: when this session started the work (time.monotonic()).
        before: what an earlier session had done.
    """
    elapsed = max(time.monotonic() - started, 1e-9)
    rate = (done - before) / elapsed
    left = (total - done) / rate if rate > 0 else None
    value = Progress(what=what, done=done, total=total, unit=unit, rate=rate, eta_seconds=left)
    return Event(kind="progress", series=what, value=value)


def counted(what: str, unit: str = "images") -> Callable[[int, int], Event]:
    """A function (done, total) -> progress of `what`.

    Its rate counts from its first call, which a resumed piece of work makes with what was done
    before.
    """
    started: float | None = None
    before = 0

    def count(done: int, total: int) -> Event:
        nonlocal started, before
        if started is None:
            started, before = time.monotonic(), done
        return progress(done, total, unit, what=what, started=started, before=before)

    return count


class EventLog:
    """Appends events to `events.jsonl` with a sequence number and the time; one writer only."""

    def __init__(self, path: Path):
        self.path = Path(path)
        previous = read_events(self.path)
        self.seq = previous[-1]["seq"] + 1 if previous else 0
        self._remove_torn_line()

    def _remove_torn_line(self) -> None:
        if self.path.exists():
            data = self.path.read_bytes()
            if data and not data.endswith(b"\n"):
                with open(self.path, "r+b") as handle:
                    handle.truncate(data.rfind(b"\n") + 1)

    def append(self, event: Event) -> None:
        """Write one event; the order is that of `seq`, whatever the clock does. Raises StorageError."""
        row = {"seq": self.seq, "time": time.time(), **to_json(event)}
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with storage_errors(self.path), open(self.path, "ab", opener=_private) as file:
            file.write(line.encode())
        self.seq += 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a run's file; a torn last line is left out."""
    return read_events_from(path)[0]


def read_events_from(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the offset to continue at, for pages that poll."""
    try:
        with open(path, "rb") as handle:
            handle.seek(offset)
            data = handle.read()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    rows = []
    for line in data[:end].splitlines():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows, offset + end
