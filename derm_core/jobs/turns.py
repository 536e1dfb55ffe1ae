"""What a worker waits for: the runs that its run needs, and its turn on the device."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import FrameType

from ..errors import NotFound, RunError
from ..locks import hold
from ..workspace import Workspace
from .store import Run, RunStore
from .supervisor import reconcile

CHECK_SECONDS = 0.5
RECONCILE_SECONDS = 5.0
OTHER_RUN_SECONDS = 2.0  # which a run that has just ended may still hold its device


class Stopped(Exception):
    """The run is to stop now; `state` is what it becomes."""

    def __init__(self, state: str):
        super().__init__(state)
        self.state = state


class StopSignal:
    """Whether the run is to stop: after SIGTERM, or a request to cancel in the database."""

    def __init__(self, store: RunStore, run_id: str):
        self.store, self.run_id = store, run_id
        self.terminated = False
        self.checked_at = 0.0
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True

    def check(self) -> None:
        """Raise Stopped if the run is to stop; the database is read every CHECK_SECONDS."""
        if not self.terminated and time.monotonic() - self.checked_at < CHECK_SECONDS:
            return
        self.checked_at = time.monotonic()
        try:
            run = self.store.get(self.run_id)
        except NotFound:
            raise Stopped("cancelled") from None
        except RunError as error:  # a busy database must not cost hours of training
            print_line(str(error))
            return
        if run.cancel_requested or run.final:
            raise Stopped("cancelled")
        if self.terminated:
            raise Stopped("interrupted")


def print_line(message: str) -> None:
    """One line of the run's log.txt, which is the worker's standard output; dropped where the disk is full."""
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}", flush=True)


def _pauses(workspace: Workspace, stop: StopSignal) -> Iterator[None]:
    """Pauses of up to half a second, in which the table is repaired so that no dead run is waited for."""
    repaired, pause = time.monotonic(), CHECK_SECONDS / 16
    while True:
        stop.check()
        yield
        if time.monotonic() - repaired > RECONCILE_SECONDS:
            reconcile(workspace)
            repaired = time.monotonic()
        time.sleep(pause)
        pause = min(2 * pause, CHECK_SECONDS)


def wait_for_run(workspace: Workspace, run_id: str, needed: str, stop: StopSignal) -> None:
    """Wait until the run `needed` is done.

    Raises:
        RunError: it was deleted, or did not finish.
        Stopped: this run is to stop.
    """
    store, announced = RunStore(workspace), False
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
            reason = before.error.partition(";")[0].rstrip(".") if before.error else ""
            raise RunError(
                f"{needed}, which this run needs, is {before.state}{f' ({reason})' if reason else ''}; "
                f"`runs resume {run_id}` resumes both."
            )
        if not announced:
            print_line(f"Waiting for {needed}, which is {before.state}.")
            announced = True


def _runs_ahead(store: RunStore, me: Run) -> list[Run]:
    """Runs before this one on its device: running, or queued earlier with all they need; newest first."""

    def ready(run: Run) -> bool:
        with contextlib.suppress(NotFound):
            return run.depends_on is None or store.get(run.depends_on).state == "done"
        return True

    return [
        run
        for run in store.active()
        if run.id != me.id
        and run.device == me.device
        and (run.state == "running" or (run.state == "queued" and run.seq < me.seq and ready(run)))
    ]


@contextlib.contextmanager
def device_turn(
    workspace: Workspace, run_id: str, devices: Sequence[str], stop: StopSignal
) -> Iterator[None]:
    """Wait for this run's turn on its devices, mark it as running, and hold their locks.

    Runs of one workspace take turns in the order in which they were queued. The users of a shared
    server have the same locks: between them the first that asks after a run has ended is next.

    Raises:
        Stopped: this run is to stop.
    """
    store, announced, refused = RunStore(workspace), set[str](), None
    me = store.get(run_id)

    def announce(kind: str, reason: str) -> None:
        if kind not in announced:
            announced.add(kind)
            print_line(f"Waiting for {me.device}; {reason}.")

    for _ in _pauses(workspace, stop):
        if ahead := _runs_ahead(store, me):
            before = ", ".join(run.id for run in reversed(ahead))
            announce("own", f"before this run: {before}")
            continue
        with ExitStack() as locks:
            if not all(
                locks.enter_context(hold(workspace.device_lock(device))) for device in devices
            ):
                refused = refused or time.monotonic()
                if time.monotonic() - refused > OTHER_RUN_SECONDS:
                    whose = "another user's" if workspace.shared_root else "another"
                    announce("other", f"{whose} run uses it")
                continue
            if not store.transition(
                run_id, "queued", "running", started=time.time(), pid=os.getpid()
            ):
                raise Stopped("cancelled")
            yield
            return
