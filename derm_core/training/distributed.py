"""One training in several processes: each computes its share of every global batch.

Process 0 runs the job; it alone evaluates and writes events, checkpoints and artefacts. The others,
its helpers (launch.py), know nothing of jobs: they wait until process 0 hands over a training
(network, optimiser state, step, settings), run the engine's loop on their share of each batch, and
wait again. Every process draws the random numbers of the whole batch and uses those of its own
images, and gradients are means over the whole batch (DistributedDataParallel, Li et al. 2020, arXiv
2006.15704): up to rounding, results do not depend on how many processes share the work.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import RunError
from ..machine import cpu_cores
from ..seeds import Share
from .handover import packed, unpacked

GO, STOP = 0, 1
POLL_SECONDS = 0.02
FAILED = "failed"


class Stopped(Exception):
    """Process 0 has stopped the training; a helper waits for the next one."""


class Team:
    """The processes that share a training, seen from one of them; `Team()` is one process alone.

    store: keys that all processes see; control: a group of CPU processes for what is not a tensor of
    the training; local: how many of them are on this machine; children: this process's own helpers.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        device: str = "cpu",
        store: Any = None,
        control: Any = None,
        local: int = 1,
        children: tuple = (),
    ):
        self.rank, self.size, self.device, self.local, self.children = (
            rank,
            size,
            device,
            local,
            children,
        )
        self.store, self.control = store, control
        self.trainings = 0  # handed over so far
        self.sound = True  # no process has failed, none stands inside a step
        self.batch = 0  # images of the global batch of the training under way
        self.handed: dict[str, Any] = {}  # to this helper: step and optimiser state

    @property
    def is_main(self) -> bool:
        """Whether this process writes events, checkpoints and artefacts."""
        return self.rank == 0

    def share(self, total: int | None = None) -> Share:
        """This process's images of a global batch of `total` (default: the training's); shares differ by one at most."""
        total = self.batch if total is None else total
        return Share(self.rank * total // self.size, (self.rank + 1) * total // self.size, total)

    @property
    def weight(self) -> float:
        """What a loss over this process's share counts in the mean over processes, 1 where shares are equal."""
        return 1.0 if self.size == 1 else self.share().weight * self.size

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier(self.control)

    def mean(self, values: Tensor) -> Tensor:
        """Means over the global batch of `values`, which are means over this process's share."""
        if self.size == 1:
            return values
        weighted = values * self.share().weight
        dist.all_reduce(weighted)
        return weighted

    @contextlib.contextmanager
    def training(self, task: nn.Module, arguments: dict[str, Any], run: Any) -> Iterator[nn.Module]:
        """A training of all processes from `run`'s step on; gives the module to call in place of `task`.

        arguments: of `engine.fit`; run: its progress (`step`, `optimiser`). Left before its end, on a
        cancel or an error, the helpers are stopped too.
        """
        if self.size == 1:
            yield task
            return
        self.batch = min(arguments["batch_size"], len(arguments["indices"]))
        if self.batch < self.size:
            raise RunError(
                f"A batch of {self.batch} images cannot be shared by {self.size} processes; "
                "use a larger batch or fewer devices."
            )
        if self.is_main:
            with self._failures():
                self._hand_over(task, arguments, run)
        else:
            run.optimiser.load_state_dict(self.handed["optimiser"])
            run.step = self.handed["step"]
        if self.device == "cpu":
            torch.set_num_threads(max(1, cpu_cores() // self.local))
        else:
            from timm.layers import convert_sync_batchnorm

            convert_sync_batchnorm(task)
        warnings.filterwarnings(
            "ignore", "Grad strides do not match bucket view strides"
        )  # a layout of 1 × 1 kernels
        model = None
        try:
            with self._failures():
                model = DistributedDataParallel(task, broadcast_buffers=False, static_graph=True)
            yield model
        except BaseException:
            if self.is_main and self.sound:
                with contextlib.suppress(RunError), self._failures():
                    self._agree(STOP)
            raise
        finally:
            # Not with the last traceback that holds the model: they hold the group, and as its last holders would wait for
            # the group's threads while holding Python's lock, for which these may wait: for ever, with torch 2.11 and gloo.
            if model is not None:
                del model.reducer, model.logger

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One step that all processes make together, or none: raises Stopped in helpers when process 0 stops,
        RunError in process 0 when a helper has failed."""
        if self.size == 1:
            yield
            return
        with self._failures():
            if self._agree(GO) == STOP:
                raise Stopped
            yield

    def describe(self, task: nn.Module) -> str:
        """A sentence for the run's log."""
        how = "gloo on CPUs" if self.device == "cpu" else "nccl on GPUs"
        text = f"The training is shared by {self.size} processes ({how})."
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in task.modules()):
            text += (
                " Batch norm uses the statistics of each process's share: synchronised statistics need GPUs, so that "
                "curves differ from one process's. Choose a network without batch norm, such as ConvNeXt, where "
                "that matters."
                if self.device == "cpu"
                else " Batch norm is synchronised: statistics are the whole batch's."
            )
        return text

    def next_training(self) -> dict[str, Any] | None:
        """In a helper: the next training handed over, as arguments of `fit`; None when the team is dissolved."""
        key = f"training/{self.trainings}"
        while not self.store.check([key]):
            time.sleep(POLL_SECONDS)
        self.trainings += 1
        if self.store.get(key) != b"fit":
            return None
        self.handed = unpacked(self._broadcast())
        arguments = {name: _opened(value) for name, value in self.handed["arguments"].items()}
        return {**arguments, "device": self.device}

    def dissolve(self) -> None:
        """From process 0: the helpers end."""
        self.store.set(f"training/{self.trainings}", b"end")

    def _hand_over(self, task: nn.Module, arguments: dict[str, Any], run: Any) -> None:
        self.store.set(f"training/{self.trainings}", b"fit")
        self.trainings += 1
        kept = {"evaluate": None, "checkpoint_dir": None, "state": None, "task": task}
        given = {name: _closed(value) for name, value in {**arguments, **kept}.items()}
        self._broadcast(
            packed({"step": run.step, "optimiser": run.optimiser.state_dict(), "arguments": given})
        )

    def _broadcast(self, data: bytes = b"") -> bytes:
        """Process 0's bytes, in all; torch's own broadcast of objects would unpickle what comes."""
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0, self.control)
        bytes_n = (
            torch.frombuffer(bytearray(data), dtype=torch.uint8)
            if data
            else torch.empty(int(length), dtype=torch.uint8)
        )
        dist.broadcast(bytes_n, 0, self.control)
        return bytes_n.numpy().tobytes()

    def _agree(self, word: int) -> int:
        """The largest of all processes' words."""
        words = torch.tensor([word])
        dist.all_reduce(words, dist.ReduceOp.MAX, self.control)
        return int(words)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Around what all processes do together: where one fails the others do, and process 0 says which."""
        sound, self.sound = self.sound, False
        try:
            yield
        except RuntimeError as error:
            failed = self._failed(
                isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)
            )
            if failed is None:
                raise
            raise RunError(
                f"{failed}; the run can be resumed from its last checkpoint, with any number of devices."
            ) from error
        except Stopped:
            self.sound = sound
            raise
        self.sound = sound

    def _failed(self, connection_lost: bool) -> str | None:
        """What is known of a helper that failed."""
        deadline = (
            time.monotonic() + 2.0
        )  # its last words, or its end, may come after its connections' end
        while connection_lost and time.monotonic() < deadline:
            try:
                if self.store.check([FAILED]):
                    return self.store.get(FAILED).decode()
            except RuntimeError:  # torchrun itself is gone
                break
            ended = [
                rank for rank, child in enumerate(self.children, 1) if child.poll() is not None
            ]
            if ended:
                return f"Process {ended[0]} of the {self.size} that share the training was ended"
            time.sleep(POLL_SECONDS)
        return (
            "A process that shares the training cannot be reached any more"
            if connection_lost
            else None
        )


_active: Team | None = None


def current() -> Team:
    """The team this process is part of; itself alone where there is none."""
    return _active or Team()


@contextlib.contextmanager
def member(team: Team) -> Iterator[Team]:
    """Make `team` this process's for a while."""
    global _active
    _active = team
    try:
        yield team
    finally:
        _active = None


def gather_with_gradient(tensor_nd: Tensor) -> Tensor:
    """The rows (B, …) of the whole global batch, in its order, from every process's share of them (b, …).

    Differentiable: rows that other processes made carry their losses' gradients back to them, so that
    a loss which compares images across the batch (contrastive terms) has the gradient of one process.
    One process alone gets its tensor back.
    """
    team = current()
    if team.size == 1:
        return tensor_nd
    share = team.share()
    if len(tensor_nd) != len(share):
        raise ValueError(
            f"gather_with_gradient got {len(tensor_nd)} rows; this process has {len(share)} of the "
            f"batch's {share.total} images: gather each view by itself."
        )
    return _Gather.apply(tensor_nd, share)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, share: Share) -> Tensor:
        ctx.share = share
        whole = rows.new_zeros(share.total, *rows.shape[1:])
        whole[share.begin : share.end] = (
            rows  # a sum of zeros and one share: exact, and shares may differ
        )
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[ctx.share.begin : ctx.share.end], None


def _closed(value: Any) -> Any:
    """What is sent in place of an argument: of a memory-mapped file its name, of other arrays and sequences a
    tensor, everything else itself."""
    if (
        isinstance(value, np.memmap)
        and isinstance(value.base, mmap.mmap)
        and value.filename
        and value.offset + value.nbytes == os.path.getsize(value.filename)
    ):
        return {
            "file": str(value.filename),
            "dtype": value.dtype.str,
            "offset": value.offset,
            "shape": value.shape,
        }
    return (
        {"array": torch.from_numpy(np.array(value))}
        if isinstance(value, np.ndarray | range)
        else value
    )


def _opened(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return value["array"].numpy()
    return np.memmap(
        value["file"], dtype=value["dtype"], mode="r", offset=value["offset"], shape=value["shape"]
    )
