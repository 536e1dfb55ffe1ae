"""A FIFO queue that limits concurrent computations.

A plain lock goes to whichever thread asks at the right moment; under load some callers would wait many times as long
as others.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class TurnQueue:
    """Callers compute in the order in which they arrived, at most `limit` of them at a time.

    Args:
        limit: callers that may compute at the same time.
        patience: seconds after which a caller no longer counts towards the limit; None: it counts until it is done.
    """

    def __init__(self, limit: int = 1, patience: float | None = None) -> None:
        self.limit, self.patience = limit, patience
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: deque[int] = deque()
        self._started: dict[int, float] = {}  # number of each active caller: when it started
        self._thread = threading.local()

    @contextmanager
    def take(self) -> Iterator[bool | None]:
        """Wait for the caller's turn.

        Yields whether the caller had to wait, or None where its thread has a turn already.
        """
        if getattr(self._thread, "active", False):
            yield None
            return
        with self._changed:
            number = next(self._numbers)
            self._waiting.append(number)
            waited = not self._may_start(number)
            try:
                while not self._may_start(number):
                    self._changed.wait(self.patience)
                self._started[number] = time.monotonic()
            finally:
                self._waiting.remove(number)
                self._changed.notify_all()
        self._thread.active = True
        try:
            yield waited
        finally:
            self._thread.active = False
            with self._changed:
                self._started.pop(number, None)
                self._changed.notify_all()

    def _may_start(self, number: int) -> bool:
        if self.patience is not None:
            oldest = time.monotonic() - self.patience
            self._started = {n: start for n, start in self._started.items() if start > oldest}
        return self._waiting[0] == number and len(self._started) < self.limit

    @property
    def waiting(self) -> int:
        """Number of callers that wait for their turn."""
        with self._changed:
            return len(self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether more than one caller computes or waits."""
        with self._changed:
            return len(self._started) + len(self._waiting) > 1


# Whole requests of the app, of which a prediction is a part. A third one would only slow down the other two.
REQUESTS = TurnQueue(limit=2, patience=2.0)
