"""Pretraining of a VAE on the training split's images, or (transductive) on all: a generator that resumes by itself.

Labels stratify the split and score the online probe; no loss ever reads them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..config import PretrainConfig, to_dict
from ..data.official_split import describe_official
from ..data.on_demand import open_images
from ..data.used_images import SplitRule, used_images
from ..errors import DataError
from ..events import Event, log
from ..files import read_json, sha256_file, write_json
from ..nets.vae import VAE_MEAN, VAE_STD, decode_colours, latents_like, save_vae
from ..records import to_json
from ..seeds import stream_seed
from ..workspace import RunFiles, Workspace
from .batches import steps_per_epoch
from .checkpoint import clear_checkpoints
from .distributed import current, training_device
from .engine import Schedule, fit
from .image_grid import save_grid
from .precision import Precision, default_precision
from .tasks import VAETask, vae_task
from .trials import fast_precision
from .vae_evaluation import VAEEvaluation

MODES = {
    "reproducible": "Reproducible mode.",
    "fast": "Fast mode: seeded only, a repetition is not the same bit for bit.",
}
LOG_EVERY = 10  # steps between two metrics of the training, at most
SAMPLES = (4, 8)  # rows and columns of samples.png (from the prior) and likenesses.png


@dataclass(frozen=True)
class PretrainingData:
    """What a pretraining works on.

    Attributes:
        images: uint8 (N, S, S, 3).
        pixels: rows whose images, never their labels, the VAE is trained on.
        train, val: rows of the split.
        labels: (N,), for the probe only.
        record: what the weights' JSON says of dataset and split.
    """

    images: np.ndarray
    pixels: np.ndarray
    train: np.ndarray
    val: np.ndarray
    labels: np.ndarray
    record: dict[str, Any] = field(default_factory=dict)


def pretrain(config: PretrainConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """Pretrain as `config` says; weights, samples and reconstructions go to the run's artefacts.

    May be stopped anywhere and called again on the same run folder: it continues from the last
    checkpoint, and a finished run only repeats its result. The last event is a `result` with
    {epochs, seconds, images_per_s, metrics, vae_sha256, precision, …}.
    Raises NotFound, DataError, RunError (loss not finite, checkpoint damaged or of other settings).
    """
    run.create()
    if (run.summary).exists():
        clear_checkpoints(run.checkpoints)
        yield Event(kind="result", value=read_json(run.summary))
        return
    with current().main_first():
        data = yield from load_data(config, workspace)
    yield from train_vae(config, data, run)


def load_data(config: PretrainConfig, workspace: Workspace):
    """`data = yield from load_data(…)`: dataset, split and store; the synthetic dataset is made on first need."""
    dataset, store = yield from open_images(workspace, config.dataset, config.input_size)
    used = used_images(dataset, SplitRule.of(config))
    rows, train, val = used.rows, used.members("train"), used.members("val")
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"Dataset {dataset.name!r} leaves {len(train)} images for training and {len(val)} for "
            "validation; use more images, or one with more groups."
        )
    if used.official:
        yield log(describe_official(used.official))
    if config.marks:
        yield log(f"Pretraining {config.marks}: these images are not shown to the VAE.")
    transductive = config.images == "all"
    seen = rows if transductive else train
    if transductive:
        yield log(
            "Transductive: the VAE also sees the pixels, never the labels, of validation and test images."
        )
    return PretrainingData(
        store.images,
        seen,
        train,
        val,
        dataset.labels,
        {
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "split_seed": config.split_seed,
            "splits": config.splits,
            **({"official": to_json(used.official)} if used.official else {}),
            "folds": config.folds,
            "fold": config.fold,
            "split_fingerprint": used.fingerprint(dataset),
            "images": {"train": len(train), "val": len(val)},
            "transductive": transductive,
            "pretrained_on": len(seen),
        },
    )


def train_vae(config: PretrainConfig, data: PretrainingData, run: RunFiles) -> Iterator[Event]:
    """Train on `data.pixels`, evaluate on `data.val`, save the artefacts."""
    device, recipe = training_device(config.device), config.recipe
    task = vae_task(config)
    with current().main_first():
        precision = yield from run_precision(config, data, device, run)
    yield log(
        f"VAE {config.backbone.architecture} to stage {config.backbone.stage}, recipe {recipe.name}, "
        f"{len(data.pixels)} training images at {config.input_size} pixels on {device}: {precision.describe()}. "
        f"{MODES[config.mode]}"
    )
    state: dict[str, Any] = {"seconds": 0.0, "images_per_s": 0.0, "metrics": {}}
    evaluation = VAEEvaluation(
        task,
        data.images,
        data.train,
        data.val,
        data.labels,
        recipe,
        config.seed,
        device,
        precision,
        run.artefacts,
        state,
    )
    training = fit(
        task,
        data.images,
        data.pixels,
        schedule=Schedule(
            epochs=recipe.epochs,
            batch_size=precision.batch_size or recipe.batch_size,
            lr=recipe.learning_rate,
            wd=recipe.weight_decay,
            warmup_fraction=recipe.warmup_fraction,
            ema_decay=recipe.ema_decay,
            seed=config.seed,
        ),
        augment=recipe.augment,
        views=2 if recipe.consistency else 1,
        device=device,
        precision=precision,
        checkpoint_dir=run.checkpoints,
        evaluate=evaluation,
        log_every=steps_between_metrics(
            len(data.pixels), precision.batch_size or recipe.batch_size
        ),
        mean=VAE_MEAN,
        std=VAE_STD,
        state=state,
        what="pretraining",
    )
    yield from _timed(training, state)
    if current().is_main:
        yield from _finish(config, task, data, evaluation, run)


def steps_between_metrics(images: int, batch_size: int) -> int:
    """Four metrics or more in an epoch, so that the curves of few images grow from the first seconds on, too."""
    return max(1, min(LOG_EVERY, steps_per_epoch(images, batch_size) // 4))


def _timed(training: Generator[Event, None, None], state: dict[str, Any]) -> Iterator[Event]:
    """Pass events on; keep wall-clock seconds (over all sessions) and the rate in `state`."""
    before = time.monotonic()
    with contextlib.closing(training):
        for event in training:
            now = time.monotonic()
            state["seconds"] += now - before
            before = now
            if event.kind == "progress":
                state["images_per_s"] = event.value.rate
            yield event


def _finish(
    config: PretrainConfig,
    task: VAETask,
    data: PretrainingData,
    evaluation: VAEEvaluation,
    run: RunFiles,
) -> Iterator[Event]:
    """Save pictures, weights and summary (last); the checkpoints are then no longer needed."""
    task.eval()
    state, recipe, precision = evaluation.state, config.recipe, evaluation.precision
    with precision.eager():
        save_grid(run.artefacts / "reconstructions.png", evaluation.reconstructions(2 * SAMPLES[1]))
        seen = evaluation.posterior()
    vae = task.vae.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(stream_seed(config.seed, "samples"))
    with torch.no_grad(), precision.eager():
        count = SAMPLES[0] * SAMPLES[1]
        drawn = {
            "samples": vae.sample(count, generator),
            "likenesses": decode_colours(vae.decoder, latents_like(*seen, count, generator)),
        }
    for name, images in drawn.items():
        save_grid(run.artefacts / f"{name}.png", list(images.split(SAMPLES[1])))
    save_vae(
        run.artefacts,
        vae,
        {
            "run_id": run.id,
            "config": to_dict(config),
            "precision": precision.to_dict(),
            "metrics": to_json(state["metrics"]),
            **data.record,
        },
    )
    summary = {
        "epochs": recipe.epochs,
        "seconds": state["seconds"],
        "images_per_s": state["images_per_s"],
        "metrics": state["metrics"],
        "metrics_at_start": state.get("start", {}),
        "vae_sha256": sha256_file(run.vae_weights),
        "recipe": recipe.name,
        "mode": config.mode,
        "batch_size": precision.batch_size or recipe.batch_size,
        "precision": precision.to_dict(),
        "device": evaluation.device,
        **data.record,
    }
    write_json(run.summary, to_json(summary))
    clear_checkpoints(run.checkpoints)
    for name in (*drawn, "reconstructions"):
        yield Event(kind="image", series=name, value=f"{name}.png", epoch=float(recipe.epochs))
    yield Event(kind="result", value=to_json(summary))


def run_precision(
    config: PretrainConfig, data: PretrainingData, device: str, run: RunFiles
) -> Generator[Event, None, Precision]:
    """The precision recorded with the run, else a choice that is recorded now: by rule, or in fast mode by trial."""
    path = run.precision
    if path.exists():
        return Precision(**read_json(path))
    if config.mode == "fast":
        yield log("Fast mode: trying number formats, layouts and compilation for a few steps each.")
        precision = yield from fast_precision(config, data.images, len(data.pixels), device)
    else:
        precision = default_precision(config.backbone.architecture, device)
    write_json(path, precision.to_dict())
    return precision
