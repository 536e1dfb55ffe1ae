"""Starting a run's worker: a detached process, by torchrun where several ranks share a training."""

from __future__ import annotations

import os
import subprocess
import sys

from ..config import PretrainConfig, RunConfig, StudyConfig, from_dict
from ..errors import DermError, RunError
from ..files import read_json, storage_errors
from ..machine import cpu_cores
from ..workspace import REPOSITORY, RunFiles, Workspace, weights_folder
from .store import Run, RunStore

UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID"
OWN_RANKS = "DERM_OWN_RANKS"  # set where `spawn` has started torchrun for one run
TORCHRUN_VARIABLES = tuple(  # beginnings of their names
    f"{OWN_RANKS} TORCHELASTIC_ MASTER_ RANK LOCAL_ WORLD_SIZE GROUP_ ROLE_ OMP_NUM_THREADS".split()
)
workers: dict[int, subprocess.Popen[bytes]] = {}  # those that this process started, by process id


def worker_command(run_id: str, ranks: int = 1) -> list[str]:
    """How a worker is started; its only argument is the id."""
    worker = ["-m", "derm_core.jobs.worker", run_id]
    if ranks == 1:
        return [sys.executable, *worker]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return [sys.executable, *torchrun, *worker]


def _shared_devices(config: RunConfig) -> int:
    """How many devices a config gives to its training or its features; 0 for a run that shares neither."""
    if isinstance(config, StudyConfig):
        return 0 if config.all_folds else config.devices
    return config.devices if isinstance(config, PretrainConfig) else 0


def _wanted_ranks(config: RunConfig) -> int:
    """How many ranks a config needs by itself: a training's; features are shared by other processes."""
    if isinstance(config, StudyConfig) and config.regime == "frozen":
        return 1
    return max(_shared_devices(config), 1)


def processes(config: RunConfig) -> int:
    """How many ranks share a run: those that torchrun started, else what its config needs."""
    if _shared_devices(config) and UNDER_TORCHRUN in os.environ:
        return int(os.environ["WORLD_SIZE"])
    return _wanted_ranks(config)


def feature_processes(config: RunConfig) -> int:
    """How many processes of this machine share a run's features; 1 under torchrun, whose ranks do."""
    return 1 if UNDER_TORCHRUN in os.environ else max(_shared_devices(config), 1)


def devices_here(config: RunConfig) -> int:
    """How many devices of this machine a run uses at most."""
    if UNDER_TORCHRUN in os.environ:
        return min(processes(config), int(os.environ.get("LOCAL_WORLD_SIZE", "64")))
    return max(_shared_devices(config), 1)


def _ranks(files: RunFiles, environment: dict[str, str]) -> int:
    """How many ranks a worker is started with; 1 where those of a torchrun around this process stand by."""
    if UNDER_TORCHRUN in environment:
        return 1
    try:
        return _wanted_ranks(from_dict(read_json(files.config)))
    except (OSError, ValueError, DermError):  # the worker says what is wrong
        return 1


def _environment(workspace: Workspace) -> dict[str, str]:
    """Variables of a worker. A rank that `spawn` has started does not hand on those of its own torchrun."""
    own = OWN_RANKS in os.environ
    search = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {
        **{k: v for k, v in os.environ.items() if not (own and k.startswith(TORCHRUN_VARIABLES))},
        "DERM_HOME": str(workspace.root),
        "DERM_WEIGHTS": str(weights_folder().resolve()),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "PYTHONUNBUFFERED": "1",
    }


def spawn(workspace: Workspace, run_id: str, seen: Run | None = None) -> bool:
    """Start a detached worker for a queued run.

    Args:
        workspace: that of the run.
        run_id: of the run.
        seen: the run as it was read by a caller that is to replace its worker.

    Returns:
        False if another process already spawned a worker, since the run was `seen`.

    Raises:
        RunError: the process could not be started.
    """
    reap()
    store = RunStore(workspace)
    if not store.claim_spawn(seen or store.get(run_id)):
        return False
    files = workspace.run(run_id).create()
    environment = _environment(workspace)
    ranks = _ranks(files, environment)
    if ranks > 1:
        environment |= {OWN_RANKS: "1", "OMP_NUM_THREADS": str(max(1, cpu_cores() // ranks))}
    with storage_errors(files.log):
        log = os.open(files.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        worker = subprocess.Popen(
            worker_command(run_id, ranks) if ranks > 1 else worker_command(run_id),
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
    workers[worker.pid] = worker
    store.note_spawned(run_id, worker.pid)
    return True


def reap() -> None:
    """Collect workers of this process that have ended, so that none stays as a zombie."""
    for pid, worker in list(workers.items()):
        if worker.poll() is not None:
            workers.pop(pid, None)


def wait_for_workers() -> None:
    """Wait until every worker that this process started has ended."""
    for worker in list(workers.values()):
        worker.wait()
