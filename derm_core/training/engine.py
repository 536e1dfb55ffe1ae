"""The training loop: one generator that trains any task and says what happens.

Everything random in step s of a run is drawn from (seed, name, s), so weights, optimiser state and
the step number are all that a resumed run needs: on a CPU it continues bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import AugmentConfig
from ..data.augment import augment as augment_batch
from ..errors import DataError
from ..events import TICK, Event, log
from ..seeds import Share, stream_seed
from .allocation import kept_memory
from .batches import ImageSource, epoch_order, normaliser, steps_per_epoch
from .distributed import current
from .ema import Average
from .optimiser import make_optimiser, set_rate
from .precision import Precision
from .progress import Clock, Progress
from .tasks import Batch, Task

CLIP_NORM = 1.0

Evaluate = Callable[[int, float], Iterator[Event]]


def fit(
    task: Task,
    images: np.ndarray | Tensor,
    indices: Sequence[int],
    labels: np.ndarray | None = None,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    wd: float,
    warmup_fraction: float = 0.05,
    layer_decay: float = 1.0,
    ema_decay: float = 0.0,
    augment: AugmentConfig | None = None,
    views: int = 1,
    seed: int = 0,
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
) -> Iterator[Event]:
    """Train `task` in place on rows `indices` of uint8 `images` (N,S,S,3); yields events.

    labels: class index of every row of `images` (N,), none of the chosen ones −1.
    evaluate(step, epoch): called in eval mode at step 0, at `early_evaluations` log-spaced steps of
    the first epoch and after each epoch; its events are passed on. It enters `torch.no_grad` itself,
    never across a yield.
    state: JSON values of the caller's own, saved with each checkpoint, filled in on resuming.
    checkpoint_dir: saved each epoch and each half minute, beside the training, and when the generator is
    closed; continued from.
    AdamW with warm-up and cosine, gradients clipped to norm 1; the last partial batch is left out.
    views: how many are drawn of each image, 1 or 2 (`Batch.second`), each with its own parameters.
    layer_decay: factor on the learning rate from a layer to the one below it, 1 for none. ema_decay: of
    the moving average of the weights, 0 for none; the average is what `evaluate` sees and what `task`
    holds in the end.
    In a team of processes (distributed.py) each computes its share of every batch; `task` must then
    be one that handover.py can send, and draw as `Batch.share` says.
    Raises RunError where loss or gradient is not finite: the last good checkpoint stays.
    """
    arguments, team = dict(locals()), current()
    device, precision = torch.device(device), precision or Precision()
    precision.prepare(task, device)
    optimiser = make_optimiser(task, lr, wd, layer_decay)
    average = Average(task, ema_decay) if ema_decay and team.is_main else None
    source = ImageSource(images, indices, device, precision.memory_format)
    chosen_labels = _chosen_labels(labels, source.rows, device)
    per_epoch, batch = steps_per_epoch(len(source), batch_size), min(batch_size, len(source))
    share = team.share(batch) if team.size > 1 else None
    view_of = _viewer(augment, seed, device, normaliser(mean, std, device), precision, share)
    total = epochs * per_epoch
    run = Progress(
        checkpoint_dir,
        task,
        optimiser,
        state if state is not None else {},
        {
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "wd": wd,
            "warmup_fraction": warmup_fraction,
            "layer_decay": layer_decay,
            "ema_decay": ema_decay,
            "seed": seed,
            "images": len(source),
        },
        average,
    )
    if run.resume():
        yield log(f"{what} continues at step {run.step} of {total}")
    due = evaluation_steps(per_epoch, epochs, early_evaluations) if evaluate else []
    if team.size > 1:
        yield log(team.describe(task))
    with kept_memory(device), team.training(task, arguments, run) as model, run.saved_when_closed():
        yield from _evaluate_if_due(run, due, evaluate, per_epoch, precision)
        clock = Clock(what, total, batch, run.step)
        for epoch in range(run.step // per_epoch, epochs):
            order = epoch_order(len(source), batch_size, seed, epoch)[run.step % per_epoch :]
            for positions, images_bchw in source.batches(
                order if share is None else [p[share.of_batch] for p in order]
            ):
                rate = learning_rate(run.step, total, warmup_fraction, lr)
                with team.step():
                    labels_b = None if chosen_labels is None else chosen_labels[positions]
                    first, *others = view_of(images_bchw, run.step, views)
                    shown = Batch(*first, labels_b, run.step / total, share, *others)
                    run.add(
                        _step(
                            model,
                            shown,
                            optimiser,
                            rate,
                            precision,
                            device,
                            task.loss_scale / team.weight,
                        )
                    )
                    said = run.read(team) if run.step % log_every == 0 or run.step == total else {}
                if said:
                    yield from (
                        Event(
                            kind="metric",
                            series=f"train/{name}",
                            value=value,
                            step=run.step,
                            epoch=run.step / per_epoch,
                        )
                        for name, value in {**said, "learning_rate": rate}.items()
                    )
                yield TICK
                yield from clock.progress(run.step)
                started = time.monotonic()
                yield from _evaluate_if_due(run, due, evaluate, per_epoch, precision)
                clock.evaluating += time.monotonic() - started
                run.save_if_due(epoch_ends=run.step % per_epoch == 0)
    if average:
        average.keep()


def learning_rate(step: int, total: int, warmup_fraction: float, peak: float) -> float:
    """Linear warm-up to `peak` over the first share of steps, then half a cosine towards 0."""
    warmup = round(total * warmup_fraction)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def evaluation_steps(per_epoch: int, epochs: int, early: int = 0) -> list[int]:
    """Step 0, `early` log-spaced steps inside the first epoch, then the end of each epoch; sorted."""
    inside = (
        np.geomspace(1, per_epoch, early + 1)[:-1].round().astype(int).tolist() if early else []
    )
    return sorted({0, *inside, *(per_epoch * epoch for epoch in range(1, epochs + 1))})


def _step(
    model: nn.Module,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    rate: float,
    precision: Precision,
    device: torch.device,
    loss_scale: float,
) -> dict[str, Tensor]:
    """One update; returns the step's scalars, still on the device. model: the task, or what wraps it in a team."""
    set_rate(optimiser, rate)
    with precision.autocast(device):
        output = model(batch)
    (output["loss"] / loss_scale).backward()
    norm = nn.utils.clip_grad_norm_(
        (p for g in optimiser.param_groups for p in g["params"]), CLIP_NORM
    )
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return {
        **{name: value.detach() for name, value in output.items() if value.ndim == 0},
        "gradient_norm": norm,
    }


