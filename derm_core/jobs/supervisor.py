"""Starts, stops and repairs runs. No daemon: every page load and every command may call `reconcile`."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ..config import to_dict
from ..errors import NotFound, RunError
from ..events import read_events_from
from ..files import disk_bytes, storage_errors
from ..locks import hold, is_held
from ..processes import alive
from ..workspace import REPOSITORY, Workspace, weights_folder
from .dependencies import (
    dependents,
    fold_studies,
    matching_pretraining,
    matching_run,
    needs_vae,
    references,
    require_pretraining,
    waits_for,
)
from .store import Run, RunStore

SPAWN_GRACE_SECONDS = 20.0  # between a claim to start a worker and its process id
START_SECONDS = 600.0  # a worker that lives may take this long to reach its lock on a busy machine
MAX_SPAWNS = 3
TERM_AFTER_SECONDS = 5.0
KILL_AFTER_SECONDS = 8.0
_children: dict[int, subprocess.Popen] = {}
_terminated: dict[
    str, tuple[int, float]
] = {}  # run: process that got SIGTERM from here, and when (monotonic)


def submit(workspace: Workspace, config: Any, name: str = "") -> str:
    """Queue a run and start its worker; returns its id.

    A study whose VAE is to be made first (`pretrain` set, `vae_run` not, an arm that needs it) takes
    an identical pretraining that is finished, under way or queued, else queues one before itself. A
    comparison in folds queues the studies of its folds before itself; those found again go on where they stopped.
    """
    store = RunStore(workspace)
    depends_on = None
    if getattr(config, "all_folds", False):
        studies = tuple(go_on(workspace, one) for one in fold_studies(config))
        config, depends_on = dataclasses.replace(config, fold_runs=studies), studies[-1]
        if found := matching_run(workspace, config):
            return _awake(workspace, found)
    elif needs_vae(config):
        depends_on = (
            config.vae_run
            or matching_pretraining(workspace, config)
            or (go_on if config.pretrain.folds else submit)(workspace, config.pretrain)
        )
        require_pretraining(store, depends_on, finished=False)
        config = dataclasses.replace(config, vae_run=depends_on)
    for reference in references(config) - {depends_on}:
        require_pretraining(store, reference, finished=True)
    run_id = store.create(config.kind, to_dict(config), name, depends_on)
    spawn(workspace, run_id)
    return run_id


def go_on(workspace: Workspace, config: Any) -> str:
    """The id of the run of this config: a finished one, one under way, one that is resumed now, else a new one."""
    found = matching_run(workspace, config)
    return _awake(workspace, found) if found else submit(workspace, config)


def _awake(workspace: Workspace, run: Run) -> str:
    if run.final and run.state != "done":
        resume(workspace, run.id)
    return run.id


def worker_command(run_id: str) -> list[str]:
    """How a worker is started; its only argument is the id."""
    return [sys.executable, "-m", "derm_core.jobs.worker", run_id]


def spawn(workspace: Workspace, run_id: str, seen: Run | None = None) -> bool:
    """Start a detached worker for a queued run; False where another caller has just done so.

    seen: the run as it was read when a worker was found to be missing; who has started one since is not outdone.
    """
    _reap()
    store = RunStore(workspace)
    if not store.claim_spawn(seen or store.get(run_id)):
        return False
    paths = workspace.run(run_id).create()
    search = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "DERM_HOME": str(workspace.root),
        "DERM_WEIGHTS": str(weights_folder().resolve()),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "PYTHONUNBUFFERED": "1",
    }
    with storage_errors(paths.log):
        log = os.open(paths.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            worker_command(run_id),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(
            f"The worker of {run_id} could not be started ({error.strerror}); "
            f"free some memory, then `runs resume {run_id}`."
        ) from error
    finally:
        os.close(log)
    _children[child.pid] = child
    store.note_spawned(run_id, child.pid)
    return True


def _reap() -> None:
    """Collect workers of this process that have ended, so that none stays as a zombie."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def wait_for_workers() -> None:
    """Wait until every worker that this process started has ended."""
    for child in list(_children.values()):
        child.wait()


