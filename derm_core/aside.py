"""Long work that does not yield, done on a thread while its generator of events goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from .events import TICK, Event, progress

POLL_SECONDS = 0.2
SAY_SECONDS = 1.0
PATIENCE_SECONDS = 5.0

Value = TypeVar("Value")
Report = Callable[[int, int], None]     # (done, total); raises Left once nobody waits for the work any more


class Left(Exception):
    """Raised in the work, by its report, when the generator was closed: the run is cancelled."""


def aside(work: Callable[[Report], Value], what: str, unit: str = "images") -> Generator[Event, None, Value]:
    """`value = yield from aside(lambda report: build(progress=report), "Decoding images")`.

    Yields a TICK every moment, where the run may be stopped, and each second progress with rate and
    time left, once the work has reported any; before that the seconds it has taken. When the generator is
    closed the work ends at its next report, for which PATIENCE_SECONDS are waited. Raises what the work raises.
    """
    thread = _Thread(work)
    started = said = time.monotonic()
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                yield thread.progress(what, unit, started)
            yield TICK
    finally:
        thread.left = True
        thread.join(PATIENCE_SECONDS)
    if thread.error is not None:
        raise thread.error
    if thread.first is not None:
        yield thread.progress(what, unit, started)
    return thread.value


class _Thread(threading.Thread):
    """The work, what it last reported, and what came of it."""

    def __init__(self, work: Callable[[Report], Value]):
        super().__init__(daemon=True)
        self.work, self.left = work, False
        self.first: tuple[float, int] | None = None    # when it first reported, and what was done by then
        self.done, self.total = 0, 0
        self.value, self.error = None, None

    def run(self) -> None:
        try:
            self.value = self.work(self.report)
        except BaseException as error:
            self.error = error

    def report(self, done: int, total: int) -> None:
        if self.left:
            raise Left
        self.done, self.total = done, total
        if self.first is None:
            self.first = time.monotonic(), done

    def progress(self, what: str, unit: str, started: float) -> Event:
        if self.first is None:
            return Event(kind="progress", series=what, value={
                "what": what, "done": 0, "total": 0, "unit": unit, "rate": None, "eta_seconds": None,
                "elapsed_seconds": time.monotonic() - started})
        since, before = self.first
        return progress(self.done, self.total, unit, what=what, started=since, before=before)
