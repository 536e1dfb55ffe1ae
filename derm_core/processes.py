"""Processes: whether one lives, children that do not outlive their parent, and how they share the cores."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

AUTOGROUP, LOAD = Path("/proc/self/autogroup"), Path("/proc/loadavg")


def alive(pid: int | None) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid or 0, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid is not None


def step_back(by: int) -> None:
    """Leave the cores to processes that people wait for: this process's nice value rises by `by`, and that of its session.

    Where Linux groups processes by session (sched_autogroup), it weighs the groups against each other first, by a value of
    theirs: the nice value of a process that leads a session of its own would change nothing.
    """
    value = os.nice(by)
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(value))


def cores_are_busy() -> bool:
    """Whether more threads than the caller's want to run on this machine just now; False where that cannot be read."""
    try:
        return int(LOAD.read_text().split()[3].partition("/")[0]) > 1
    except (OSError, ValueError, IndexError):
        return False


def end_with(parent: int) -> None:
    """End this process within a second of the death of `parent`, its parent, whatever ended that."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
