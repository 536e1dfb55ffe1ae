"""What processes do in the tests of `ShardProcesses`; loads no PyTorch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from derm_core.errors import DataError


def note_start(folder: str) -> None:
    """Leave a file that is named by the process."""
    Path(folder, str(os.getpid())).touch()


def die(folder: str, report) -> None:
    note_start(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def fail(folder: str, report) -> None:
    note_start(folder)
    raise MemoryError("no memory left")


def refuse(folder: str, report) -> None:
    note_start(folder)
    raise DataError("The images are gone.")


def work_for_ever(folder: str, report) -> None:
    report(os.getpid())
    time.sleep(600)


def count_down(number: int, report) -> None:
    report(number)