def reconcile(workspace: Workspace) -> None:
    """Make the table true: dead workers' runs become interrupted, queued runs get a worker, cancels escalate."""
    _reap()
    store = RunStore(workspace)
    for run in store.list():
        if run.final:
            continue
        held = is_held(workspace.run(run.id).lock)
        if run.state == "running":
            _stop_harder(run) if held else _settle(store, run)
        elif run.cancel_requested:
            store.transition(run.id, "queued", "cancelled", finished=time.time())
        elif not held:
            _revive(workspace, store, run)


def _settle(store: RunStore, run: Run) -> None:
    # Read again: the worker may have finished between the listing and the look at its lock.
    now = store.get(run.id)
    if now.state != "running" or now.pid != run.pid:
        return
    if run.cancel_requested:
        store.transition(run.id, "running", "cancelled", finished=time.time(), pid=None)
    else:
        store.transition(
            run.id,
            "running",
            "interrupted",
            finished=time.time(),
            pid=None,
            error=f"The worker ended without a word; `runs resume {run.id}` goes on from its last checkpoint.",
        )


def _revive(workspace: Workspace, store: RunStore, run: Run) -> None:
    if run.spawned is not None and run.spawns > 0:  # started, and not yet in possession of its lock
        patience = START_SECONDS if alive(run.pid) else 0.0 if run.pid else SPAWN_GRACE_SECONDS
        waited = time.time() - run.spawned
        if waited < patience and (waited >= 0 or alive(run.pid)):  # below 0: the clock was set back
            return
    if run.spawns >= MAX_SPAWNS:
        store.transition(
            run.id,
            "queued",
            "failed",
            finished=time.time(),
            error=(
                f"Its worker did not start in {run.spawns} tries; see {workspace.run(run.id).log}, "
                f"then `runs resume {run.id}`."
            ),
        )
        return
    spawn(workspace, run.id, run)


def _stop_harder(run: Run) -> None:
    """SIGTERM, later SIGKILL, to the process group of a worker that was asked to stop and has not."""
    if run.cancel_time is None or run.pid is None:
        return
    if (
        abs(time.time() - run.cancel_time) < TERM_AFTER_SECONDS
    ):  # a clock that was set back must not keep it alive
        return
    pid, told = _terminated.get(run.id, (None, 0.0))
    if pid != run.pid:  # whatever the clock says, it first gets the time to save its work
        number = signal.SIGTERM
        _terminated[run.id] = (run.pid, time.monotonic())
    elif time.monotonic() - told < KILL_AFTER_SECONDS - TERM_AFTER_SECONDS:
        return
    else:
        number = signal.SIGKILL
    try:
        os.killpg(run.pid, number)
    except ProcessLookupError:
        try:
            os.kill(run.pid, number)
        except ProcessLookupError:
            pass


def cancel(workspace: Workspace, run_id: str, wait: float = 0.0) -> Run:
    """Ask a run to stop and wait up to `wait` seconds for it, harder each time; returns the run as it stands.

    A queued run is cancelled at once, and with it what it waits for, unless another run waits for that
    too. Raises RunError for a run that has already ended.
    """
    store = RunStore(workspace)
    if not _ask_to_stop(workspace, store, run_id):
        raise RunError(f"{run_id} is {store.get(run_id).state}; there is nothing to cancel.")
    deadline = time.monotonic() + wait
    while not (run := store.get(run_id)).final and time.monotonic() < deadline:
        time.sleep(0.1)
        reconcile(workspace)
    return run


def _ask_to_stop(workspace: Workspace, store: RunStore, run_id: str) -> bool:
    """Raise the flag of a run and of the runs that it alone waits for; queued ones end here. False if it has ended."""
    if not store.request_cancel(run_id):
        return False
    store.transition(run_id, "queued", "cancelled", finished=time.time())
    others = [other for other in store.list() if not other.final and other.id != run_id]
    for before in waits_for(workspace, store.get(run_id)):
        if not any(before in waits_for(workspace, other) for other in others):
            _ask_to_stop(workspace, store, before)
    return True


