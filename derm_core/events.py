"""What a run says while it works: events, one JSON object a line, appended by the worker alone.

A job is a generator of events. `tick` events mark a step and are never written: they are where
the worker may stop. The last event of a finished job is a `result` with its summary.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import storage_errors

KINDS = ("metric", "image", "log", "state", "progress", "result", "tick")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened.

    series: for metrics "ARM/SPLIT/NAME" or "SPLIT/NAME"; value: a number, or a list with one
    number a seed. For progress: {"done", "total", "unit", "rate", "eta_seconds", "what"}; total is 0
    where nobody knows it, and "elapsed_seconds" then says how long it has taken.
    For image: a file name below the run's artefacts. For result: the run's summary.
    """

    kind: str
    series: str = ""
    value: Any = None
    step: int | None = None
    epoch: float | None = None


TICK = Event(kind="tick")


def log(message: str) -> Event:
    """An event that carries one sentence for the run's log."""
    return Event(kind="log", value=message)


def progress(
    done: float, total: float, unit: str, *, what: str, started: float, before: float = 0
) -> Event:
    """Progress of `what`, with rate (unit/s) and time left (s) since `started` (time.monotonic()).

    before: what was done already when it started, in an earlier session.
    """
    elapsed = max(time.monotonic() - started, 1e-9)
    rate = (done - before) / elapsed
    eta = (total - done) / rate if rate > 0 else None
    return Event(
        kind="progress",
        series=what,
        value={
            "what": what,
            "done": done,
            "total": total,
            "unit": unit,
            "rate": rate,
            "eta_seconds": eta,
        },
    )


def counted(what: str, unit: str = "images") -> Callable[[int, int], Event]:
    """A function (done, total) -> progress of `what`; its rate is that since its first call, which a resumed
    piece of work makes with what an earlier session did."""
    started: float | None = None
    before = 0

    def count(done: int, total: int) -> Event:
        nonlocal started, before
        if started is None:
            started, before = time.monotonic(), done
        return progress(done, total, unit, what=what, started=started, before=before)

    return count


def jsonable(value: Any) -> Any:
    """`value` with NumPy scalars and arrays as Python numbers and lists, and NaN/infinity as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


class EventLog:
    """Appends events to `events.jsonl` with a sequence number and the time; one writer only."""

    def __init__(self, path: Path):
        self.path = Path(path)
        previous = list(read_events(self.path))
        self.seq = previous[-1]["seq"] + 1 if previous else 0
        self._trim_torn_line()

    def _trim_torn_line(self) -> None:
        if self.path.exists():
            data = self.path.read_bytes()
            if data and not data.endswith(b"\n"):
                with open(self.path, "r+b") as handle:
                    handle.truncate(data.rfind(b"\n") + 1)

    def append(self, event: Event) -> None:
        """Write one event; order is that of `seq`, whatever the clock does. Raises StorageError."""
        row = {
            "seq": self.seq,
            "time": time.time(),
            "kind": event.kind,
            "series": event.series,
            "step": event.step,
            "epoch": event.epoch,
            "value": jsonable(event.value),
        }
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with (
            storage_errors(self.path),
            open(self.path, "a", encoding="utf-8", opener=_private) as handle,
        ):
            handle.write(line)
        self.seq += 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_events(path: Path, offset: int = 0) -> Iterator[dict]:
    """Whole lines of an event file from byte `offset`; a torn last line is left for the next read."""
    yield from read_events_from(path, offset)[0]


def read_events_from(path: Path, offset: int = 0) -> tuple[list[dict], int]:
    """Events from byte `offset` on and the offset to continue at: what a live page polls."""
    try:
        with open(path, "rb") as handle:
            handle.seek(offset)
            data = handle.read()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    rows = []
    for line in data[:end].splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows, offset + end
