"""One job in several processes: every rank runs it and computes its share of each batch, or of the features.

SPMD under torchrun: ranks differ by their number alone. Rank 0 evaluates and writes events,
checkpoints and artefacts; the others write nothing. Every rank draws the random numbers of the whole
batch and uses those of its own images, and gradients are means over the whole batch
(DistributedDataParallel, Li et al. 2020, arXiv 2006.15704): up to rounding, results do not depend on
how many processes share the work. process_group.py connects the processes.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import RunError
from ..machine import cpu_cores, pick_device
from ..seeds import Share

GO, STOP = 0, 1
FAILED = "failed"  # key of the store: why a rank failed
LEFT = "left"  # another: rank 0 has left what the ranks share
FAILED_SECONDS, POLL_SECONDS = 2.0, 0.02


class TrainingStopped(Exception):
    """Rank 0 has left the training early, or is gone; this rank leaves it too."""


class World:
    """The processes that share a run, seen from one of them; `World()` is one process alone.

    Args:
        rank: this process, 0 to size − 1.
        size: number of processes.
        device: "cpu" or this rank's GPU.
        store: keys that all ranks see.
        control: a group of CPU processes for what is not a tensor of the training.
        local: how many of the ranks are on this machine.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        device: str = "cpu",
        store: dist.Store | None = None,
        control: dist.ProcessGroup | None = None,
        local: int = 1,
    ) -> None:
        self.rank, self.size, self.device, self.local = rank, size, device, local
        self.store, self.control = store, control
        self.sound = True  # no rank has failed, none is inside a step
        self.batch = 0  # images of the global batch of the training under way

    @property
    def is_main(self) -> bool:
        """Whether this process writes events, checkpoints and artefacts."""
        return self.rank == 0

    def share(self, total: int | None = None) -> Share:
        """This rank's images of a global batch of `total` (default: the training's)."""
        total = self.batch if total is None else total
        return Share(self.rank * total // self.size, (self.rank + 1) * total // self.size, total)

    @property
    def weight(self) -> float:
        """Factor of this share's loss in the mean over ranks, 1 where shares are equal."""
        return 1.0 if self.size == 1 else self.share().weight * self.size

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Rank 0 runs the block first, then all others, which find what it wrote."""
        if self.size > 1 and not self.is_main:
            self.from_main(GO)
        yield
        if self.size > 1 and self.is_main:
            self.from_main(GO)

    def from_main(self, value: int) -> int:
        """Rank 0's value, in all ranks."""
        if self.size == 1:
            return value
        number = torch.tensor([value])
        with self._failures():
            dist.broadcast(number, 0, self.control)
        return int(number)

    def post(self, key: str, value: int) -> None:
        """Leave a number that the others may read with `posted`, at any time."""
        with self._failures():
            self._keys.set(f"{key}/{self.rank}", str(value))

    def posted(self, key: str, rank: int) -> int | None:
        """The number that a rank has left under a key; None where there is none yet."""
        name = f"{key}/{rank}"
        with self._failures():
            return int(self._keys.get(name)) if self._keys.check([name]) else None

    def check(self) -> None:
        """Raise TrainingStopped where rank 0 has left, and in rank 0 RunError where another has failed."""
        with self._failures():
            ended = self._keys.check([FAILED if self.is_main else LEFT])
        if ended and not self.is_main:
            raise TrainingStopped
        if ended:
            reason = self.failure()  # a whole sentence says by itself what to do
            advice = "; the run can be resumed and goes on after what is done."
            raise RunError(reason if reason.endswith(".") else reason + advice)

    @property
    def _keys(self) -> dist.Store:
        assert self.store is not None, "one process alone has no other ranks"
        return self.store

    def mean(self, values: Tensor) -> Tensor:
        """Means over the global batch of `values`, which are means over this rank's share."""
        if self.size == 1:
            return values
        weighted = values * self.share().weight
        dist.all_reduce(weighted)
        return weighted

    @contextlib.contextmanager
    def training(self, task: nn.Module, batch: int, step: int) -> Iterator[nn.Module]:
        """A training that all ranks make together; gives the module to call in place of `task`.

        Where rank 0 leaves it before its end, on a cancel or an error, the others leave it too.

        Args:
            task: on this rank's device; rank 0's weights and buffers are copied to all.
            batch: images of a global batch.
            step: where this rank stands; all must stand at the same step.

        Raises:
            RunError: for a batch smaller than the number of ranks, or for different checkpoints.
        """
        if self.size == 1:
            yield task
            return
        self._check(batch, step)
        self.batch = batch
        if self.device == "cpu":
            torch.set_num_threads(max(1, cpu_cores() // self.local))
        else:
            from timm.layers import convert_sync_batchnorm

            convert_sync_batchnorm(task)
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
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
            # The last traceback may hold the model, and with it the reducer, which holds the group. As
            # its last holder it would wait, with Python's lock, for threads of the group that may wait
            # for that lock: for ever, with torch 2.11 and gloo.
            if model is not None:
                del model.reducer, model.logger

    def _check(self, batch: int, step: int) -> None:
        if batch < self.size:
            raise RunError(
                f"A batch of {batch} images cannot be shared by {self.size} processes; "
                "use a larger batch or fewer devices."
            )
        with self._failures():
            steps = torch.tensor([step, -step])
            dist.all_reduce(steps, dist.ReduceOp.MAX, self.control)
        if int(steps.sum()):
            raise RunError(
                "The processes that share the training see different checkpoints; "
                "they need one DERM_HOME that all of them see."
            )

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One step that all ranks make together, or none.

        Raises:
            TrainingStopped: in the other ranks when rank 0 leaves the training.
            RunError: in rank 0 when another rank has failed.
        """
        if self.size == 1:
            yield
            return
        with self._failures():
            if self._agree(GO) == STOP:
                raise TrainingStopped
            yield

    def describe(self, task: nn.Module) -> str:
        """A sentence for the run's log."""
        how = "gloo on CPUs" if self.device == "cpu" else "nccl on GPUs"
        text = f"The training is shared by {self.size} processes ({how})."
        norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
        if not any(isinstance(module, norms) for module in task.modules()):
            return text
        if self.device != "cpu":
            return text + " Batch norm is synchronised: statistics are the whole batch's."
        return text + (
            " Batch norm uses the statistics of each process's share: synchronised statistics need "
            "GPUs, so that curves differ from one process's. Choose a network without batch norm, "
            "such as ConvNeXt, where that matters."
        )

    def _agree(self, word: int) -> int:
        """The largest of all ranks' words."""
        words = torch.tensor([word])
        dist.all_reduce(words, dist.ReduceOp.MAX, self.control)
        return int(words)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Around what all ranks do together: where one fails the others do, and rank 0 says which."""
        sound, self.sound = self.sound, False
        try:
            yield
        except TrainingStopped:
            self.sound = sound
            raise
        except RuntimeError as error:
            lost = isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)
            if not lost:
                raise
            if not self.is_main:
                raise TrainingStopped from error
            raise RunError(
                f"{self.failure()}; the run can be resumed from its last checkpoint, with any "
                "number of devices."
            ) from error
        self.sound = sound

    def failure(self, seconds: float = FAILED_SECONDS) -> str:
        """Why another rank failed; its message may arrive after the disconnect."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):  # torchrun itself has ended
            while self.store is not None and time.monotonic() < deadline:
                if self.store.check([FAILED]):
                    return self.store.get(FAILED).decode()
                time.sleep(POLL_SECONDS)
        return f"One of the {self.size} processes that share the run ended unexpectedly"

    def report(self, error: BaseException) -> None:
        """From a rank other than 0: leave for rank 0 why this rank fails."""
        detail = next(iter(str(error).splitlines()), "no message")[:300]
        with contextlib.suppress(RuntimeError):
            if self.store is not None and not self.store.check([FAILED]):
                self.store.set(
                    FAILED,
                    f"Process {self.rank} of the {self.size} that share the run failed: "
                    f"{type(error).__name__}: {detail}",
                )


_worlds: list[World] = []  # innermost last


def current() -> World:
    """The world this process is part of; itself alone where there is none."""
    return _worlds[-1] if _worlds else World()


@contextlib.contextmanager
def member(world: World) -> Iterator[World]:
    """Make `world` this process's for a while."""
    _worlds.append(world)
    try:
        yield world
    finally:
        _worlds.pop()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within, this rank computes by itself: the others have nothing left to do."""
    with member(World(device=current().device)):
        yield


def use_all_cores() -> None:
    """Give a rank on the CPU the threads of one process alone, since their number changes rounding.

    torchrun leaves its ranks one, where the user sets no other number.
    """
    world = current()
    if world.size > 1 and world.device == "cpu" and torch.get_num_threads() == 1:
        torch.set_num_threads(cpu_cores())


def training_device(device: str) -> str:
    """The device of this process's part of a training: its rank's, else the one that is set."""
    world = current()
    return world.device if world.size > 1 else pick_device(device)


def gather_with_gradient(tensor_nd: Tensor) -> Tensor:
    """The rows of the whole global batch, in its order.

    Differentiable: rows that other ranks made carry their losses' gradients back to them, so that a
    loss which compares images across the batch (contrastive terms) has the gradient of one process.

    Args:
        tensor_nd: the rows (b, …) of this rank's share.

    Returns:
        (B, …); in one process alone the tensor itself.

    Raises:
        ValueError: for another number of rows than this rank's share.
    """
    world = current()
    if world.size == 1:
        return tensor_nd
    share = world.share()
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
        whole[share.of_batch] = rows
        dist.all_reduce(whole)  # a sum of zeros and one share: exact, and shares may differ in size
        return whole

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[ctx.share.of_batch], None
