"""Processes: whether one lives, children that end with their parent, and how they share the cores."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
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


def lower_priority(by: int) -> None:
    """Leave the cores to processes that people wait for: raise this process's nice value, and its session's.

    Where Linux groups processes by session (sched_autogroup) it weighs the groups against each
    other first, by a nice value of theirs; that of a process in a session of its own would change
    nothing.
    """
    value = os.nice(by)
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(value))


def cores_are_busy() -> bool:
    """Whether threads other than the caller's are running on this machine; False where that cannot be read."""
    try:
        return int(LOAD.read_text().split()[3].partition("/")[0]) > 1
    except (OSError, ValueError, IndexError):
        return False


def start_module(module: str, *arguments: str) -> subprocess.Popen[str]:
    """A fresh interpreter that runs a module of this package, with pipes of text to and from it."""
    search = filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
    )


def begin_pool_worker(parent: int) -> None:
    """In a process of a ProcessPoolExecutor: it ends with its parent, which alone hears Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)  # a pool alone would not notice its parent's death


def end_with(parent: int) -> None:
    """End this process within a second of the death of its parent, however that died."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
