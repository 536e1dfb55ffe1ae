"""Starts, stops and repairs runs. No daemon: every page load and every command may call `reconcile`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from ..config import PretrainConfig, RunConfig, StudyConfig, to_dict
from ..errors import NotFound, RunError
from ..events import read_events_from
from ..files import disk_bytes
from ..locks import hold, is_held
from ..processes import alive
from ..workspace import Workspace
from .dependencies import (
    RESUMABLE,
    USABLE,
    dependents,
    fold_studies,
    matching_run,
    needs_vae,
    recipe_pretrainings,
    references,
    require_pretraining,
    required_pretraining,
    waits_for,
)
from .queries import RunFilter
from .spawning import reap, spawn
from .store import ACTIVE, Run, RunStore

SPAWN_GRACE_SECONDS = 20.0  # between a claim to start a worker and its process id
START_SECONDS = 600.0  # a worker that lives may take this long to reach its lock on a busy machine
MAX_SPAWNS = 3
TERM_AFTER_SECONDS = 5.0
KILL_AFTER_SECONDS = 8.0
RECONCILE_SECONDS = 2.0
POLL_SECONDS = 0.3  # between two reads of a run's events
# run: process that got SIGTERM from here, and when (monotonic)
_terminated: dict[str, tuple[int, float]] = {}


def submit(workspace: Workspace, config: RunConfig, name: str = "") -> str:
    """Queue a run, and first the runs that it needs, and start a worker; returns its id.

    A study whose VAEs are to be pretrained takes identical pretrainings that are finished, under way
    or queued, else queues them before itself. A comparison in folds queues the studies of its folds
    before itself; those that exist already go on where they stopped. What the run reads is checked
    by `preflight.submit`.

    Raises:
        ConfigError, NotFound, RunError: a pretraining that is named cannot be used.
    """
    store = RunStore(workspace)
    depends_on = None
    if isinstance(config, StudyConfig) and config.all_folds:
        studies = tuple(go_on(workspace, study) for study in fold_studies(config))
        config, depends_on = dataclasses.replace(config, fold_runs=studies), studies[-1]
        if run := matching_run(workspace, config):
            return _resumed(workspace, run)
    else:
        config = _with_pretrainings(workspace, config)
        depends_on = config.vae_run if needs_vae(config) else None
    needed = {depends_on, *getattr(config, "recipe_runs", ())}
    for reference in references(config) - needed:
        require_pretraining(store, reference, finished=True)
    run_id = store.create(config.kind, to_dict(config), name, depends_on)
    spawn(workspace, run_id)
    return run_id


def _with_pretrainings(workspace: Workspace, config: RunConfig) -> RunConfig:
    """A config with the ids of the pretrainings that it needs; those that do not exist are queued."""
    if needs_vae(config):
        vae_run = config.vae_run or _pretraining(workspace, required_pretraining(config))
        require_pretraining(RunStore(workspace), vae_run, finished=False)
        config = dataclasses.replace(config, vae_run=vae_run)
    if isinstance(config, StudyConfig) and not config.recipe_runs:
        runs = tuple(_pretraining(workspace, one) for one in recipe_pretrainings(config))
        config = dataclasses.replace(config, recipe_runs=runs)
    for run_id in getattr(config, "recipe_runs", ()):
        require_pretraining(RunStore(workspace), run_id, finished=False)
    return config


def _pretraining(workspace: Workspace, config: PretrainConfig) -> str:
    """The id of a pretraining of this config: an identical one, else a new one.

    That of a fold is resumed where it stopped, as the studies of the folds are.
    """
    if config.folds:
        return go_on(workspace, config)
    run = matching_run(workspace, config, USABLE)
    return run.id if run else submit(workspace, config)


def go_on(workspace: Workspace, config: RunConfig) -> str:
    """The id of the run of this config: one that is done or under way, one that is resumed now, else a new one."""
    run = matching_run(workspace, config)
    return _resumed(workspace, run) if run else submit(workspace, config)


def _resumed(workspace: Workspace, run: Run) -> str:
    if run.final and run.state != "done":
        resume(workspace, run.id)
    return run.id


def reconcile(workspace: Workspace) -> None:
    """Bring the table up to date.

    Runs whose worker has died become interrupted, queued runs get a worker, and workers that ignore
    a request to stop are killed.
    """
    reap()
    store = RunStore(workspace)
    for run in store.active():
        has_worker = is_held(workspace.run(run.id).lock)
        if run.state == "running" and has_worker:
            _force_stop(run)
        elif run.state == "running":
            _mark_interrupted(store, run)
        elif run.cancel_requested:
            store.transition(run.id, "queued", "cancelled", finished=time.time())
        elif not has_worker:
            _respawn(workspace, store, run)


def _mark_interrupted(store: RunStore, run: Run) -> None:
    # Read again: the worker may have finished between the listing and the look at its lock.
    now = store.get(run.id)
    if now.state != "running" or now.pid != run.pid:
        return
    state, error = "cancelled", None
    if not run.cancel_requested:
        state = "interrupted"
        error = f"The worker exited unexpectedly; `runs resume {run.id}` goes on from its last checkpoint."
    store.transition(run.id, "running", state, finished=time.time(), pid=None, error=error)


def _respawn(workspace: Workspace, store: RunStore, run: Run) -> None:
    if run.spawned is not None and run.spawns > 0:  # started, and does not hold its lock yet
        patience = START_SECONDS if alive(run.pid) else 0.0 if run.pid else SPAWN_GRACE_SECONDS
        waited = time.time() - run.spawned
        if waited < patience and (waited >= 0 or alive(run.pid)):  # below 0: the clock was set back
            return
    if run.spawns < MAX_SPAWNS:
        spawn(workspace, run.id, run)
        return
    error = (
        f"Its worker did not start in {run.spawns} tries; see {workspace.run(run.id).log}, "
        f"then `runs resume {run.id}`."
    )
    store.transition(run.id, "queued", "failed", finished=time.time(), error=error)


def _force_stop(run: Run) -> None:
    """SIGTERM, later SIGKILL, to the process group of a worker that ignores a request to stop."""
    if run.cancel_time is None or run.pid is None:
        return
    if abs(time.time() - run.cancel_time) < TERM_AFTER_SECONDS:  # abs: the clock may be set back
        return
    pid, signalled = _terminated.get(run.id, (None, 0.0))
    if pid != run.pid:  # SIGTERM always comes first: it lets the worker save its work
        number = signal.SIGTERM
        _terminated[run.id] = (run.pid, time.monotonic())
    elif time.monotonic() - signalled < KILL_AFTER_SECONDS - TERM_AFTER_SECONDS:
        return
    else:
        number = signal.SIGKILL
    try:
        os.killpg(run.pid, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.pid, number)


def cancel(workspace: Workspace, run_id: str, wait: float = 0.0) -> Run:
    """Request the end of a run, and of the runs that it alone waits for; queued ones end at once.

    Args:
        workspace: that of the run.
        run_id: of the run.
        wait: seconds to wait until it has ended; a worker that does not stop is killed meanwhile.

    Returns:
        The run as it then is.

    Raises:
        RunError: the run has ended already.
    """
    store = RunStore(workspace)
    if not _request_stop(workspace, store, run_id):
        raise RunError(f"{run_id} is {store.get(run_id).state}; there is nothing to cancel.")
    deadline = time.monotonic() + wait
    while not (run := store.get(run_id)).final and time.monotonic() < deadline:
        time.sleep(0.1)
        reconcile(workspace)
    return run


def _request_stop(workspace: Workspace, store: RunStore, run_id: str) -> bool:
    """Request the end of a run and of the runs that it alone waits for. False if it has ended."""
    if not store.request_cancel(run_id):
        return False
    store.transition(run_id, "queued", "cancelled", finished=time.time())
    others = [other for other in store.active() if other.id != run_id]
    for needed in waits_for(workspace, store.get(run_id)):
        if not any(needed in waits_for(workspace, other) for other in others):
            _request_stop(workspace, store, needed)
    return True


def resume(workspace: Workspace, run_id: str) -> None:
    """Queue a failed, cancelled or interrupted run again, and first the runs it waits for that did not finish.

    Archived ones are brought back.
    """
    store = RunStore(workspace)
    run = store.get(run_id)
    if run.state == "done":
        raise RunError(f"{run_id} is finished; there is nothing to resume.")
    if not run.final:
        raise RunError(f"{run_id} is already {run.state}.")
    store.set_archived([run_id], False)
    for needed in waits_for(workspace, run):
        try:
            before = store.get(needed)
        except NotFound as error:
            raise RunError(
                f"{run_id} needs {needed}, which was deleted; start a new run instead."
            ) from error
        if before.final and before.state != "done":
            resume(workspace, before.id)
    cleared = dict.fromkeys(
        ("error", "finished", "cancel_time", "pid", "progress", "spawned", "archived")
    )
    if store.transition(run_id, RESUMABLE, "queued", spawns=0, **cleared):
        spawn(workspace, run_id)


def delete_run(workspace: Workspace, run_id: str, force: bool = False) -> int:
    """Delete a run's row, its folder and the features computed with its weights.

    Finished parts of features (`study.feature_parts`) go too, unless another run is left that may
    take them.

    Args:
        workspace: that of the run.
        run_id: of the run.
        force: also where other runs use it.

    Returns:
        The bytes freed.

    Raises:
        RunError: the run is queued or running, or other runs use it.
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
    files = workspace.run(run_id)
    if not files.root.exists():
        store.delete(run_id)
        return 0
    with hold(files.lock, patience=5.0) as held:
        if not held:
            raise RunError(f"The worker of {run_id} is still ending; try again in a moment.")
        store.delete(run_id)
        freed = workspace.remove(files.root)
    patterns = [f"*--{run_id}.*"]
    if not store.count(RunFilter(states=(*ACTIVE, *RESUMABLE))):
        patterns.append("*.part-*")
    for pattern in patterns:
        for path in (workspace.cache / "features").glob(pattern):
            freed += path.stat().st_size
            path.unlink()
    return freed


