"""Whose turn it is to compute: a few callers at a time, in the order in which they came, those with a lead a little sooner.

A lock of Python's goes to whoever asks at the right moment; under load, some would wait many times as long as others.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`with turns.take() as waited`: the caller's turn; waited: whether all were taken. Within a turn, one has it already.

    at_once: turns at a time. patience: seconds after which a turn no longer keeps others out; None: it does to its end.
    """

    def __init__(self, at_once: int = 1, patience: float | None = None) -> None:
        self.at_once, self.patience = at_once, patience
        self._guard, self._mine = threading.Lock(), threading.local()
        self._arrivals = itertools.count()
        self._queue: list[
            tuple[float, int, threading.Event]
        ] = []  # a heap: counts as come when, its number, its call
        self._taken: dict[int, float] = {}  # turns that count, and since when

    @contextmanager
    def take(self, lead: float = 0.0) -> Iterator[bool | None]:
        """Wait for the turn; None in place of `waited` where the caller's thread has it already.

        lead: seconds by which the caller counts as come sooner. It passes those without a lead who came less than that
        before it, so no one is kept waiting by more of them than come in that time.
        """
        if getattr(self._mine, "inside", False):
            yield None
            return
        called = threading.Event()
        with self._guard:
            turn = next(self._arrivals)
            entry = (time.monotonic() - lead, turn, called)
            heapq.heappush(self._queue, entry)
            self._admit()
            waited = not called.is_set()
        try:
            while not called.wait(self.patience):
                with self._guard:
                    self._admit()
            self._mine.inside = True
            yield waited
        finally:
            self._mine.inside = False
            with self._guard:
                self._taken.pop(turn, None)
                if not called.is_set():
                    self._queue.remove(entry)
                    heapq.heapify(self._queue)
                self._admit()

    def _admit(self) -> None:
        """Call those whose turn it is. The guard is held."""
        now = time.monotonic()
        if self.patience is not None:
            self._taken = {
                turn: since for turn, since in self._taken.items() if now - since < self.patience
            }
        while self._queue and len(self._taken) < self.at_once:
            _, turn, called = heapq.heappop(self._queue)
            self._taken[turn] = now
            called.set()

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for a turn."""
        return bool(self._queue)

    @property
    def crowded(self) -> bool:
        """Whether more than one caller has a turn or waits for one."""
        return len(self._taken) + len(self._queue) > 1


# Whole requests of an app, of which a prediction is a part. A third one at work would only hold up the other two.
REQUESTS = Turns(at_once=2, patience=2.0)
