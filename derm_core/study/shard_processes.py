"""Processes that share a piece of work: watched, started again where one dies, ended with this one.

No process reads a file that could run code: what it is to do comes from the process that started it,
by a pipe between the two.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ..errors import DermError, RunError
from ..events import TICK, Event, log
from ..processes import begin_pool_worker

Report = Callable[[int], None]  # says how many images of a shard are done
Compute = Callable[[Any, Report], None]

STARTS = 3  # of one shard's process
POLL_SECONDS = 0.2
END_SECONDS = 10.0  # a process that has said its last word may take so long to end
DONE, END, REFUSED, FAILED = "done", "end", "refused", "failed"  # kinds of messages


@dataclass
class _Child:
    """A process and what it works on."""

    process: BaseProcess
    shard: int


class ShardProcesses:
    """One process for each shard of a piece of work.

    Args:
        compute: called in each process with its shard; what it did before its process died it must
            find by itself.
        shards: what `compute` is given, one each; can be pickled, as it can.

    Attributes:
        done: how many images each shard has done, as its process last said.

    Raises:
        Exception: what pickle raises of something that cannot be handed to another process.
    """

    def __init__(self, compute: Compute, shards: Sequence[Any]) -> None:
        self.done = [0] * len(shards)
        self._compute = pickle.dumps(compute)
        self._shards = list(map(pickle.dumps, shards))
        self._starts = [0] * len(shards)
        self._running: dict[Connection, _Child] = {}

    def run(self) -> Generator[Event, None, None]:
        """Work until all shards are done; yields a TICK several times a second, where the caller may stop.

        Raises:
            RunError: a process refused its work, or ended unexpectedly in each of STARTS starts.
        """
        try:
            for shard in range(len(self._shards)):
                self._start(shard)
            while self._running:
                for connection in wait(list(self._running), POLL_SECONDS):
                    assert isinstance(connection, Connection)
                    yield from self._read(connection)
                yield TICK
        finally:
            for child in self._running.values():
                child.process.kill()
            for child in self._running.values():
                child.process.join()

    def _start(self, shard: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        given = os.getpid(), theirs
        process = context.Process(target=work_on_shard, args=given, daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = _Child(process, shard)
        self._starts[shard] += 1
        with contextlib.suppress(OSError):  # it has died already, which is read below
            ours.send_bytes(self._compute)
            ours.send_bytes(self._shards[shard])

    def _read(self, connection: Connection) -> Iterator[Event]:
        child = self._running[connection]
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            kind, value = FAILED, ""
        if kind == DONE:
            self.done[child.shard] = value
            return
        yield TICK  # a run that is to stop, whose processes were told so too, starts none again
        connection.close()
        del self._running[connection]
        child.process.join(END_SECONDS)
        if child.process.exitcode is None:
            child.process.kill()
            child.process.join()
        if kind == REFUSED:
            raise RunError(value)
        if kind == FAILED:
            yield from self._start_again(child, value or _how_it_ended(child.process.exitcode))

    def _start_again(self, child: _Child, why: str) -> Iterator[Event]:
        if self._starts[child.shard] >= STARTS:
            raise RunError(
                f"A process that computes features failed {STARTS} times, at last so: {why}. The run can be "
                "resumed and goes on after the finished parts; where memory was short, with fewer devices."
            )
        yield log(
            f"A process that computes features failed ({why}); it is started again and goes on after its finished "
            "parts."
        )
        self._start(child.shard)


def _how_it_ended(exit_code: int | None) -> str:
    """The end of a process that left no message."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        memory = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"it was ended by {name}{memory}"
    return f"it ended unexpectedly with status {exit_code}"


def work_on_shard(parent: int, connection: Connection) -> None:
    """What a process of `ShardProcesses` does: it is sent a function and its shard, and calls it."""
    begin_pool_worker(parent)
    # Read when PyTorch is loaded, with what is received: threads of processes that share cores sleep
    # while they wait for each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        compute, shard = connection.recv(), connection.recv()
        compute(shard, lambda done: connection.send((DONE, done)))
    except DermError as error:
        connection.send((REFUSED, str(error)))
    except Exception as error:
        traceback.print_exc()
        detail = next(iter(str(error).splitlines()), "no message")[:200]
        connection.send((FAILED, f"{type(error).__name__}: {detail}"))
    else:
        connection.send((END, None))
