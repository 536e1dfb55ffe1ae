"""The statistics put to questions whose answers are known: false positives, power, coverage, leaks, shortcuts.

On synthetic features, of one split (_instrument_statistics.py) and in folds (_instrument_folds.py), 2,000
repeats in the long form. Every repeat is a line of --rows, so that an interrupted run goes on where
it stopped. The
ratio is that of the A/A false positives and the 5 % they ought to be; each rate's limits are ± 3
binomial standard errors.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import _instrument_folds
from benchmarks._instrument_folds import FoldSettings
from benchmarks._instrument_images import leak_named, shortcut_reliance
from benchmarks._instrument_statistics import ALPHA, Settings, repeat, summarise
from derm_core.records import to_json

QUICK, LONG, CHUNK = 40, 2000, 5
QUICK_WORLDS, WORLDS = 3, 20
IN_FOLDS = (
    "false_positive_rate",
    "false_positive_rate_10pct",
    "interval_coverage",
    "gap_coverage",
    "repeats",
)
AnySettings = Settings | FoldSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeats=LONG)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} repeats: limits too wide to prove much"
    )
    parser.add_argument(
        "--fold-repeats", type=int, help="repeats in folds, which take longer (default: --repeats)"
    )
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core"
    )
    parser.add_argument(
        "--rows", type=Path, help="JSON lines to go on from and to append to (default: not kept)"
    )


def run(args: argparse.Namespace) -> dict:
    """All answers of the instrument; the key "holds" says whether each lies within its limits."""
    settings, of_folds = Settings(), FoldSettings()
    wanted = QUICK if args.quick else args.repeats
    summary = summarise(all_rows(args, settings, wanted))
    in_folds = QUICK if args.quick else args.fold_repeats or wanted
    folds = _instrument_folds.summarise(all_rows(args, of_folds, in_folds))
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
        "interval_coverage_by_metric": {
            m: one["value"] for m, one in summary["also"]["interval_coverage_by_metric"].items()
        },
        "folds": {key: folds[key] for key in IN_FOLDS},
        "holds": {
            "leak_named": named,
            "shortcut_reliance": reliance["holds"],
            **rates,
            "interval_coverage_by_metric": all(
                one["holds"] for one in summary["also"]["interval_coverage_by_metric"].values()
            ),
            **{f"folds, {name}": holds for name, holds in folds["holds"].items()},
        },
        "details": {**summary, "shortcut_reliance": reliance, "folds": folds["details"]},
        "repeats": wanted,
        "quick": args.quick,
        "settings": {**plain(settings), "folds": plain(of_folds)},
    }


def all_rows(args: argparse.Namespace, settings: AnySettings, wanted: int) -> list[dict]:
    """The repeats of one kind: those of --rows, and the missing ones, made and appended to it."""
    rows = known(args.rows, settings)
    missing = [number for number in range(wanted) if number not in rows]
    for row in repeats(missing, settings, args.processes):
        rows[row["repeat"]] = row
        if args.rows:
            with args.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"settings": plain(settings)} | row) + "\n")
    return [rows[number] for number in range(wanted)]


def plain(settings: AnySettings) -> dict:
    """Settings as they are read back from a file."""
    values: dict = to_json(settings)
    return values


def known(path: Path | None, settings: AnySettings) -> dict[int, dict]:
    """Repeats of the same settings that an earlier run has left; a line that was cut off is passed over."""
    rows = {}
    if path and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row.pop("settings", None) == plain(settings):
                rows[row["repeat"]] = row
    return rows


def repeats(numbers: list[int], settings: AnySettings, processes: int) -> Iterator[dict]:
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


def work(numbers: list[int], settings: AnySettings) -> list[dict]:
    if isinstance(settings, FoldSettings):
        return [_instrument_folds.repeat(number, settings) for number in numbers]
    return [repeat(number, settings) for number in numbers]