def _viewer(
    config: AugmentConfig | None,
    seed: int,
    device: torch.device,
    normalise: Callable[[Tensor], Tensor],
    precision: Precision,
    share: Share | None = None,
):
    """A function (images in [0,1], step, count) -> `count` pairs (view, target), normalised, drawn from (seed, step) alone.

    share: which of the global batch its images are."""
    generator = torch.Generator(device=device)

    def one(images_bchw: Tensor) -> tuple[Tensor, Tensor]:
        if config is None:
            view = target = normalise(images_bchw)
        else:
            view, target = (
                normalise(images) for images in augment_batch(images_bchw, config, generator, share)
            )
        return tuple(
            images.contiguous(memory_format=precision.memory_format) for images in (view, target)
        )

    def view_of(images_bchw: Tensor, step: int, count: int) -> list[tuple[Tensor, Tensor]]:
        torch.manual_seed(stream_seed(seed, "noise", step))
        generator.manual_seed(stream_seed(seed, "augment", step))
        return [one(images_bchw) for _ in range(count)]

    return view_of


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


def _evaluate_if_due(
    run: Progress, due: list[int], evaluate: Evaluate | None, per_epoch: int, precision: Precision
) -> Iterator[Event]:
    if evaluate is None or run.step not in due or run.evaluated >= run.step:
        return
    run.check()
    run.task.eval()
    with run.average.in_place() if run.average else contextlib.nullcontext(), precision.eager():
        yield from evaluate(run.step, run.step / per_epoch)
    run.task.train()
    run.evaluated = run.step
