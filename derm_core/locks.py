"""Locks on files (`flock`): held by one process at a time, freed by the kernel when it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError
from .files import storage_errors

RETRY_SECONDS = 0.02
_held: set[int] = set()


@contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Try to hold the lock at `path`.

    A forked child closes its copy at once: a lock must not outlive the process that took it because
    a child does.

    Args:
        path: the lock's file, made where it is missing; its folder must exist.
        patience: seconds to keep trying, math.inf to wait for as long as it takes. `is_held` takes
            the lock for an instant, so that a process which needs it should allow a second.

    Yields:
        Whether this process holds the lock.
    """
    descriptor = _acquire(path, patience)
    if descriptor is None:
        yield False
        return
    _held.add(descriptor)
    try:
        yield True
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock at `path`."""
    if not path.exists():
        return False
    try:
        descriptor = _acquire(path, 0.0)
    except StorageError:  # of another user, or in a workspace that is read-only: not ours to take
        return True
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _acquire(path: Path, patience: float) -> int | None:
    deadline = time.monotonic() + patience
    with storage_errors(path):
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(RETRY_SECONDS)


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
