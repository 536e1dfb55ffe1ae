"""One run in one process: `python -m derm_core.jobs.worker RUN_ID` (workspace from DERM_HOME).

Takes the run's lock, waits for the run it needs and for its turn on the device, runs the job's
generator of events, and leaves a final state. torch is imported by the job, not while waiting.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from importlib import import_module

from ..config import from_dict
from ..errors import DermError, NotFound, RunError
from ..events import Event, EventLog
from ..files import FULL, REFUSED, keep_private, read_json, remove_unfinished, storage_sentence
from ..locks import hold
from ..processes import end_with, lower_priority
from ..workspace import RunFiles, Workspace
from .dependencies import waits_for
from .store import Run, RunStore
from .supervisor import OWN_RANKS, processes, reconcile

JOBS = {
    "pretrain": "derm_core.training.pretrain:pretrain",
    "study": "derm_core.study.protocol:study",
    "embed": "derm_core.insight.embed:embed",
    "evaluate": "derm_core.study.evaluate:evaluate_models",
    "publish": "derm_core.publish.job:publish_run",
}
CHECK_SECONDS = 0.5
PROGRESS_SECONDS = 1.0
RECONCILE_SECONDS = 5.0
NICE = 5
FOLDER_GONE = (
    "The run's folder was removed, and its settings with it; delete this run and start a new one."
)
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # as CUDA and torch's CPU allocator put it
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class Stopped(Exception):
    """The run is to stop now; `state` is what it becomes."""

    def __init__(self, state: str):
        super().__init__(state)
        self.state = state


class StopSignal:
    """Raises Stopped at the next check after SIGTERM, or after a request to cancel in the database."""

    def __init__(self, store: RunStore, run_id: str):
        self.store, self.run_id = store, run_id
        self.terminated = False
        self.checked = 0.0
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number, frame) -> None:
        self.terminated = True

    def check(self) -> None:
        if not self.terminated and time.monotonic() - self.checked < CHECK_SECONDS:
            return
        self.checked = time.monotonic()
        try:
            run = self.store.get(self.run_id)
        except NotFound:
            raise Stopped("cancelled") from None
        except (
            RunError
        ) as error:  # a database that is busy for a while must not cost hours of training
            say(str(error))
            return
        if run.cancel_requested or run.final:
            raise Stopped("cancelled")
        if self.terminated:
            raise Stopped("interrupted")


def say(message: str) -> None:
    """One line of the run's log.txt, which is this process's standard output; left unsaid where the disk is full."""
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}", flush=True)


def main(run_id: str, workspace: Workspace | None = None) -> int:
    """Do the run; returns the exit status: 0 for done, or where there was nothing to do, else 1."""
    workspace = workspace or Workspace.open()
    store, paths = RunStore(workspace), workspace.run(run_id)
    if store.get(run_id).state != "queued":
        return 0
    with hold(paths.create().lock, patience=5.0) as held:
        if not held:
            return 0
        store.claim(run_id, os.getpid())
        for folder in (paths.root, workspace.cache):
            remove_unfinished(folder)
        stop = StopSignal(store, run_id)
        outcome: dict = {"state": "done"}
        try:
            for needed in waits_for(workspace, store.get(run_id)):
                _wait_for_run(workspace, store, run_id, needed, stop)
            outcome["summary"] = _run_on_device(workspace, store, run_id, stop)
        except Stopped as stopped:
            outcome = {"state": stopped.state}
        except DermError as error:
            outcome = {"state": "failed", "error": str(error)}
        except Exception as error:
            with contextlib.suppress(OSError):
                traceback.print_exc()
            outcome = {"state": "failed", "error": _sentence(error, paths)}
        return _finish(store, paths, run_id, outcome)


def _sentence(error: Exception, paths: RunFiles) -> str:
    if isinstance(error, OSError) and error.errno in FULL + REFUSED:
        return storage_sentence(error, error.filename or "a file of this run")
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return "The machine ran out of memory; choose a smaller batch size or input size and start again."
    detail = next(iter(str(error).splitlines()), "no message")[:200]
    return f"An unexpected {type(error).__name__} ended the run ({detail}); the details are in {paths.log}."


def _finish(store: RunStore, paths: RunFiles, run_id: str, outcome: dict) -> int:
    state = outcome.pop("state")
    if outcome.get("error"):
        say(outcome["error"])
    say(f"{run_id} is {state}.")
    if not paths.config.exists():
        state, outcome = "failed", {"error": FOLDER_GONE}
    if state == "interrupted":
        outcome["error"] = (
            f"The worker was told to end; `runs resume {run_id}` goes on from its last checkpoint."
        )
    try:
        EventLog(paths.events).append(Event(kind="state", value=state))
    except OSError as error:  # the table is told all the same
        say(str(error))
    if not store.transition(
        run_id, ("queued", "running"), state, finished=time.time(), pid=None, **outcome
    ):
        say("Its state had been changed by someone else; it was left as it stands.")
    return 0 if state == "done" else 1


def _pauses(workspace: Workspace, stop: StopSignal) -> Iterator[None]:
    """Pauses of a waiting worker, up to half a second; it keeps the table true, so that no dead run blocks it."""
    repaired, pause = time.monotonic(), CHECK_SECONDS / 16
    while True:
        stop.check()
        yield
        if time.monotonic() - repaired > RECONCILE_SECONDS:
            reconcile(workspace)
            repaired = time.monotonic()
        time.sleep(pause)
        pause = min(2 * pause, CHECK_SECONDS)


def _wait_for_run(
    workspace: Workspace, store: RunStore, run_id: str, needed: str, stop: StopSignal
) -> None:
    said = False
    for _ in _pauses(workspace, stop):
        try:
            before = store.get(needed)
        except NotFound:
            raise RunError(
                f"{needed}, which this run needs, was deleted; start a new run instead."
            ) from None
        if before.state == "done":
            return
        if before.final:
            raise RunError(
                f"{needed}, which this run needs, is {before.state}"
                + (f" ({before.error.partition(';')[0].rstrip('.')})" if before.error else "")
                + f"; `runs resume {run_id}` resumes both."
            )
        if not said:
            say(f"Waiting for {needed}, which is {before.state}.")
            said = True


def _ahead(store: RunStore, me: Run) -> list[Run]:
    """Runs that stand before this one on its device: running, or queued earlier with all they need."""
    states = {run.id: run for run in store.list()}

    def ready(run: Run) -> bool:
        needed = states.get(run.depends_on) if run.depends_on else None
        return needed is None or needed.state == "done"

    return [
        run
        for run in states.values()
        if run.id != me.id
        and run.device == me.device
        and (run.state == "running" or (run.state == "queued" and run.seq < me.seq and ready(run)))
    ]


def _run_on_device(
    workspace: Workspace, store: RunStore, run_id: str, stop: StopSignal
) -> dict | None:
    """Wait for this run's turn, run the job, return its summary."""
    me, said = store.get(run_id), False
    locks = [
        workspace.device_lock(name)
        for name in device_names(me.device, _config(workspace.run(run_id)))
    ]
    for _ in _pauses(workspace, stop):
        ahead = _ahead(store, me)
        if not ahead:
            with ExitStack() as held:
                if all(held.enter_context(hold(lock)) for lock in locks):
                    if not store.transition(
                        run_id, "queued", "running", started=time.time(), pid=os.getpid()
                    ):
                        raise Stopped("cancelled")
                    return _run_job(workspace, store, run_id, stop)
        elif not said:
            say(
                f"Waiting for {me.device}; before this run: {', '.join(run.id for run in reversed(ahead))}."
            )
            said = True
    raise AssertionError("unreachable: the pauses do not end")


