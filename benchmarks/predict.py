"""One upload through all shipped models against its decoding and a bare forward pass of each; at most 1.2 times.

The upload is a JPEG in memory, taken the way of the page (bundles.predictor). The bare side is
Pillow alone (open, decode, the centre square to the models' size, bicubic) and each network once on
an input that lies ready. The ratio is the largest of the photograph
sizes tried, and counts what every answer needs: gate, quality, probabilities. "with_checks" also
counts what a card may carry beyond that (outlier scores with the VAE's reconstruction, nearest
training images), each size's own ratio.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from derm_core.bundles.bundle import Bundle
from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import THREADS, Predictor, load_predictors
from derm_core.workspace import Workspace

LIMIT = 1.2
PHOTOGRAPHS = ((600, 450), (1200, 900), (4000, 3000))
TIMES = 10  # uploads of each size in one repeat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--times",
        type=int,
        default=TIMES,
        help=f"uploads of each size in one repeat (default {TIMES})",
    )


def run(args: argparse.Namespace) -> dict:
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        predictors = load_predictors(workspace)
        plain = {
            name: Predictor(without_checks(predictor.bundle))
            for name, predictor in predictors.items()
        }
        rows = [
            compare(workspace, plain, predictors, width, height, args.repeats * args.times)
            for width, height in PHOTOGRAPHS
        ]
    worst = max(rows, key=lambda row: row["ratio"])
    photograph_size = f"{worst['width']} x {worst['height']}"
    return {
        "ratio": worst["ratio"],
        "limit": LIMIT,
        "better": "lower",
        "ours": worst["ours"],
        "against": worst["against"],
        "unit": "ms",
        "peer": f"Pillow alone and one bare forward pass a model, JPEG of {photograph_size}",
        "models": list(predictors),
        "sizes": rows,
        "threads": THREADS,
        "repeats": args.repeats,
        "times": args.times,
    }


def without_checks(bundle: Bundle) -> Bundle:
    """The bundle with a card that carries neither outlier statistics nor training images."""
    return replace(bundle, card=replace(bundle.card, outlier=None, reference=None), reference=None)


def compare(
    workspace: Workspace,
    plain: dict[str, Predictor],
    predictors: dict[str, Predictor],
    width: int,
    height: int,
    times: int,
) -> dict:
    """Median milliseconds of both sides for one size of photograph, alternating."""
    data = photograph(width, height)
    sizes = {predictor.size for predictor in predictors.values()}
    ready = {name: torch.randn(1, 3, p.size, p.size) for name, p in predictors.items()}

    def ours() -> None:
        predict_images(workspace, None, [("photograph.jpg", data)], plain)

    def checked() -> None:
        predict_images(workspace, None, [("photograph.jpg", data)], predictors)

    def pixels() -> None:
        for size in sizes:
            bare_pixels(data, size)

    @torch.inference_mode()
    def forward() -> None:
        for name, predictor in predictors.items():
            predictor.bundle.classifier(ready[name])

    for work in (ours, pixels, forward, checked):
        work()
    measured = [
        tuple(milliseconds(work) for work in (ours, pixels, forward, checked)) for _ in range(times)
    ]
    whole, decoding, passing, full = (statistics.median(column) for column in zip(*measured))
    against = statistics.median(row[1] + row[2] for row in measured)
    print(
        f"{width} x {height}: {whole:.1f} ms, bare {decoding:.1f} + {passing:.1f} ms",
        file=sys.stderr,
    )
    return {
        "width": width,
        "height": height,
        "bytes": len(data),
        "ratio": whole / against,
        "ours": whole,
        "against": against,
        "decoding": decoding,
        "forward": passing,
        "with_checks": full / against,
    }


def photograph(width: int, height: int) -> bytes:
    """A JPEG of smooth colours with grain, the size and about the bytes of a phone's photograph."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 220, (9, 12, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) + rng.normal(
        0, 4, (height, width, 1)
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def bare_pixels(data: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        return np.asarray(
            image.resize(
                (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
            )
        )


def milliseconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
