"""Forming a team: helpers of this process on one machine, or the processes that torchrun started.

One machine: `team(size, device)` starts size − 1 helpers (`python -m derm_core.training.launch …`),
which end with this process whatever ends it. torchrun: `python -m derm_core …` runs its command in
process 0 and `serve_torchrun` in all others; the worker that the command starts takes the place of
process 0 in a team of all.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist

from ..errors import ConfigError, RunError
from ..machine import gpus, pick_device
from ..processes import end_with
from ..workspace import REPOSITORY
from .distributed import FAILED, POLL_SECONDS, Stopped, Team, member

START_SECONDS = 600.0  # all processes of a team must have joined by then
STEP_SECONDS = (
    600.0  # no part of a step takes longer; NCCL's watchdog ends a process that waits in vain
)
EVALUATION_SECONDS = 7200.0  # helpers wait this long while process 0 evaluates in the middle of a training; it waits for no one
END_SECONDS = 10.0
LAUNCHED = "TORCHELASTIC_RUN_ID"


def torchrun_size() -> int:
    """How many processes torchrun started, 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if LAUNCHED in os.environ else 1


@contextlib.contextmanager
def team(size: int, device: str = "auto") -> Iterator[Team]:
    """This process as process 0 of a team of `size`, all of torchrun's where torchrun started it.

    device: as in a config; GPUs are this one and those after it. Raises ConfigError where there are
    fewer, RunError where a helper does not start.
    """
    device = pick_device(device)
    with (
        _torchrun_team(device) if LAUNCHED in os.environ else _local_team(size, device) as formed,
        member(formed),
    ):
        yield formed


@contextlib.contextmanager
def _local_team(size: int, device: str) -> Iterator[Team]:
    devices = _local_devices(size, device)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        store = dist.TCPStore(
            "127.0.0.1",
            port,
            None,
            True,
            wait_for_workers=False,
            master_listen_fd=os.dup(listener.fileno()),
        )
        command = [
            sys.executable,
            "-m",
            "derm_core.training.launch",
            str(os.getpid()),
            str(port),
            str(size),
        ]
        search = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": search, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        children, formed = [], None
        try:
            for rank in range(1, size):
                children.append(
                    subprocess.Popen(
                        [*command, str(rank), devices[rank]],
                        stdin=subprocess.DEVNULL,
                        cwd=REPOSITORY,
                        env=environment,
                    )
                )
            with _joined(store, 0, size, device, local=size, children=tuple(children)) as formed:
                yield formed
        finally:
            _end(children, END_SECONDS if formed and formed.sound else 0.0)


def _local_devices(size: int, device: str) -> list[str]:
    if device == "cpu":
        return ["cpu"] * size
    first = int(device.partition(":")[2] or 0)
    if first + size > len(gpus()):
        raise ConfigError(
            f"devices is {size} from {device} on, but this machine has {len(gpus())} usable GPU(s); choose "
            "fewer, or start over several machines with torchrun."
        )
    return [f"cuda:{first + rank}" for rank in range(size)]


def _end(children: Sequence[subprocess.Popen], patience: float) -> None:
    deadline = time.monotonic() + patience
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def _torchrun_team(device: str) -> Iterator[Team]:
    store = _torchrun_store()
    number = store.add("teams", 1) - 1
    store.set(f"team/{number}", device)
    with _joined(
        dist.PrefixStore(f"team/{number}", store), 0, torchrun_size(), device, _local_size()
    ) as formed:
        yield formed


def _torchrun_store() -> dist.Store:
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        None,
        False,
        datetime.timedelta(seconds=START_SECONDS),
    )
    return dist.PrefixStore(f"derm_core/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def _local_size() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextlib.contextmanager
def _joined(
    store: dist.Store, rank: int, size: int, device: str, local: int, children: tuple = ()
) -> Iterator[Team]:
    """This process's place in a team; waits until all processes have joined."""
    store.add("joined", 1)
    deadline = time.monotonic() + START_SECONDS
    while store.add("joined", 0) < size:
        ended = next((child for child in children if child.poll() is not None), None)
        if ended is not None or time.monotonic() > deadline:
            raise RunError(
                f"Only {store.add('joined', 0)} of {size} processes started; the run's log says why."
            )
        time.sleep(POLL_SECONDS)
    if device != "cpu":
        torch.cuda.set_device(device)
    with _loopback(local == size):
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            store=dist.PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=datetime.timedelta(seconds=STEP_SECONDS),
        )
        patience = EVALUATION_SECONDS if rank else STEP_SECONDS
        control = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=patience))
    formed = Team(rank, size, device, store, control, local, children)
    try:
        yield formed
    finally:
        if formed.sound and formed.is_main:
            formed.dissolve()
        if not formed.sound:
            _end(
                children, 0.0
            )  # first: with them end the connections that a goodbye would wait for
        if formed.sound or device == "cpu":
            dist.destroy_process_group()
        else:
            dist.distributed_c10d._abort_process_group()  # a plain goodbye would wait for those that are gone


@contextlib.contextmanager
def _loopback(alone: bool) -> Iterator[None]:
    """A team of one machine talks over its loopback interface, whatever the machine is called."""
    chosen = (
        alone
        and "GLOO_SOCKET_IFNAME" not in os.environ
        and "lo" in (name for _, name in socket.if_nameindex())
    )
    if chosen:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        yield
    finally:
        if chosen:
            del os.environ["GLOO_SOCKET_IFNAME"]


def serve(store: dist.Store, rank: int, size: int, device: str, local: int) -> None:
    """Be a helper until the team is dissolved: train what process 0 hands over."""
    from .engine import fit

    with _joined(store, rank, size, device, local) as formed, member(formed):
        try:
            while (arguments := formed.next_training()) is not None:
                with contextlib.suppress(Stopped):
                    for _ in fit(**arguments):
                        pass
        except BaseException as error:
            formed.sound = False
            detail = next(iter(str(error).splitlines()), "no message")[:300]
            with contextlib.suppress(RuntimeError):
                if not isinstance(error, dist.DistError) and not store.check([FAILED]):
                    store.set(
                        FAILED,
                        f"Process {rank} of the {size} that share the training failed: "
                        f"{type(error).__name__}: {detail}",
                    )
            raise


def serve_torchrun() -> None:
    """A process of torchrun's other than the first: a helper of one team after the other, until the command ends."""
    store, rank = _torchrun_store(), int(os.environ["RANK"])
    number = 0
    while True:
        key = f"team/{number}"
        while not store.check([key]):
            time.sleep(POLL_SECONDS)
        device = store.get(key).decode()
        if device == "end":
            return
        device = device if device == "cpu" else f"cuda:{os.environ['LOCAL_RANK']}"
        serve(dist.PrefixStore(key, store), rank, torchrun_size(), device, _local_size())
        number += 1


def end_torchrun() -> None:
    """From torchrun's first process, when its command has ended: the others end as well."""
    store = _torchrun_store()
    store.set(f"team/{store.add('teams', 0)}", "end")


def _main() -> None:
    parent, port, size, rank = map(int, sys.argv[1:5])
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # both reach the whole process group: process 0 decides
        signal.signal(number, signal.SIG_IGN)
    end_with(parent)
    try:
        serve(dist.TCPStore("127.0.0.1", port, None, False), rank, size, sys.argv[5], local=size)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once: communicators may wait for those that are gone
    os._exit(0)  # nothing of a helper is worth a tidy end of seconds


if __name__ == "__main__":
    _main()
