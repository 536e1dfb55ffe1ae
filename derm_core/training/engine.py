"""The training loop: a generator that trains any task and yields what happens.

Everything random in step s of a run is drawn from (seed, name, s), so weights, optimiser state and
the step number are all that a resumed run needs: on a CPU it continues bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import AugmentConfig
from ..data.augment import augment as augment_batch
from ..errors import DataError
from ..events import TICK, Event, log
from ..seeds import stream_seed
from .allocation import retained_memory
from .batches import ImageSource, epoch_order, normaliser, steps_per_epoch
from .distributed import current
from .ema import Average
from .optimiser import make_optimiser, set_rate
from .precision import Precision
from .progress import Clock, Progress
from .tasks import Batch, Task

CLIP_NORM = 1.0

Evaluate = Callable[[int, float], Iterator[Event]]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast is learned; a checkpoint is continued under the same schedule only.

    AdamW with linear warm-up and half a cosine, gradients clipped to norm 1. The last partial batch
    of an epoch is left out.

    Attributes:
        epochs: passes over the images.
        batch_size: images of a step, over all processes.
        lr: the highest learning rate.
        wd: weight decay.
        warmup_fraction: share of the steps in which the learning rate rises, 0 to 1.
        layer_decay: factor on the learning rate from a layer to the one below it, 1 for none.
        ema_decay: of the moving average of the weights, 0 for none; the average is what is evaluated
            and what the task holds in the end.
        seed: of order, augmentation and noise.
    """

    epochs: int
    batch_size: int
    lr: float
    wd: float
    warmup_fraction: float = 0.05
    layer_decay: float = 1.0
    ema_decay: float = 0.0
    seed: int = 0


def fit(
    task: Task,
    images: np.ndarray | Tensor,
    indices: Sequence[int] | np.ndarray,
    labels: np.ndarray | None = None,
    *,
    schedule: Schedule,
    augment: AugmentConfig | None = None,
    views: int = 1,
    device: str = "cpu",
    precision: Precision | None = None,
    checkpoint_dir: Path | None = None,
    evaluate: Evaluate | None = None,
    early_evaluations: int = 0,
    log_every: int = 10,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    state: dict[str, Any] | None = None,
    what: str = "training",
) -> Generator[Event, None, None]:
    """Train `task` in place; where several processes share the training, each its share of a batch.

    Args:
        task: what is trained; it draws as `Batch.share` says.
        images: uint8 (N, S, S, 3).
        indices: rows of `images` to train on.
        labels: class index of every row of `images` (N,), none of the chosen ones −1.
        views: how many are drawn of each image, 1 or 2 (`Batch.second`).
        checkpoint_dir: continued from; saved to each epoch, each half minute and when the generator
            is closed.
        evaluate: evaluate(step, epoch) is called in eval mode at step 0, at `early_evaluations`
            log-spaced steps of the first epoch and after each epoch; its events are passed on. It
            enters `torch.no_grad` itself, never across a yield.
        log_every: steps between two metrics.
        state: JSON values of the caller's own, saved with each checkpoint, filled in on resuming.
        what: of the training, for people.

    Raises:
        RunError: where loss or gradient is not finite; the last good checkpoint stays.
    """
    precision, world = precision or Precision(), current()
    precision.prepare(task, device)
    optimiser = make_optimiser(task, schedule.lr, schedule.wd, schedule.layer_decay)
    averaged = schedule.ema_decay and world.is_main
    average = Average(task, schedule.ema_decay) if averaged else None
    source = ImageSource(images, indices, device, precision.memory_format)
    identity = {**dataclasses.asdict(schedule), "images": len(source)}
    state = {} if state is None else state
    run = Progress(checkpoint_dir, task, optimiser, state, identity, average)
    trainer = _Trainer(
        task=task,
        source=source,
        labels=_chosen_labels(labels, source.rows, source.device),
        schedule=schedule,
        precision=precision,
        run=run,
        augment=augment,
        normalise=normaliser(mean, std, device),
        views=views,
        evaluate=evaluate if world.is_main else None,
        early_evaluations=early_evaluations,
        log_every=log_every,
    )
    yield from trainer.train(what)
    if average:
        average.keep()