def device_names(first: str, config) -> list[str]:
    """Names of this machine's devices that a run uses, from its `first` on."""
    kind, _, number = first.partition("-")
    if kind != "cuda" or not number.isdigit():
        return [first]
    here = min(processes(config), int(os.environ.get("LOCAL_WORLD_SIZE", 64)))
    return [f"cuda-{int(number) + i}" for i in range(here)]


def _world(run_id: str, config) -> AbstractContextManager:
    """This process as rank 0 of those that share the training; torch is loaded where there are several."""
    size = processes(config)
    if size == 1:
        return nullcontext()
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # our sentence on a lost connection is enough
    say(f"{size} processes will share the training; waiting for the others to start.")
    group = import_module("derm_core.training.process_group")
    return group.join(group.announce(run_id), config.device)


def follow_runs(workspace: Workspace | None = None) -> int:
    """In the ranks of torchrun other than 0: run what rank 0's worker announces, and write nothing."""
    end_with(os.getppid())
    lower_priority(NICE)
    workspace = workspace or Workspace.open()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    group = import_module("derm_core.training.process_group")
    for number, run_id in group.announced_runs():
        for signal_number in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides
            signal.signal(signal_number, signal.SIG_IGN)
        paths = workspace.run(run_id)
        config = _config(paths)
        job = _job(config.kind)(config, workspace, paths)
        with group.join(number, config.device), closing(job) as events:
            for _ in events:
                pass
    return 0


def _run_job(workspace: Workspace, store: RunStore, run_id: str, stop: StopSignal) -> dict | None:
    paths = workspace.run(run_id)
    run, config = store.get(run_id), _config(paths)
    lower_priority(NICE)  # pages stay usable while it trains
    say(f"{run_id} starts in process {os.getpid()}.")
    journal = EventLog(paths.events)
    journal.append(Event(kind="state", value="running"))
    summary, shown = None, 0.0
    with _world(run_id, config), closing(_job(run.kind)(config, workspace, paths)) as events:
        for event in events:
            if event.kind == "tick":
                stop.check()
                continue
            journal.append(event)
            if event.kind == "progress" and time.monotonic() - shown >= PROGRESS_SECONDS:
                _show_progress(store, run_id, event.value)
                shown = time.monotonic()
            elif event.kind == "log":
                say(str(event.value))
            elif event.kind == "result":
                summary = event.value
    return summary


def _config(paths: RunFiles):
    try:
        return from_dict(read_json(paths.config))
    except FileNotFoundError:
        raise RunError(FOLDER_GONE) from None
    except ValueError as error:
        raise RunError(
            f"{paths.config} cannot be read ({error}); start a new run instead."
        ) from error


def _show_progress(store: RunStore, run_id: str, value: dict) -> None:
    try:
        store.set_progress(run_id, value)
    except RunError as error:
        say(str(error))


def _job(kind: str) -> Callable[..., Iterator[Event]]:
    module, function = JOBS[kind].split(":")
    return getattr(import_module(module), function)


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
