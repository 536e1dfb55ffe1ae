"""Whose turn it is to compute: one caller at a time, in the order in which they came.

A lock of Python's goes to whoever asks at the right moment; under load, some would wait many times as long as others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`with turns.take() as waited`: the caller's turn; waited: whether another had it. Within a turn, one has it already."""

    def __init__(self) -> None:
        self._guard, self._queue = threading.Lock(), deque()
        self._owner: int | None = None

    @contextmanager
    def take(self) -> Iterator[bool | None]:
        """Wait for the turn; None in place of `waited` where the caller's thread has it already."""
        me = threading.get_ident()
        if self._owner == me:
            yield None
            return
        called = threading.Event()
        with self._guard:
            waited = self._owner is not None
            if waited:
                self._queue.append((called, me))
            else:
                self._owner = me
        if waited:
            called.wait()
        try:
            yield waited
        finally:
            with self._guard:
                following, self._owner = self._queue.popleft() if self._queue else (None, None)
            if following is not None:
                following.set()
