"""Import, audit, features, heads, statistics, map and data issues at growing numbers of images.

The images are those of the synthetic generator (128 px, classes and lesions of one to three views as
in the synthetic dataset), saved as JPEG of quality 90; `--keep FOLDER` keeps them for the next time.
Each size has a fresh workspace, and each part runs as the product runs it, in a process of its own
that has imported what it needs:

    import       the import at 64 px, whose seconds are also compared with a bare loop that decodes and
                 resizes the same files (`import_ratio`, as in `benchmarks import`), measured before
                 and after it
    audit        classes, groups and leaks of the dataset and its split
    features     one extractor (`--arm`, by default ResNet-18 to stage 3 without training)
    heads        a study's heads: 3 arms x 5 seeds x the grid of 20 settings, widened where a choice lies
                 on its edge (`settings`: how many there were). The arms are those features and twice
                 the same with noise, brought as vectors
    statistics   the rest of that study: intervals, tests, breakdown, verdict
    neighbours   the map's PCA, nearest neighbours and their quality
    map          its UMAP
    data_issues  near-duplicates, label errors, outliers

`stages` has of each, by size: seconds, cpu_s (of all its processes, by their end), peak_mb (anonymous
memory of the process and its descendants beyond what the process has after its imports; libraries of
the descendants count; sampled), disk_mb (growth of the workspace), and exponent, the power of the number
of images with which the seconds grow (of the heads those for one setting). `total_s` is the sum of all
stages at the largest size, `neighbours` how the index that maps of 20,000 images and more have compares
with the exact search on those features. `missed` names the limits that are missed; those of time and
memory are judged from 160,000 images on, growth and import from 10,000. --quick (2 seeds, 5 epochs, no
recall) is for a first look.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derm_core.errors import ConfigError, RunError
from derm_core.machine import cpu_cores

from . import _scale_images as images
from .memory import Watch, descendants

STAGES = (
    "import",
    "audit",
    "features",
    "heads",
    "statistics",
    "neighbours",
    "map",
    "data_issues",
)
PARTS = ("bare", "import", "bare", "audit", "features", "study", "map")
LIMITS = {
    "exponent": 1.15,
    "exponent_map": 1.3,
    "import_ratio": 1.4,
    "peak_mb": 3000.0,
    "total_s": 3600.0,
    "recall": 0.98,
}
JUDGED_FROM, WHOLE_FROM = 10_000, 160_000
SAMPLE_SECONDS = 0.05
MB = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", default="10000,40000,160000", help="numbers of images (10000,40000,160000)"
    )
    parser.add_argument("--keep", help="folder that keeps the generated images for another run")
    parser.add_argument("--arm", default="random", help="the extractor (default random)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 5 epochs, no recall")


def run(args: argparse.Namespace) -> dict:
    sizes = sorted({_number(text) for text in args.images.split(",")})
    if args.keep:
        Path(args.keep).mkdir(parents=True, exist_ok=True)
    measured, recall = [], None
    with tempfile.TemporaryDirectory(dir=args.keep) as scratch:
        folder = Path(args.keep or scratch) / "images"
        views = images.write_images(folder, sizes[-1], cpu_cores())
        for size in sizes:
            parts = Parts(Path(scratch) / str(size), args.arm, args.quick)
            measured.append(one_size(parts, folder, views[:size]))
        if not args.quick:
            [recall] = parts.run("recall")
    return {**summary(sizes, measured, recall), "arm": args.arm, "quick": args.quick}


def _number(text: str) -> int:
    if not text.strip().isdecimal() or not 60 <= int(text) <= 200_000:
        raise ConfigError(f"--images has {text!r}; allowed: numbers from 60 to 200000, by commas.")
    return int(text)


def one_size(
    parts: Parts, generated: Path, views: Sequence[images.View]
) -> dict[str, dict[str, Any]]:
    """What each stage took at one number of images, by its name; `bare` is the mean bare loop."""
    paths = images.write_data_set(parts.folder / "data", generated, views)
    images.read_all(paths)
    stages: dict[str, dict[str, Any]] = {}
    for name in PARTS:
        for stage in parts.run(name):
            print(f"{len(views)} images, {json.dumps(stage)}", file=sys.stderr)
            earlier = stages.get(stage["stage"], stage)
            stages[stage["stage"]] = {
                **stage,
                "seconds": (earlier["seconds"] + stage["seconds"]) / 2,
            }
    return stages


@dataclass(frozen=True)
class Parts:
    """The parts of _scale_stages at one number of images, in a folder with the data set and the workspace."""

    folder: Path
    arm: str
    quick: bool

    def run(self, name: str) -> list[dict[str, Any]]:
        """The stages of one part, each with its peak of memory. Raises RunError where the part fails."""
        command = [
            sys.executable,
            "-m",
            "benchmarks._scale_stages",
            name,
            str(self.folder),
            self.arm,
        ]
        stages = []
        with subprocess.Popen(
            [*command, *(["quick"] if self.quick else [])],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            if child.stdout.readline() == "ready\n":
                libraries = anonymous(child.pid)["anonymous"]
                with Watch(lambda: anonymous(child.pid), SAMPLE_SECONDS) as watch:
                    child.stdin.write("go\n")
                    child.stdin.close()
                    for line in child.stdout:
                        peak = watch.peak["anonymous"] - libraries
                        watch.peak = anonymous(child.pid)  # the next stage has begun
                        stages.append({**json.loads(line), "peak_mb": max(0, peak) / MB})
        if child.returncode or not stages:
            raise RunError(f"The part {name} failed; what it printed says why.")
        return stages


def anonymous(root: int) -> dict[str, int]:
    """Bytes of anonymous pages of a process and its descendants, each for itself."""
    total = 0
    for process in descendants(root):
        try:
            status = (process / "status").read_text(encoding="ascii", errors="replace")
        except OSError:  # it has just ended
            continue
        _, _, after = status.partition("RssAnon:")
        total += int(after.split()[0]) * 1024 if after else 0
    return {"anonymous": total}


def summary(
    sizes: Sequence[int],
    measured: Sequence[Mapping[str, Mapping[str, Any]]],
    recall: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The result of what each size took, by stage."""
    stages = {}
    for stage in STAGES:
        of = [at_size[stage] for at_size in measured]
        growing = [one["seconds"] / one.get("settings", 1) for one in of]
        stages[stage] = {
            "seconds": [one["seconds"] for one in of],
            "cpu_s": [one["cpu_s"] for one in of],
            "peak_mb": [one["peak_mb"] for one in of],
            "disk_mb": [one["disk_bytes"] / MB for one in of],
            "exponent": exponent(sizes, growing),
        }
    stages["heads"]["settings"] = [at_size["heads"]["settings"] for at_size in measured]
    totals = [sum(of["seconds"][i] for of in stages.values()) for i in range(len(sizes))]
    names = ("images", "columns", "recall", "exact_s", "approximate_s")
    result = {
        "sizes": list(sizes),
        "stages": stages,
        "total_s": totals[-1],
        "totals_s": totals,
        "import_ratio": [one["import"]["seconds"] / one["bare"]["seconds"] for one in measured],
        "neighbours": recall and {name: recall[name] for name in names},
        "limits": LIMITS,
    }
    return {**_whole(result), **result, "missed": missed(result)}


