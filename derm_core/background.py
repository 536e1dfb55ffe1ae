"""Long work that yields no events, done on a thread while its caller goes on yielding them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from .events import TICK, Event, Progress, counted

POLL_SECONDS = 0.2
PROGRESS_SECONDS = 1.0
PATIENCE_SECONDS = 5.0

Value = TypeVar("Value")
Report = Callable[[int, int], None]  # (done, total); raises Cancelled once the run is stopped


class Cancelled(Exception):
    """Raised in the work, by its report, after its generator was closed: the run is cancelled."""


def in_background(
    work: Callable[[Report], Value], what: str, unit: str = "images"
) -> Generator[Event, None, Value]:
    """Do long work on a thread; for generators of events that long work would hold up.

        images = yield from in_background(lambda report: decode(progress=report), "Decoding images")

    When the generator is closed the work ends at its next report, for which PATIENCE_SECONDS are
    waited. Raises what the work raises.

    Args:
        work: called on a thread, with a function to report its progress to.
        what: the work, for its progress.
        unit: what its progress counts.

    Yields:
        A TICK every POLL_SECONDS, where the run may be stopped, and every second progress: the last
        that the work reported, or how long it has taken before it reported any.

    Returns:
        What the work returns.
    """
    with Background(work, what, unit) as background:
        return (yield from background.wait())


class Background(Generic[Value]):
    """Work that goes on on a thread while its caller does something else; see `in_background`.

        with Background(work, "UMAP", "epochs") as background:
            for event in other_work:
                yield background.progress if background.running else event
            value = yield from background.wait()

    On leaving, the work ends at its next report.
    """

    def __init__(self, work: Callable[[Report], Value], what: str, unit: str = "images"):
        self._thread = _Thread(work, counted(what, unit))
        self._what, self._unit, self._started = what, unit, time.monotonic()
        self._thread.start()

    def __enter__(self) -> Background[Value]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.cancelled = True
        self._thread.join(PATIENCE_SECONDS)

    @property
    def running(self) -> bool:
        """Whether the work goes on. Raises what it raised."""
        if self._thread.error is not None:
            raise self._thread.error
        return self._thread.is_alive()

    @property
    def progress(self) -> Event:
        """The last that the work reported, or how long it has taken before it reported any."""
        elapsed = time.monotonic() - self._started
        return self._thread.last or _elapsed(self._what, self._unit, elapsed)

    def wait(self) -> Generator[Event, None, Value]:
        """Events until the work is done; returns what it returned. Raises what it raised."""
        reported = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(POLL_SECONDS)
            now = time.monotonic()
            if now - reported >= PROGRESS_SECONDS:
                reported = now
                yield self.progress
            yield TICK
        if self._thread.last is not None and self._thread.error is None:
            yield self._thread.last
        return self._thread.result()


def _elapsed(what: str, unit: str, seconds: float) -> Event:
    value = Progress(what=what, done=0, total=0, unit=unit, elapsed_seconds=seconds)
    return Event(kind="progress", series=what, value=value)


class _Thread(threading.Thread, Generic[Value]):
    """The work, its last report as an event, and its value or error."""

    def __init__(self, work: Callable[[Report], Value], count: Callable[[int, int], Event]):
        super().__init__(daemon=True)
        self.work, self.count, self.cancelled = work, count, False
        self.last: Event | None = None
        self.values: list[Value] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.values.append(self.work(self.report))
        except BaseException as error:
            self.error = error

    def report(self, done: int, total: int) -> None:
        if self.cancelled:
            raise Cancelled
        self.last = self.count(done, total)

    def result(self) -> Value:
        if self.error is not None:
            raise self.error
        return self.values[0]
