"""Random batches from a store larger than memory allows: anonymous memory at its peak against 3 GB.

A store of --images copies of 2,000 generated images is written to --folder (30 GB for 200,000 at
224 px; removed afterwards) and put out of the page cache. Batches then go through the training's
own path (ImageSource, augmentation). Mapped file pages, which the kernel takes back when it needs
them, are reported apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from derm_core.data.synth.generator import generate
from derm_core.errors import DataError

from .memory import GB, Watch, own_memory

TILE = 2000
LIMIT_GB = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=int, default=200_000, help="of the store (default 200,000)"
    )
    parser.add_argument("--size", type=int, default=224, help="pixels (default 224)")
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--folder",
        help="where the store is written for a while (default: the system's temporary folder)",
    )


def write_store(path: Path, images: int, size: int) -> None:
    """A .npy of `images` real rows on disk: generated images, over and over; its pages put out of the cache."""
    needed, free = images * size * size * 3, shutil.disk_usage(path.parent).free
    if needed > free - 2 * GB:
        raise DataError(
            f"The store takes {needed / GB:.1f} GB and {path.parent} has {free / GB:.1f} GB free; name "
            "another place with --folder, or fewer --images."
        )
    tile = np.stack([image for image, _, _ in generate(min(TILE, images), size)])
    with open(path, "wb") as handle:
        np.lib.format.write_array_header_1_0(
            handle, {"descr": "|u1", "fortran_order": False, "shape": (images, size, size, 3)}
        )
        for begin in range(0, images, len(tile)):
            handle.write(tile[: images - begin].data)
        handle.flush()
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(path: Path, batches: int, batch_size: int) -> dict:
    """What a training's process needs for `batches` random batches; to be called in a process of its own."""
    import torch

    from derm_core.config import AugmentConfig
    from derm_core.data.augment import augment
    from derm_core.training.batches import ImageSource

    config = AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2, cast=0.05, mask_ratio=0.3)
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    store = np.load(path, mmap_mode="r")
    source = ImageSource(store, range(len(store)), "cpu")
    order = [rng.choice(len(source), batch_size, replace=False) for _ in range(batches)]
    footprint, read = own_memory(), _read_bytes()
    started = time.perf_counter()
    with Watch(own_memory) as watch:
        for _, images_bchw in source.batches(order):
            augment(images_bchw, config, generator)
    seconds = time.perf_counter() - started
    return {
        "peak_anonymous_gb": watch.peak["anonymous"] / GB,
        "footprint_gb": footprint["anonymous"] / GB,
        "peak_mapped_gb": watch.peak["mapped"] / GB,
        "images_per_s": batches * batch_size / seconds,
        "read_gb": (_read_bytes() - read) / GB,
    }


def _read_bytes() -> int:
    """Bytes that this process has had read from a disk so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path, started = Path(folder) / "images.npy", time.perf_counter()
        write_store(path, args.images, args.size)
        print(
            f"{path.stat().st_size / GB:.1f} GB written in {time.perf_counter() - started:.0f} s",
            file=sys.stderr,
        )
        script = (
            f"import json; from pathlib import Path; from benchmarks.stream import measure; "
            f"print(json.dumps(measure(Path({str(path)!r}), {args.batches}, {args.batch_size})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        measured, file_gb = json.loads(done.stdout), path.stat().st_size / GB
    return {
        "ratio": measured["peak_anonymous_gb"] / LIMIT_GB,
        "limit": 1.0,
        "ours": measured["peak_anonymous_gb"],
        "against": LIMIT_GB,
        "unit": "GB",
        "peer": "a limit on anonymous memory, the libraries' own included",
        **measured,
        "file_gb": file_gb,
        "needed_gb": args.batches * args.batch_size * args.size**2 * 3 / GB,
        "images": args.images,
        "size": args.size,
        "batches": args.batches,
        "batch_size": args.batch_size,
    }
