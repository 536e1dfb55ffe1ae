"""Generating the synthetic dataset, 2,000 images at 128 px; at most 30 s on two cores."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time

from derm_core.data.synth.dataset import IMAGES, make_synth
from derm_core.data.synth.generator import SIZE
from derm_core.workspace import Workspace

LIMIT_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, default=2, help="processes that generate (default 2)"
    )


def run(args: argparse.Namespace) -> dict:
    """Seconds from an empty workspace to a dataset that can be loaded, processes' start included."""
    seconds = []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace.open(folder)
            started = time.perf_counter()
            make_synth(workspace, processes=args.processes)
            seconds.append(time.perf_counter() - started)
        print(f"generated in {seconds[-1]:.1f} s", file=sys.stderr)
    middle = statistics.median(seconds)
    return {
        "ratio": middle / LIMIT_SECONDS,
        "limit": 1.0,
        "ours": middle,
        "against": LIMIT_SECONDS,
        "unit": "s",
        "peer": "the limit of 30 s for 2,000 images at 128 px on two cores",
        "images": IMAGES,
        "size": SIZE,
        "images_per_second": IMAGES / middle,
        "processes": args.processes,
        "repeats": args.repeats,
    }
