"""The processes of torchrun as one world, and which runs they share.

`torchrun … -m derm_core COMMAND` runs the command in rank 0, which starts a worker as always. The
worker takes rank 0's place: it announces each run that is shared, and the other ranks run it too.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import time
from collections.abc import Iterator

import torch
import torch.distributed as dist

from ..errors import ConfigError, RunError
from ..machine import gpus, pick_device
from .distributed import LEFT, TrainingStopped, World, member

STEP_SECONDS = 600.0  # all ranks must have joined by then, and no part of a step takes longer
MAIN_SECONDS = 86_400.0  # the others wait so long while rank 0 loads data or evaluates
POLL_SECONDS = 0.1
END = "end"


def announce(run_id: str) -> int:
    """From rank 0: the other ranks run this run as well. Returns its number, for `join`."""
    store = _torchrun_store()
    number = store.add("runs", 1) - 1
    store.set(f"run/{number}", run_id)
    return number


def announce_end() -> None:
    """From rank 0: there are no further runs."""
    announce(END)


def announced_runs() -> Iterator[tuple[int, str]]:
    """In the other ranks: number and id of one run after the other, until there are no further ones."""
    store, number = _torchrun_store(), 0
    while True:
        while not store.check([f"run/{number}"]):
            time.sleep(POLL_SECONDS)
        run_id = store.get(f"run/{number}").decode()
        if run_id == END:
            return
        yield number, run_id
        number += 1


def _torchrun_store() -> dist.Store:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(
        address, port, None, False, timeout=datetime.timedelta(seconds=STEP_SECONDS)
    )
    return dist.PrefixStore(f"derm_core/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


@contextlib.contextmanager
def join(number: int, device: str) -> Iterator[World]:
    """This process as one of the ranks that torchrun started; waits until all have joined.

    Args:
        number: of the run, see `announce`.
        device: as in a config; GPUs are that one and those after it.

    In ranks other than 0 the block ends quietly where rank 0 leaves the training early.

    Raises:
        ConfigError: where this machine has fewer GPUs than ranks.
        RunError: where a rank does not join.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device = rank_device(device, int(os.environ.get("LOCAL_RANK", "0")), local)
    store = dist.PrefixStore(f"world/{number}", _torchrun_store())
    control = _connect(store, rank, size, device, alone=local == size)
    world = World(rank, size, device, store, control, local)
    try:
        with member(world):
            yield world
    except TrainingStopped:  # rank 0 knows why
        pass
    except Exception as error:
        if not world.is_main:
            world.report(error)
        raise
    finally:
        if world.is_main:
            with contextlib.suppress(RuntimeError):  # torchrun itself has ended
                store.set(LEFT, "")
        if world.sound or device == "cpu":
            dist.destroy_process_group()
        else:  # an orderly end would wait for ranks that are gone
            group = dist.group.WORLD
            assert group is not None
            group.abort()


def rank_device(device: str, local_rank: int, local_size: int) -> str:
    """The device of one of the ranks of a machine. Raises ConfigError where there are too few GPUs."""
    device = pick_device(device)
    if device == "cpu":
        return device
    first = int(device.partition(":")[2])
    if first + local_size > len(gpus()):
        raise ConfigError(
            f"devices is {local_size} from {device} on, but this machine has {len(gpus())} usable "
            "GPU(s); choose fewer, or start over several machines with torchrun."
        )
    return f"cuda:{first + local_rank}"


def _connect(
    store: dist.Store, rank: int, size: int, device: str, *, alone: bool
) -> dist.ProcessGroup:
    """Join the default group; returns a second one, of CPU processes."""
    if device != "cpu":
        torch.cuda.set_device(device)
    step, patient = (datetime.timedelta(seconds=s) for s in (STEP_SECONDS, MAIN_SECONDS))
    try:
        with _loopback(alone):
            dist.init_process_group(
                "gloo" if device == "cpu" else "nccl",
                store=dist.PrefixStore("group", store),
                rank=rank,
                world_size=size,
                timeout=step,
            )
            return dist.new_group(backend="gloo", timeout=patient if rank else step)
    except RuntimeError as error:
        raise RunError(
            f"Not all of the {size} processes that share the run could be reached; its log says why."
        ) from error


@contextlib.contextmanager
def _loopback(alone: bool) -> Iterator[None]:
    """Ranks of one machine talk over its loopback interface, whatever the machine is called."""
    names = {name for _, name in socket.if_nameindex()}
    use = alone and "GLOO_SOCKET_IFNAME" not in os.environ and "lo" in names
    if use:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        yield
    finally:
        if use:
            del os.environ["GLOO_SOCKET_IFNAME"]