def resume(workspace: Workspace, run_id: str) -> None:
    """Queue a failed, cancelled or interrupted run again, and first the runs it waits for that did not finish."""
    store = RunStore(workspace)
    run = store.get(run_id)
    if run.state == "done":
        raise RunError(f"{run_id} is finished; there is nothing to resume.")
    if not run.final:
        raise RunError(f"{run_id} is already {run.state}.")
    for needed in waits_for(workspace, run):
        try:
            before = store.get(needed)
        except NotFound as error:
            raise RunError(
                f"{run_id} needs {needed}, which was deleted; start a new run instead."
            ) from error
        if before.final and before.state != "done":
            resume(workspace, before.id)
    if store.transition(
        run_id,
        ("failed", "cancelled", "interrupted"),
        "queued",
        error=None,
        finished=None,
        cancel_time=None,
        pid=None,
        progress=None,
        spawned=None,
        spawns=0,
    ):
        spawn(workspace, run_id)


def delete_run(workspace: Workspace, run_id: str, force: bool = False) -> int:
    """Delete a run's row and folder; returns the bytes freed.

    Raises RunError while it is queued or running, and where other runs use it unless `force`.
    """
    store = RunStore(workspace)
    run = store.get(run_id)
    if not run.final:
        raise RunError(f"{run_id} is {run.state}; `runs cancel {run_id}` first.")
    users = [] if force else dependents(workspace, run_id)
    if users:
        raise RunError(
            f"{run_id} is used by {', '.join(users)}; delete those first, or delete it with force."
        )
    paths = workspace.run(run_id)
    if not paths.root.exists():
        store.delete(run_id)
        return 0
    with hold(paths.lock, patience=5.0) as held:
        if not held:
            raise RunError(f"The worker of {run_id} is still ending; try again in a moment.")
        store.delete(run_id)
        return workspace.remove(paths.root) + _delete_features(workspace, run_id)


def _delete_features(workspace: Workspace, run_id: str) -> int:
    """Delete what was computed with a run's weights and kept in the cache; returns the bytes freed."""
    freed = 0
    for path in (workspace.cache / "features").glob(f"*--{run_id}.npy"):
        freed += path.stat().st_size
        path.unlink()
    return freed


def run_bytes(workspace: Workspace, run_id: str) -> int:
    """Bytes on disk of one run's folder."""
    return disk_bytes(workspace.run(run_id).root)


def wait(
    workspace: Workspace,
    run_id: str,
    on_event: Callable[[dict], None] = lambda row: None,
    poll: float = 0.3,
) -> Run:
    """Follow a run, and first the runs it waits for, until it has ended; returns it.

    on_event: called with every row of the event files, each with the id of its run as "run".
    """
    store, repaired = RunStore(workspace), time.monotonic()
    offsets = dict.fromkeys([*unfinished_before(workspace, run_id), run_id], 0)
    while True:
        run = store.get(
            run_id
        )  # before the events: whatever precedes a final state is then delivered
        for source in offsets:
            rows, offsets[source] = read_events_from(workspace.run(source).events, offsets[source])
            for row in rows:
                on_event({**row, "run": source})
        if run.final:
            return run
        if time.monotonic() - repaired > 2.0:
            reconcile(workspace)
            repaired = time.monotonic()
        time.sleep(poll)


def unfinished_before(workspace: Workspace, run_id: str) -> list[str]:
    """Ids of the unfinished runs that a run waits for, and of those that these wait for, in the order of their work."""
    store, found = RunStore(workspace), []
    for needed in waits_for(workspace, store.get(run_id)):
        try:
            unfinished = store.get(needed).state != "done"
        except NotFound:
            continue
        found += [*unfinished_before(workspace, needed), needed] if unfinished else []
    return found
