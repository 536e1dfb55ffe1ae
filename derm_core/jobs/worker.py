"""One run in one process: `python -m derm_core.jobs.worker RUN_ID` (workspace from DERM_HOME).

Takes the run's lock, waits for the runs that it needs and for its turn on the device, runs the
job's generator of events, and sets a final state. torch is loaded by the job, not while waiting.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..config import RunConfig, from_dict
from ..errors import DermError, RunError
from ..events import Event, EventLog
from ..files import FULL, REFUSED, keep_private, read_json, remove_unfinished, storage_sentence
from ..formatting import size
from ..locks import hold
from ..processes import end_with, lower_priority
from ..space import cache_limit, clean_features
from ..workspace import RunFiles, Workspace
from .dependencies import waits_for
from .spawning import OWN_RANKS, devices_here, processes
from .store import RunStore
from .turns import Stopped, StopSignal, device_turn, print_line, wait_for_run

Job = Callable[[Any, Workspace, RunFiles], Generator[Event, None, Any]]
JOBS = {
    "pretrain": "derm_core.training.pretrain:pretrain",
    "study": "derm_core.study.protocol:study",
    "embed": "derm_core.insight.map_run:draw_map",
    "evaluate": "derm_core.study.evaluate:evaluate_models",
    "publish": "derm_core.publish.job:publish_run",
}
PROGRESS_SECONDS = 1.0
NICE = 5
FOLDER_GONE = (
    "The run's folder was removed, and its settings with it; delete this run and start a new one."
)
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # the words of CUDA and of torch's CPU allocator
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its final state, with a summary or an error."""

    state: str
    summary: dict[str, Any] | None = None
    error: str | None = None


def main(run_id: str, workspace: Workspace | None = None) -> int:
    """Do the run; returns the exit status: 0 for done, or where there was nothing to do, else 1."""
    workspace = workspace or Workspace.open()
    store, files = RunStore(workspace), workspace.run(run_id)
    if store.get(run_id).state != "queued":
        return 0
    with hold(files.create().lock, patience=5.0) as held:
        if not held:
            return 0
        store.claim(run_id, os.getpid())
        for folder in (files.root, workspace.cache):
            remove_unfinished(folder)
        outcome = _outcome(workspace, run_id, StopSignal(store, run_id))
        return _finish(store, files, outcome)


def _outcome(workspace: Workspace, run_id: str, stop: StopSignal) -> Outcome:
    """Wait for what the run needs and do its job."""
    store, files = RunStore(workspace), workspace.run(run_id)
    try:
        for needed in waits_for(workspace, store.get(run_id)):
            wait_for_run(workspace, run_id, needed, stop)
        devices = device_names(store.get(run_id).device, _config(files))
        with device_turn(workspace, run_id, devices, stop):
            return Outcome("done", summary=_run_job(workspace, run_id, stop))
    except Stopped as stopped:
        return Outcome(stopped.state)
    except DermError as error:
        return Outcome("failed", error=str(error))
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return Outcome("failed", error=failure_sentence(error, files))


def failure_sentence(error: Exception, files: RunFiles) -> str:
    """One sentence on an error that the job did not expect."""
    if isinstance(error, OSError) and error.errno in FULL + REFUSED:
        return storage_sentence(error, error.filename or "a file of this run")
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return "The machine ran out of memory; choose a smaller batch size or input size and start again."
    detail = next(iter(str(error).splitlines()), "no message")[:200]
    return f"An unexpected {type(error).__name__} ended the run ({detail}); the details are in {files.log}."


def _finish(store: RunStore, files: RunFiles, outcome: Outcome) -> int:
    """Write the final state to log, events and table; returns the exit status."""
    if outcome.error:
        print_line(outcome.error)
    print_line(f"{files.id} is {outcome.state}.")
    if not files.config.exists():
        outcome = Outcome("failed", error=FOLDER_GONE)
    if outcome.state == "interrupted":
        how = f"`runs resume {files.id}` goes on from its last checkpoint"
        outcome = Outcome("interrupted", error=f"The worker was stopped; {how}.")
    try:
        EventLog(files.events).append(Event(kind="state", value=outcome.state))
    except OSError as error:  # the table gets the state all the same
        print_line(str(error))
    fields = {"summary": outcome.summary, "error": outcome.error, "pid": None}
    if not store.transition(
        files.id, ("queued", "running"), outcome.state, finished=time.time(), **fields
    ):
        print_line("Another process had changed its state, which stays as it is.")
    return 0 if outcome.state == "done" else 1


