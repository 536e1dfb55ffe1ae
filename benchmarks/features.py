"""Features of a whole dataset, from its store to the cache file, against bare forward passes; at least 0.92.

The bare side passes one resident, normalised batch through the same network again and again, with
the batch size that is fastest of several on this machine, measured first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from derm_core.config import BackboneConfig
from derm_core.data.store import Store, open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.machine import pick_device
from derm_core.nets.backbone import build_backbone, make_extractor
from derm_core.study.feature_compute import exact_convolutions
from derm_core.study.feature_memory import batch_size
from derm_core.study.features import extract, finish
from derm_core.workspace import Workspace

LIMIT = 0.92
GENERATED = 200  # images; the store repeats them
BATCHES = {"cpu": (16, 32, 64, 128, 256), "cuda": (128, 256, 512, 1024)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--device", default="auto")


def run(args: argparse.Namespace) -> dict:
    device = pick_device(args.device)
    backbone = build_backbone(BackboneConfig(architecture=args.architecture, stage=args.stage), 0)
    extractor = make_extractor("random", backbone, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        store = tiled_store(workspace, Path(folder) / "tiled.npy", args.images, args.size)
        tried = {
            batch: max(
                bare(backbone, batch, args.size, max(512, 4 * batch), device) for _ in range(3)
            )
            for batch in BATCHES[device.partition(":")[0]]
        }
        best = max(tried, key=tried.__getitem__)
        ours, against = [], []
        for _ in range(args.repeats):
            against.append(bare(backbone, best, args.size, args.images, device))
            ours.append(whole(extractor, store, workspace, device))
            print(f"features {ours[-1]:.0f}, bare {against[-1]:.0f} images/s", file=sys.stderr)
    middle, peer = statistics.median(ours), statistics.median(against)
    return {
        "ratio": middle / peer,
        "limit": LIMIT,
        "better": "higher",
        "ours": middle,
        "against": peer,
        "unit": "images/s",
        "peer": f"forward passes of one resident batch of {best}, the best of {list(tried)}",
        "tried": tried,
        "images": args.images,
        "size": args.size,
        "network": [args.architecture, args.stage],
        "batch": batch_size(device, args.size),
        "device": device,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
    }


def tiled_store(workspace: Workspace, path: Path, images: int, size: int) -> Store:
    """A memory-mapped store of `images` rows that repeats a few synthetic images."""
    generated = open_store(
        workspace, make_synth(workspace, "generated", images=GENERATED, size=max(32, size)), size
    ).images
    tiled = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(images, *generated.shape[1:])
    )
    for begin in range(0, images, GENERATED):
        tiled[begin : begin + GENERATED] = generated[: images - begin]
    tiled.flush()
    return Store(size, np.load(path, mmap_mode="r"), f"tiled {images} {size}")


def whole(extractor, store: Store, workspace: Workspace, device: str) -> float:
    """Images/s from the store to the cache file, which is removed again."""
    started = time.perf_counter()
    finish(extract(extractor, store, workspace, "tiled", device=device))
    seconds = time.perf_counter() - started
    for path in (workspace.cache / "features").glob("*.npy"):
        path.unlink()
    return len(store.images) / seconds


@torch.inference_mode()
def bare(backbone, batch: int, size: int, images: int, device: str) -> float:
    """Images/s of forward passes over one batch that lies ready on the device."""
    backbone.to(device=device, memory_format=torch.channels_last).eval()
    x_bchw = torch.randn(batch, 3, size, size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    passes = max(1, images // batch)
    with exact_convolutions():
        backbone.pooled(x_bchw)
        wait(device)
        started = time.perf_counter()
        for _ in range(passes):
            backbone.pooled(x_bchw)
        wait(device)
    return passes * batch / (time.perf_counter() - started)


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
