"""Import at 64 px against a bare PIL decode-and-resize loop over the same files; at most 1.4 times."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from derm_core.data.importers import import_dataset
from derm_core.data.layouts import find_layout
from derm_core.data.listing import read_listing
from derm_core.machine import cpu_cores
from derm_core.workspace import Workspace

SIZE = 64
CHUNK = 64
LIMIT = 1.4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", required=True, help="a data set to import, such as the folder of HAM10000"
    )
    parser.add_argument(
        "--processes", type=int, default=cpu_cores(), help="for both sides (default: cores)"
    )


def bare_loop(paths: list[str]) -> int:
    """What nobody can avoid: decode, to RGB, resize, to an array."""
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return len(paths)


def time_bare(paths: list[str], processes: int) -> float:
    """Seconds of the bare loop over all files, starting its processes included."""
    started = time.perf_counter()
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        assert sum(pool.imap_unordered(bare_loop, chunks)) == len(paths)
    return time.perf_counter() - started


def time_import(data: str, processes: int) -> float:
    """Seconds of a whole import into a fresh workspace: table, pixels, groups, manifest, store."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        started = time.perf_counter()
        import_dataset(workspace, data, "measured", sizes=(SIZE,), processes=processes)
        return time.perf_counter() - started


def run(args: argparse.Namespace) -> dict:
    paths = [image.path for image in read_listing(find_layout(Path(args.data))).images]
    ours, against = [], []
    time_bare(paths, args.processes)  # files in the page cache for both sides
    time_import(args.data, args.processes)
    for _ in range(args.repeats):
        against.append(time_bare(paths, args.processes))
        ours.append(time_import(args.data, args.processes))
        print(f"import {ours[-1]:.2f} s, bare loop {against[-1]:.2f} s", file=sys.stderr)
    return {
        "ratio": statistics.median(ours) / statistics.median(against),
        "limit": LIMIT,
        "ours": statistics.median(ours),
        "against": statistics.median(against),
        "unit": "s",
        "peer": "a bare PIL loop (open, RGB, bicubic resize) over the same files, same number of processes",
        "images": len(paths),
        "size": SIZE,
        "processes": args.processes,
        "repeats": args.repeats,
    }
