"""Whether `torch.compile` pays for a run: tried in a process of its own, for a bounded time.

Compiling takes minutes on a few cores and cannot be interrupted, so the trial runs beside, is ended
when its time is up, and leaves what it compiled in torch's cache on disk for the run itself.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import multiprocessing
import os
import pickle
import shutil
import signal
import sysconfig
import time
from collections.abc import Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..events import TICK, Event

if TYPE_CHECKING:
    from .precision import Precision
    from .tasks import Batch, Task

BUDGET_SECONDS = 120.0  # of the trial, starting its process and compiling included
WORTH = 20  # a training must be expected to last this many budgets
GAIN = 0.95  # compiled steps must take at most this share of eager ones
WAIT_SECONDS, END_SECONDS = 0.25, 5.0


def compiler_missing(device: str | torch.device) -> str | None:
    """Why nothing can be compiled here, or None. On a GPU too, kernels are bound by a C compiler."""
    kinds = (
        ("CC", "gcc", "clang", "cc")
        if torch.device(device).type == "cuda"
        else ("CXX", "g++", "clang++", "c++")
    )
    if not any(shutil.which(name) for name in (os.environ.get(kinds[0], ""), *kinds[1:]) if name):
        return "no C compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's header files are not installed"
    return None


def with_compilation(
    task: Task,
    batch: Batch,
    device: str,
    precision: Precision,
    images: int,
    budget: float = BUDGET_SECONDS,
) -> Generator[Event, None, Precision]:
    """`precision`, compiled where trial steps on `batch` show that to be faster; the reason says why, or why not.

    images: how many the whole training will see; a short one is not worth compiling. Yields ticks
    while it waits; the trial ends with the generator.
    """
    from .precision import trial

    eager = trial(copy.deepcopy(task), batch, device, precision)
    expected = eager * images / len(batch)
    missing = compiler_missing(device)
    if expected < WORTH * budget:
        return _because(
            precision,
            f"not compiled: about {expected / 60:.0f} min of training are too few to gain from it",
        )
    if missing:
        return _because(precision, f"not compiled: {missing}")
    found = yield from _measured_apart(
        task, batch, device, dataclasses.replace(precision, compiled=True), budget
    )
    if isinstance(found, str):
        return _because(precision, f"not compiled: {found}")
    times = f"{1000 * found:.0f} ms a step compiled, {1000 * eager:.0f} ms not"
    if found > GAIN * eager:
        return _because(precision, f"not compiled: {times}")
    return _because(dataclasses.replace(precision, compiled=True), times)


def _because(precision: Precision, why: str) -> Precision:
    return dataclasses.replace(precision, reason=f"{precision.reason}; {why}")


def _measured_apart(
    task: Task, batch: Batch, device: str, precision: Precision, budget: float
) -> Generator[Event, None, float | str]:
    """Seconds of a compiled step, measured in another process; or a few words on why there are none."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_trial_process,
        args=(theirs, pickle.dumps((task, batch, precision)), device),
        daemon=False,
    )
    deadline = time.monotonic() + budget
    process.start()
    theirs.close()
    try:
        while not ours.poll(WAIT_SECONDS):
            if time.monotonic() > deadline:
                return f"it took longer than {budget:.0f} s"
            yield TICK
        found = ours.recv()
        process.join(END_SECONDS)  # a tidy end, where it comes soon
        return found
    except EOFError:
        return "the trial ended without a result"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the compilers it has started
        process.kill()
        process.join()
        ours.close()


def _trial_process(pipe: Connection, given: bytes, device: str) -> None:
    os.setsid()
    from .precision import trial

    try:
        task, batch, precision = pickle.loads(given)  # from the process that started this one
        pipe.send(trial(task, batch, device, precision))
    except Exception as error:  # whatever the compiler could not do, the run does without
        pipe.send(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:120]}")