@dataclass(kw_only=True)
class _Trainer:
    """The loop of one training; see `fit`."""

    task: Task
    source: ImageSource
    labels: Tensor | None
    schedule: Schedule
    precision: Precision
    run: Progress
    augment: AugmentConfig | None
    normalise: Callable[[Tensor], Tensor]
    views: int
    evaluate: Evaluate | None
    early_evaluations: int
    log_every: int

    def __post_init__(self) -> None:
        size, epochs = self.schedule.batch_size, self.schedule.epochs
        self.world = current()
        self.batch = min(size, len(self.source))
        self.per_epoch = steps_per_epoch(len(self.source), size)
        self.total = epochs * self.per_epoch
        self.due = evaluation_steps(self.per_epoch, epochs, self.early_evaluations)
        self.share = self.world.share(self.batch) if self.world.size > 1 else None
        self.generator = torch.Generator(device=self.source.device)

    def train(self, what: str) -> Iterator[Event]:
        """From the last checkpoint, if any, to the end."""
        run, world = self.run, self.world
        if run.resume():
            yield log(f"{what} continues at step {run.step} of {self.total}")
        if world.size > 1:
            yield log(world.describe(self.task))
        with (
            retained_memory(self.source.device),
            world.training(self.task, self.batch, run.step) as model,
            run.saved_when_closed(),
        ):
            yield from self._evaluate_if_due()
            clock = Clock(what, self.total, self.batch, run.step)
            for positions, images_bchw in self._batches():
                yield from self._step(model, positions, images_bchw)
                yield TICK
                yield from clock.progress(run.step)
                started = time.monotonic()
                yield from self._evaluate_if_due()
                clock.evaluating += time.monotonic() - started
                run.save_if_due(epoch_ends=run.step % self.per_epoch == 0)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions and images of every step to come, this process's share of them."""
        first, size = self.run.step, self.schedule.batch_size
        for epoch in range(first // self.per_epoch, self.schedule.epochs):
            order = epoch_order(len(self.source), size, self.schedule.seed, epoch)
            order = order[self.run.step % self.per_epoch :]
            if self.share is not None:
                order = [positions[self.share.of_batch] for positions in order]
            yield from self.source.batches(order)

    def _step(self, model: nn.Module, positions: Tensor, images_bchw: Tensor) -> Iterator[Event]:
        """One update; yields metrics every `log_every` steps. model: the task, or what wraps it."""
        run, schedule = self.run, self.schedule
        rate = learning_rate(run.step, self.total, schedule.warmup_fraction, schedule.lr)
        set_rate(run.optimiser, rate)
        means = {}
        with self.world.step():
            labels_b = None if self.labels is None else self.labels[positions]
            first, *others = self._draw(images_bchw)
            batch = Batch(*first, labels_b, run.step / self.total, self.share, *others)
            scale = self.task.loss_scale / self.world.weight
            run.add(update(model, batch, run.optimiser, self.precision, scale))
            if run.step % self.log_every == 0 or run.step == self.total:
                means = {**run.read(self.world), "learning_rate": rate}
        epoch = run.step / self.per_epoch
        for name, value in means.items():
            yield Event(
                kind="metric", series=f"train/{name}", value=value, step=run.step, epoch=epoch
            )

    def _draw(self, images_bchw: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(view, target) pairs of images in [0, 1], normalised, drawn from seed and step alone."""
        seed, step = self.schedule.seed, self.run.step
        torch.manual_seed(stream_seed(seed, "noise", step))
        self.generator.manual_seed(stream_seed(seed, "augment", step))
        return [self._view(images_bchw) for _ in range(self.views)]

    def _view(self, images_bchw: Tensor) -> tuple[Tensor, Tensor]:
        layout = self.precision.memory_format
        if self.augment is None:
            view = target = self.normalise(images_bchw)
        else:
            drawn = augment_batch(images_bchw, self.augment, self.generator, self.share)
            view, target = (self.normalise(images) for images in drawn)
        return view.contiguous(memory_format=layout), target.contiguous(memory_format=layout)

    def _evaluate_if_due(self) -> Iterator[Event]:
        run = self.run
        if self.evaluate is None or run.step not in self.due or run.evaluated >= run.step:
            return
        run.check()
        self.task.eval()
        averages = run.average.in_place() if run.average else contextlib.nullcontext()
        with averages, self.precision.eager():
            yield from self.evaluate(run.step, run.step / self.per_epoch)
        self.task.train()
        run.evaluated = run.step


def update(
    model: nn.Module,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    precision: Precision,
    loss_scale: float,
) -> dict[str, Tensor]:
    """Forward, backward, optimiser; returns the step's scalars, still on the device.

    Args:
        model: the task, or what wraps it where several processes share the training.
        loss_scale: what the loss is divided by before it is differentiated.
    """
    with precision.autocast(batch.view_bchw.device):
        output = model(batch)
    (output["loss"] / loss_scale).backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    scalars = {name: value.detach() for name, value in output.items() if value.ndim == 0}
    return {**scalars, "gradient_norm": norm}


def learning_rate(step: int, total: int, warmup_fraction: float, peak: float) -> float:
    """Linear warm-up to `peak` over the first share of steps, then half a cosine towards 0."""
    warmup = round(total * warmup_fraction)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def evaluation_steps(per_epoch: int, epochs: int, early: int = 0) -> list[int]:
    """Step 0, `early` log-spaced steps inside the first epoch, then the end of each epoch; sorted."""
    inside = np.geomspace(1, per_epoch, early + 1)[:-1].round().astype(int).tolist()
    return sorted({*inside, *range(0, epochs * per_epoch + 1, per_epoch)})


def _chosen_labels(
    labels: np.ndarray | None, rows: np.ndarray, device: torch.device
) -> Tensor | None:
    if labels is None:
        return None
    chosen = np.asarray(labels)[rows]
    if (chosen < 0).any():
        raise DataError(
            f"{int((chosen < 0).sum())} of the training images have no label; leave them out."
        )
    return torch.as_tensor(chosen, dtype=torch.int64).to(device)
