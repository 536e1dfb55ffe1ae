"""Real VAE training against its own bare step on one resident batch; at least 0.92 of it on a CPU, 0.95 on a GPU.

Real: `engine.fit` as a run uses it, with the store of synthetic images, order, gathering,
augmentation, step, losses read every ten steps, events written to a log, a checkpoint each half
minute and each epoch; validation apart. Bare: the engine's step alone, same task, precision,
optimiser and clipping, on one batch that lies ready. Both sides alternate; the real run is one run
throughout, which stands still while the bare step is measured (checkpoints then fall due at once: a
little against us).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from derm_core.config import BackboneConfig, PretrainConfig, Recipe
from derm_core.config.recipes import recipe
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.events import EventLog
from derm_core.machine import pick_device
from derm_core.nets.vae import VAE_MEAN, VAE_STD, build_vae
from derm_core.training import engine
from derm_core.training.batches import ImageSource, normaliser
from derm_core.training.optimiser import make_optimiser
from derm_core.training.precision import Precision, default_precision
from derm_core.training.tasks import Batch, VAETask
from derm_core.training.trials import fast_precision
from derm_core.workspace import RunFiles, Workspace

EPOCH_IMAGES = 7_000  # HAM10000's training split: how often an epoch ends
ENDLESS = 10_000  # epochs: the real run is closed, not finished
WARM_UP_STEPS = 3
SETTLE_SECONDS = 3.0  # between the sides, for a checkpoint that is still being written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels (default 64)")
    parser.add_argument(
        "--batch-size", type=int, help="default 128 at 64 px, fewer at larger sizes on a CPU"
    )
    parser.add_argument(
        "--recipe", default="masked", help="default masked, whose augmentation costs most"
    )
    parser.add_argument("--mode", choices=("reproducible", "fast"), default="reproducible")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--images", type=int, default=1000, help="synthetic images generated (default 1000)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="of real training a repeat, and half as many of the bare step (default 60)",
    )


def run(args: argparse.Namespace) -> dict:
    """Images/s of both sides, alternating; the ratio is of the medians."""
    device = pick_device(args.device)
    batch_size = args.batch_size or (
        128 if device != "cpu" else max(8, 128 * 64**2 // args.size**2)
    )
    chosen = recipe(args.recipe, batch_size=batch_size, epochs=ENDLESS)
    with tempfile.TemporaryDirectory() as folder:
        images = store_images(Path(folder), args.images, args.size)
        rows = np.resize(np.arange(len(images)), max(EPOCH_IMAGES, batch_size))
        precision = choose(args, chosen, images, rows, device)
        batch_size = precision.batch_size or batch_size
        chosen = dataclasses.replace(chosen, batch_size=batch_size)
        print(
            f"{args.architecture}, {args.size} px, batch {batch_size}, {device}: {precision.describe()}",
            file=sys.stderr,
        )
        paths = RunFiles(Path(folder) / "run").create()
        real = real_steps(new_task(args, chosen), images, rows, chosen, device, precision, paths)
        bare = bare_steps(new_task(args, chosen), images, rows, chosen, device, precision)
        ours, against, checkpoints = [], [], []
        for steps in (real, bare):
            list(itertools.islice(steps, WARM_UP_STEPS))
        for _ in range(args.repeats):
            before, seen = checkpoint_names(paths), set()
            ours.append(
                batch_size
                * rate(real, args.seconds, device, lambda: seen.update(checkpoint_names(paths)))
            )
            time.sleep(SETTLE_SECONDS)
            checkpoints.append(len((seen | checkpoint_names(paths)) - before))
            against.append(batch_size * rate(bare, args.seconds / 2, device))
            print(
                f"real {ours[-1]:.1f}, bare {against[-1]:.1f} images/s, {checkpoints[-1]} checkpoints",
                file=sys.stderr,
            )
        real.close()
        events = len(paths.events.read_bytes().splitlines())
    middle, peer = statistics.median(ours), statistics.median(against)
    return {
        "ratio": middle / peer,
        "limit": 0.92 if device == "cpu" else 0.95,
        "better": "higher",
        "ours": middle,
        "against": peer,
        "unit": "images/s",
        "peer": "the bare step on one resident batch",
        "options": options(args),
        "architecture": args.architecture,
        "stage": args.stage,
        "size": args.size,
        "batch_size": batch_size,
        "recipe": args.recipe,
        "mode": args.mode,
        "device": device,
        "precision": precision.to_dict(),
        "threads": torch.get_num_threads(),
        "seconds": args.seconds,
        "repeats": args.repeats,
        "all_ours": ours,
        "all_against": against,
        "checkpoints": checkpoints,
        "events": events,
    }


def options(args: argparse.Namespace) -> str:
    """What was given on the command line beside the name, as the table in docs/results.md shows it."""
    given = (
        ("architecture", "resnet18"),
        ("size", 64),
        ("batch_size", None),
        ("mode", "reproducible"),
    )
    return "".join(
        f" --{name.replace('_', '-')} {getattr(args, name)}"
        for name, usual in given
        if getattr(args, name) != usual
    )


def store_images(folder: Path, count: int, size: int) -> np.ndarray:
    """The memory-mapped store (N,S,S,3) of freshly generated synthetic images."""
    workspace = Workspace.open(folder / "home")
    return open_store(workspace, make_synth(workspace, "measured", images=count), size).images


def new_task(args: argparse.Namespace, chosen: Recipe) -> VAETask:
    backbone = BackboneConfig(architecture=args.architecture, stage=args.stage)
    return VAETask(
        build_vae(backbone, args.size, chosen.latent_dim, chosen.decoder_width, seed=0), chosen
    )


def choose(
    args: argparse.Namespace, chosen: Recipe, images: np.ndarray, rows: np.ndarray, device: str
) -> Precision:
    """What a run in this mode would choose."""
    if args.mode == "reproducible":
        return default_precision(args.architecture, device)
    config = PretrainConfig(
        dataset="measured",
        backbone=BackboneConfig(architecture=args.architecture, stage=args.stage),
        input_size=args.size,
        recipe=chosen,
        mode="fast",
    )
    choosing = fast_precision(config, images, len(rows), device)
    while True:
        try:
            next(choosing)
        except StopIteration as end:
            return end.value


def resident_batch(
    images: np.ndarray, rows: np.ndarray, device: str, precision: Precision
) -> Batch:
    source = ImageSource(images, rows, device, precision.memory_format)
    x_bchw = normaliser(VAE_MEAN, VAE_STD, device)(next(source.in_order(len(rows))))
    return Batch(x_bchw, x_bchw.clone(), progress=0.5)


def real_steps(
    task: VAETask,
    images: np.ndarray,
    rows: np.ndarray,
    chosen: Recipe,
    device: str,
    precision: Precision,
    paths: RunFiles,
) -> Iterator[None]:
    """A real training, event by event as the worker handles them; yields after each step."""
    journal = EventLog(paths.events)
    events = engine.fit(
        task,
        images,
        rows,
        schedule=engine.Schedule(
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            lr=chosen.learning_rate,
            wd=chosen.weight_decay,
        ),
        augment=chosen.augment,
        device=device,
        precision=precision,
        checkpoint_dir=paths.checkpoints,
        mean=VAE_MEAN,
        std=VAE_STD,
        what="pretraining",
    )
    try:
        for event in events:
            if event.kind == "tick":
                yield
            else:
                journal.append(event)
    finally:
        events.close()


def bare_steps(
    task: VAETask,
    images: np.ndarray,
    rows: np.ndarray,
    chosen: Recipe,
    device: str,
    precision: Precision,
) -> Iterator[None]:
    """The engine's own step and nothing else; yields after each."""
    precision.prepare(task, device).train()
    optimiser = make_optimiser(task, chosen.learning_rate, chosen.weight_decay)
    batch = resident_batch(images, rows[: chosen.batch_size], device, precision)
    while True:
        engine.update(task, batch, optimiser, precision, task.loss_scale)
        yield


def rate(
    steps: Iterator[None], seconds: float, device: str, on_step: Callable[[], None] = lambda: None
) -> float:
    """Steps a second over at least `seconds`; on a GPU, until the last one is done."""
    synchronise(device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        next(steps)
        count += 1
        on_step()
    synchronise(device)
    return count / (time.perf_counter() - started)


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def checkpoint_names(paths: RunFiles) -> set[str]:
    return {path.name for path in paths.checkpoints.glob("step-*")}