def _whole(result: Mapping[str, Any]) -> dict[str, Any]:
    """The total beside its limit, where the largest size is one that it holds for."""
    size, total = result["sizes"][-1], result["total_s"]
    if size < WHOLE_FROM:
        return {}
    return {
        "ratio": total / LIMITS["total_s"],
        "limit": 1.0,
        "better": "lower",
        "ours": total,
        "against": LIMITS["total_s"],
        "unit": "s",
        "peer": f"an hour for all stages from import to data issues, {size:,} images",
    }


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """The power of the size with which the seconds grow, by least squares of logarithms; None of one size."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit([math.log(n) for n in sizes], [math.log(s) for s in seconds], 1)[0])


def missed(result: Mapping[str, Any]) -> list[str]:
    """Which limits the result misses, of those that its sizes allow to judge."""
    sizes, stages, names = result["sizes"], result["stages"], []
    if sizes[0] >= JUDGED_FROM:
        for stage, of in stages.items():
            limit = LIMITS["exponent_map" if stage == "map" else "exponent"]
            if of["exponent"] is not None and of["exponent"] > limit:
                names.append(f"{stage} exponent")
    for size, ratio in zip(sizes, result["import_ratio"], strict=True):
        if size >= JUDGED_FROM and ratio > LIMITS["import_ratio"]:
            names.append(f"import_ratio at {size}")
    if sizes[-1] >= WHOLE_FROM:
        heavy = (stage for stage, of in stages.items() if of["peak_mb"][-1] > LIMITS["peak_mb"])
        names += [f"{stage} peak_mb" for stage in heavy]
        if result["total_s"] > LIMITS["total_s"]:
            names.append("total_s")
    if (of := result["neighbours"]) and min(of["recall"].values()) < LIMITS["recall"]:
        names.append("recall")
    return names
