"""Where a training stands: its step, what was measured since the last reading, its checkpoints, its clock."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import events
from ..errors import RunError
from ..events import Event
from .checkpoint import CheckpointWriter, load_checkpoint
from .distributed import World, current
from .ema import Average
from .tasks import Task

CHECKPOINT_SECONDS = 30.0
ADDED = {
    "layer_decay": 1.0,
    "ema_decay": 0.0,
}  # what trainings did before checkpoints told these settings
PROGRESS_SECONDS = 1.0


class Progress:
    """Where a run stands: step, metrics since the last reading (on the device), checkpoints."""

    def __init__(
        self,
        folder: Path | None,
        task: Task,
        optimiser: torch.optim.Optimizer,
        state: dict[str, Any],
        identity: dict[str, Any],
        average: Average | None = None,
    ):
        self.folder, self.task, self.optimiser, self.state, self.identity = (
            folder,
            task,
            optimiser,
            state,
            identity,
        )
        self.average = average
        self.step, self.evaluated, self.saved, self.saved_at = 0, -1, -1, time.monotonic()
        self.writer = CheckpointWriter(folder) if folder and current().is_main else None
        self.names: list[str] = []
        self.sums: Tensor | None = None  # of the values called `names`, over `count` steps
        self.count = 0
        self.first_bad: Tensor | None = None  # step of the first non-finite loss or gradient, or −1
        task.train()

    def resume(self) -> bool:
        saved = (
            load_checkpoint(self.folder, self.task, self.optimiser, self._averaged())
            if self.folder
            else None
        )
        if saved is None:
            return False
        made_with = {**ADDED, **saved["identity"]}
        if changed := [k for k, v in self.identity.items() if made_with.get(k) != v]:
            raise RunError(
                f"The checkpoint at step {saved['step']} was made with other settings "
                f"({', '.join(changed)}); start a new run, or delete its checkpoints folder."
            )
        self.step = self.saved = saved["step"]
        self.evaluated = saved["evaluated"]
        self.state.update(saved["state"])
        reading = saved.get("reading")
        if reading and None not in reading["sums"] and current().size == 1:
            self.names, self.count = reading["names"], reading["count"]
            self.sums = torch.tensor(reading["sums"], device=next(self.task.parameters()).device)
        return True

    def _averaged(self) -> nn.Module | None:
        return self.average.module if self.average else None

    def add(self, values: dict[str, Tensor]) -> None:
        """Count a finished step. Nothing is read from the device here."""
        self.names, stacked = (
            list(values),
            torch.stack([value.float() for value in values.values()]),
        )
        self.sums = stacked if self.sums is None else self.sums + stacked
        if self.first_bad is None:
            self.first_bad = torch.full_like(values["loss"], -1, dtype=torch.int64)
        bad = ~(values["loss"] + values["gradient_norm"]).isfinite()
        self.step, self.count = self.step + 1, self.count + 1
        if self.average:
            self.average.update(self.step)
        self.first_bad = torch.where(bad & (self.first_bad < 0), self.step, self.first_bad)

    def _bad_step(self) -> int:
        return -1 if self.first_bad is None else int(self.first_bad)

    def check(self) -> None:
        """Raise RunError where a loss or gradient was not finite; reads one number from the device."""
        if self._bad_step() >= 0:
            raise RunError(
                f"The loss or its gradient stopped being finite at step {self._bad_step()}; the "
                "last good checkpoint is kept. Try a smaller learning rate."
            )

    def read(self, world: World) -> dict[str, float]:
        """Means since the last reading, over the images of all ranks."""
        self.check()
        assert self.sums is not None  # read after a step
        means = world.mean(self.sums / self.count).tolist()
        self.sums, self.count = None, 0
        return dict(zip(self.names, means))

    def save_if_due(self, *, epoch_ends: bool) -> None:
        if self.writer is None or not (
            epoch_ends or time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
        ):
            return
        if self.writer.busy():  # epochs shorter than writing: the next one is saved
            return
        self.check()
        self._save()

    def _save(self) -> None:
        assert self.writer is not None
        self.writer.save(
            self.task,
            self.optimiser,
            {
                "step": self.step,
                "evaluated": self.evaluated,
                "identity": self.identity,
                "state": self.state,
                "reading": 0
                if self.sums is None
                else {"names": self.names, "sums": self.sums.tolist(), "count": self.count},
            },
            self._averaged(),
        )
        self.saved, self.saved_at = self.step, time.monotonic()

    @contextlib.contextmanager
    def saved_when_closed(self) -> Iterator[None]:
        """Around a generator's work: checkpoints are in force at its end, also of what a cancelled run learned."""
        if self.writer is None:
            yield
            return
        with contextlib.closing(self.writer):
            try:
                yield
            except GeneratorExit:
                if self.step > self.saved and self._bad_step() < 0:
                    self._save()
                raise


class Clock:
    """Progress events at most once a second: images done, training images/s of this session, time left."""

    def __init__(self, what: str, total: int, batch: int, step: int):
        self.what, self.total, self.batch, self.first = what, total, batch, step
        self.started = time.monotonic()
        self.evaluating, self.reported = 0.0, -math.inf

    def progress(self, step: int) -> Iterator[Event]:
        now = time.monotonic()
        if now - self.reported < PROGRESS_SECONDS and step < self.total:
            return
        self.reported = now
        elapsed, steps = now - self.started, step - self.first
        yield Event(
            kind="progress",
            series=self.what,
            step=step,
            value=events.Progress(
                what=self.what,
                done=step * self.batch,
                total=self.total * self.batch,
                unit="images",
                rate=steps * self.batch / max(elapsed - self.evaluating, 1e-9),
                eta_seconds=(self.total - step) * elapsed / steps,
            ),
        )
