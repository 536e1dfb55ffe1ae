"""Long work that does not yield, done on a thread while its generator of events goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from .events import TICK, Event, counted

POLL_SECONDS = 0.2
SAY_SECONDS = 1.0
PATIENCE_SECONDS = 5.0

Value = TypeVar("Value")
Report = Callable[
    [int, int], None
]  # (done, total); raises Left once nobody waits for the work any more


class Left(Exception):
    """Raised in the work, by its report, when the generator was closed: the run is cancelled."""


def aside(
    work: Callable[[Report], Value], what: str, unit: str = "images"
) -> Generator[Event, None, Value]:
    """`value = yield from aside(lambda report: build(progress=report), "Decoding images")`.

    Yields a TICK every moment, where the run may be stopped, and each second progress with rate and
    time left, once the work has reported any; before that the seconds it has taken. When the generator is
    closed the work ends at its next report, for which PATIENCE_SECONDS are waited. Raises what the work raises.
    """
    thread = _Thread(work, counted(what, unit))
    started = said = time.monotonic()
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                yield thread.last or Event(
                    kind="progress",
                    series=what,
                    value={
                        "what": what,
                        "done": 0,
                        "total": 0,
                        "unit": unit,
                        "rate": None,
                        "eta_seconds": None,
                        "elapsed_seconds": said - started,
                    },
                )
            yield TICK
    finally:
        thread.left = True
        thread.join(PATIENCE_SECONDS)
    if thread.error is not None:
        raise thread.error
    if thread.last is not None:
        yield thread.last
    return thread.value


class _Thread(threading.Thread):
    """The work, its last report as an event, and what came of it."""

    def __init__(self, work: Callable[[Report], Value], count: Callable[[int, int], Event]):
        super().__init__(daemon=True)
        self.work, self.count, self.left = work, count, False
        self.last: Event | None = None
        self.value, self.error = None, None

    def run(self) -> None:
        try:
            self.value = self.work(self.report)
        except BaseException as error:
            self.error = error

    def report(self, done: int, total: int) -> None:
        if self.left:
            raise Left
        self.last = self.count(done, total)