def waits_for_another_user(workspace: Workspace, run: Run) -> bool:
    """Whether the device of a queued run is in use by a run of another user of the shared server."""
    if workspace.shared_root is None or run.state != "queued":
        return False
    own = (other.device == run.device for other in RunStore(workspace).list(state="running"))
    return not any(own) and is_held(workspace.device_lock(run.device))


def run_bytes(workspace: Workspace, run_id: str) -> int:
    """Bytes on disk of one run's folder."""
    return disk_bytes(workspace.run(run_id).root)


def wait(
    workspace: Workspace,
    run_id: str,
    on_event: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Run:
    """Follow a run, and first the runs it waits for, until it has ended.

    Args:
        workspace: that of the run.
        run_id: of the run.
        on_event: called with every row of the event files, each with the id of its run as "run".

    Returns:
        The run that has ended.
    """
    store, repaired = RunStore(workspace), time.monotonic()
    offsets = dict.fromkeys([*unfinished_before(workspace, run_id), run_id], 0)
    while True:
        run = store.get(run_id)  # before the events: those before a final state are then delivered
        for source in offsets:
            rows, offsets[source] = read_events_from(workspace.run(source).events, offsets[source])
            for row in rows:
                on_event({**row, "run": source})
        if run.final:
            return run
        if time.monotonic() - repaired > RECONCILE_SECONDS:
            reconcile(workspace)
            repaired = time.monotonic()
        time.sleep(POLL_SECONDS)


def unfinished_before(workspace: Workspace, run_id: str) -> list[str]:
    """Ids of the unfinished runs that a run waits for, directly or not, in the order in which they are done."""
    store, unfinished = RunStore(workspace), []
    for needed in waits_for(workspace, store.get(run_id)):
        with contextlib.suppress(NotFound):
            if store.get(needed).state != "done":
                unfinished += [*unfinished_before(workspace, needed), needed]
    return unfinished
