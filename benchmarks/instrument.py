"""The statistics put to questions whose answers are known: false positives, power, coverage, leaks, shortcuts.

As SCIENCE.md's table says, on synthetic features (study/instrument.py), 2,000 repeats in the long
form. Every repeat is a line of --rows, so that an interrupted run goes on where it stopped. The
ratio is that of the A/A false positives and the 5 % they ought to be; each rate's limits are ± 3
binomial standard errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks._instrument_images import leak_named, shortcut_reliance
from benchmarks._instrument_statistics import ALPHA, Settings, repeat, summarise

QUICK, LONG, CHUNK = 40, 2000, 5
QUICK_WORLDS, WORLDS = 3, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeats=LONG)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} repeats: limits too wide to prove much"
    )
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core"
    )
    parser.add_argument(
        "--rows", type=Path, help="JSON lines to go on from and to append to (default: not kept)"
    )


def run(args: argparse.Namespace) -> dict:
    """All answers of the instrument; the key "holds" says whether each lies within its limits."""
    settings, wanted = Settings(), QUICK if args.quick else args.repeats
    rows = known(args.rows, settings)
    missing = [number for number in range(wanted) if number not in rows]
    for row in repeats(missing, settings, args.processes):
        rows[row["repeat"]] = row
        if args.rows:
            with args.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"settings": dataclasses.asdict(settings)} | row) + "\n")
    summary = summarise([rows[number] for number in range(wanted)])
    rates = {
        key: value["holds"]
        for key, value in summary.items()
        if isinstance(value, dict) and "holds" in value
    }
    named, reliance = leak_named(), shortcut_reliance(QUICK_WORLDS if args.quick else WORLDS)
    false_positives, shuffled = (
        summary["aa_false_positive_rate"],
        summary["shuffle_balanced_accuracy"],
    )
    return {
        "ratio": false_positives["value"] / ALPHA,
        "limit": false_positives["high"] / ALPHA,
        "ours": false_positives["value"],
        "against": ALPHA,
        "unit": "share of repeats",
        "peer": "the 5 % of false positives that a 95 % interval promises where two arms are the same",
        "aa_false_positive_rate": false_positives["value"],
        "shuffle_balanced_accuracy": shuffled["balanced_accuracy"],
        "leak_named": named,
        "shortcut_reliance": reliance["reliance"],
        "effect_power": summary["effect_power"]["value"],
        "interval_coverage": summary["interval_coverage"]["value"],
        "holds": {"leak_named": named, "shortcut_reliance": reliance["holds"], **rates},
        "details": {**summary, "shortcut_reliance": reliance},
        "repeats": wanted,
        "quick": args.quick,
        "settings": dataclasses.asdict(settings),
    }


def known(path: Path | None, settings: Settings) -> dict[int, dict]:
    """Repeats of the same settings that an earlier run has left; a line that was cut off is passed over."""
    rows = {}
    if path and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row.pop("settings", None) == dataclasses.asdict(settings):
                rows[row["repeat"]] = row
    return rows


def repeats(numbers: list[int], settings: Settings, processes: int) -> Iterator[dict]:
    """Rows in the order in which they are done, from processes of one thread each."""
    started, done = time.monotonic(), 0
    chunks = [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=one_thread
        ) as pool:
            for rows in pool.map(work, chunks, [settings] * len(chunks)):
                yield from rows
                done += len(rows)
                left = (time.monotonic() - started) / done * (len(numbers) - done)
                print(
                    f"{done} of {len(numbers)} repeats, {left / 60:.1f} min left", file=sys.stderr
                )
    finally:
        os.environ.pop("OMP_NUM_THREADS") if threads is None else os.environ.update(
            OMP_NUM_THREADS=threads
        )


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def work(numbers: list[int], settings: Settings) -> list[dict]:
    return [repeat(number, settings) for number in numbers]
