"""What several tests do: run a generator of events to its end, as a worker does; fill a disk."""

from pathlib import Path

import pytest


def finish(steps):
    """(events, value) of a generator that yields events and returns a value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value


def fill_up(filler: Path) -> None:
    """Write to `filler` until its disk takes no more."""
    with pytest.raises(OSError), open(filler, "wb", buffering=0) as handle:
        while True:
            handle.write(b"x" * 4096)