def device_names(first: str, config: RunConfig) -> list[str]:
    """Names of this machine's devices that a run uses, from its `first` on."""
    kind, _, number = first.partition("-")
    if kind != "cuda" or not number.isdigit():
        return [first]
    return [f"cuda-{int(number) + i}" for i in range(devices_here(config))]


def _world(run_id: str, config: RunConfig) -> AbstractContextManager[Any]:
    """This process as rank 0 of those that share the run; torch is loaded where there are several."""
    size = processes(config)
    if size == 1:
        return nullcontext()
    # Our sentence on a lost connection is enough.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    print_line(f"{size} processes will share the run; waiting for the others to start.")
    group = import_module("derm_core.training.process_group")
    number, device = group.announce(run_id), getattr(config, "device", "auto")
    world: AbstractContextManager[Any] = group.join(number, device)
    return world


def follow_runs() -> int:
    """In the ranks of torchrun other than 0: run what rank 0's worker announces, and write nothing."""
    end_with(os.getppid())
    lower_priority(NICE)
    workspace = Workspace.open()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    group = import_module("derm_core.training.process_group")
    for number, run_id in group.announced_runs():
        for signal_number in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides
            signal.signal(signal_number, signal.SIG_IGN)
        files = workspace.run(run_id)
        config = _config(files)
        device = getattr(config, "device", "auto")
        job = load_job(config.kind)(config, workspace, files)
        with group.join(number, device), closing(job) as events:
            for _ in events:
                pass
    return 0


def _run_job(workspace: Workspace, run_id: str, stop: StopSignal) -> dict[str, Any] | None:
    """Run the job, write its events, and return its summary."""
    store, files = RunStore(workspace), workspace.run(run_id)
    config = _config(files)
    lower_priority(NICE)  # pages stay usable while it trains
    print_line(f"{run_id} starts in process {os.getpid()}.")
    if freed := clean_features(workspace, cache_limit()):
        print_line(
            f"{size(freed)} of cached features were removed, those not used for the longest: the limit is "
            f"{size(cache_limit())} (DERM_CACHE_GB)."
        )
    journal = EventLog(files.events)
    journal.append(Event(kind="state", value="running"))
    summary, reported = None, 0.0
    job = load_job(config.kind)(config, workspace, files)
    with _world(run_id, config), closing(job) as events:
        for event in events:
            if event.kind == "tick":
                stop.check()
                continue
            journal.append(event)
            if event.kind == "progress" and time.monotonic() - reported >= PROGRESS_SECONDS:
                try:
                    store.set_progress(run_id, event.value)
                except RunError as error:
                    print_line(str(error))
                reported = time.monotonic()
            elif event.kind == "log":
                print_line(str(event.value))
            elif event.kind == "result":
                summary = event.value
    return summary


def _config(files: RunFiles) -> RunConfig:
    try:
        return from_dict(read_json(files.config))
    except FileNotFoundError:
        raise RunError(FOLDER_GONE) from None
    except ValueError as error:
        raise RunError(
            f"{files.config} cannot be read ({error}); start a new run instead."
        ) from error


def load_job(kind: str) -> Job:
    """The function that does the runs of a kind, from its module."""
    module, function = JOBS[kind].split(":")
    job: Job = getattr(import_module(module), function)
    return job


def run_rank(run_id: str) -> int:
    """One of the processes that `spawn` started for a run whose training is shared."""
    if int(os.environ["RANK"]) > 0:
        return follow_runs()
    end_with(os.getppid())
    try:
        return main(run_id)
    finally:
        import_module("derm_core.training.process_group").announce_end()


if __name__ == "__main__":
    keep_private()
    if len(sys.argv) != 2:
        sys.exit("usage: python -m derm_core.jobs.worker RUN_ID")
    try:
        sys.exit(run_rank(sys.argv[1]) if OWN_RANKS in os.environ else main(sys.argv[1]))
    except DermError as problem:
        sys.exit(str(problem))
