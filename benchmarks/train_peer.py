"""The same VAE, images, batch size and epochs through our engine, pythae's trainer and an ImageFolder loop.

At least 2.5 times pythae's images/s on a CPU with AVX512-BF16 (1.4 without). The ratio is against
pythae; the ordinary loop over PNG files is reported beside it. No side augments, so that all see
the same images; ours also writes events and checkpoints. Peers compute as they do by default, in
float32. Each side runs by itself, alternating; pythae in an environment of its own, made by

    python3.11 -m venv PEER && PEER/bin/pip install -r benchmarks/requirements.txt
    python -m benchmarks train-peer --peer-python PEER/bin/python --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.train import store_images
from derm_core.config import BackboneConfig
from derm_core.config.recipes import recipe
from derm_core.errors import RunError
from derm_core.events import EventLog
from derm_core.machine import cpu_flags, pick_device
from derm_core.nets.vae import VAE_MEAN, VAE_STD, build_vae
from derm_core.training.engine import Schedule, fit
from derm_core.training.precision import default_precision
from derm_core.training.tasks import VAETask
from derm_core.workspace import RunFiles

REPOSITORY = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python that has pythae (default: this one)"
    )
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=2048, help="in an epoch (default 2048)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--workers", type=int, default=2, help="of the ImageFolder's loader (default 2)"
    )
    parser.add_argument("--device", default="auto")


def run(args: argparse.Namespace) -> dict:
    """Images/s of the three, one after another in each repeat; ratios are of the medians."""
    device, chosen = (
        pick_device(args.device),
        recipe("paper", batch_size=args.batch_size, epochs=args.epochs),
    )
    check_peer(args.peer_python)
    args.images -= args.images % args.batch_size  # whole batches: all sides see every image
    if not args.images:
        raise RunError(f"--images is less than one batch of {args.batch_size}; use more images.")
    rates: dict[str, list[float]] = {"ours": [], "pythae": [], "imagefolder": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = store_images(folder, min(1000, args.images), args.size)
        given = peers_settings(args, chosen, images, folder, device)
        for number in range(args.repeats):
            results = {
                "ours": train_ours(given, images, chosen, args, device, folder / f"run{number}"),
                "pythae": peer(args.peer_python, "_pythae_peer", given),
                "imagefolder": peer(sys.executable, "_imagefolder_peer", given),
            }
            # ours has one parameter more: the learned noise scale
            if results["pythae"]["parameters"] != results["ours"]["parameters"] - 1:
                raise RunError(
                    "pythae's model and ours do not have the same parameters; the comparison is void."
                )
            for side, result in results.items():
                rates[side].append(args.images * args.epochs / result["seconds"])
            print(
                ", ".join(f"{side} {values[-1]:.1f}" for side, values in rates.items()),
                "images/s",
                file=sys.stderr,
            )
    middle = {side: statistics.median(values) for side, values in rates.items()}
    fast = device != "cpu" or "avx512_bf16" in cpu_flags()
    return {
        "ratio": middle["ours"] / middle["pythae"],
        "limit": 2.5 if fast else 1.4,
        "better": "higher",
        "ours": middle["ours"],
        "against": middle["pythae"],
        "unit": "images/s",
        "peer": "pythae's BaseTrainer around the same encoder and decoder",
        "peer_versions": results["pythae"]["versions"],
        "imagefolder": middle["imagefolder"],
        "ratio_imagefolder": middle["ours"] / middle["imagefolder"],
        "architecture": args.architecture,
        "stage": args.stage,
        "size": args.size,
        "batch_size": args.batch_size,
        "images": args.images,
        "epochs": args.epochs,
        "precision": results["ours"]["precision"],
        "device": device,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "all": rates,
    }


def peers_settings(
    args: argparse.Namespace, chosen, images: np.ndarray, folder: Path, device: str
) -> dict:
    """What both peers are told; writes the images as a .npy file and as an ImageFolder of PNG files."""
    np.save(folder / "images.npy", images)
    for number in range(args.images):
        path = folder / "files" / f"class{number % 2}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number % len(images)]).save(path)
    return {
        "store": str(folder / "images.npy"),
        "folder": str(folder / "files"),
        "images": args.images,
        "size": args.size,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "workers": args.workers,
        "learning_rate": chosen.learning_rate,
        "weight_decay": chosen.weight_decay,
        "device": device,
        "latent_dim": chosen.latent_dim,
        "decoder_width": chosen.decoder_width,
        "backbone": {"architecture": args.architecture, "stage": args.stage},
    }


def train_ours(
    given: dict, images: np.ndarray, chosen, args: argparse.Namespace, device: str, folder: Path
) -> dict:
    """A training as a run makes it, reproducible mode, validation apart: seconds, parameters, precision."""
    paths, precision = RunFiles(folder).create(), default_precision(args.architecture, device)
    vae = build_vae(
        BackboneConfig(**given["backbone"]),
        args.size,
        chosen.latent_dim,
        chosen.decoder_width,
        seed=0,
    )
    task, journal = VAETask(vae, chosen), EventLog(paths.events)
    started = time.perf_counter()
    for event in fit(
        task,
        images,
        np.resize(np.arange(len(images)), args.images),
        schedule=Schedule(
            epochs=args.epochs,
            batch_size=args.batch_size,
            lr=chosen.learning_rate,
            wd=chosen.weight_decay,
        ),
        device=device,
        precision=precision,
        checkpoint_dir=paths.checkpoints,
        mean=VAE_MEAN,
        std=VAE_STD,
    ):
        if event.kind != "tick":
            journal.append(event)
    if device != "cpu":
        torch.cuda.synchronize()
    return {
        "seconds": time.perf_counter() - started,
        "parameters": sum(p.numel() for p in task.parameters()),
        "precision": precision.to_dict(),
    }


def check_peer(python: str) -> None:
    """Raise RunError where `python` cannot import pythae."""
    try:
        done = subprocess.run([python, "-c", "import pythae"], capture_output=True, text=True)
    except OSError as error:
        raise RunError(
            f"--peer-python {python} cannot be started ({error.strerror}); name a Python that has "
            "pythae."
        ) from error
    if done.returncode:
        raise RunError(
            f"{python} has no pythae; make an environment with benchmarks/requirements.txt and name its "
            "Python with --peer-python."
        )


def peer(python: str, module: str, given: dict) -> dict:
    """The result of one training by a peer, in a process of its own."""
    done = subprocess.run(
        [python, "-m", f"benchmarks.{module}", json.dumps(given)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RunError(
            f"The peer {module.strip('_')} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])
