"""Processes: whether one lives, and children that do not outlive their parent."""

from __future__ import annotations

import os
import threading
import time


def alive(pid: int | None) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid or 0, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid is not None


def end_with(parent: int) -> None:
    """End this process within a second of the death of `parent`, its parent, whatever ended that."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
