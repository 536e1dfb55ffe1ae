"""`flock` on a file: held by one process at a time, freed by the kernel when that process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError
from .files import writing

_held: set[int] = set()


@contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """True while this process holds the lock at `path`, False where another does.

    patience: seconds to keep trying. A look from `is_held` takes the lock for an instant, so that a
    process which means to keep it should allow a second. Forked children give their copy back at
    once: a lock must not outlive its worker because one of them does.
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
    except StorageError:  # someone else's, or a read-only workspace: left as it stands
        return True
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _acquire(path: Path, patience: float) -> int | None:
    deadline = time.monotonic() + patience
    with writing(path):
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)


def _give_back_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_give_back_in_child)
