"""The stages of `benchmarks scale`, each in a process that first imports what it will need.

python -m benchmarks._scale_stages PART FOLDER ARM [quick] prints "ready", waits for a line, works, and
prints one JSON object for each stage as it ends: {stage, seconds, cpu_s, disk_bytes, …}. FOLDER holds
`home`, the workspace, and `data`, the data set to import.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from derm_core.processes import end_with

NAME, SIZE = "scale", 64
ARMS = ("a", "b", "c")  # embeddings of these names
NOISE = 0.5  # of a standard deviation, in the arms b and c
MOST_COMPARED = 40_000  # rows whose neighbours are compared with the exact ones
QUICK = {"seeds": (0, 1), "epochs": 5}
CHILDREN = resource.RUSAGE_CHILDREN


class Clock:
    """Prints what each stage took and left in the workspace."""

    def __init__(self, home: Path):
        self.home = home
        print("ready", flush=True)
        sys.stdin.readline()
        self.started = self._now()

    def _now(self) -> dict[str, float]:
        from derm_core.files import disk_bytes

        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, CHILDREN)]
        return {
            "disk_bytes": disk_bytes(self.home),
            "cpu_s": sum(usage.ru_utime + usage.ru_stime for usage in usages),
            "seconds": time.perf_counter(),
        }

    def end(self, stage: str, **facts: Any) -> None:
        """The stage ends here, and the next begins. Processes count in the stage in which they end."""
        seconds = time.perf_counter()
        now = self._now() | {"seconds": seconds}
        grown = {name: now[name] - before for name, before in self.started.items()}
        print(json.dumps({"stage": stage, **grown, **facts}), flush=True)
        self.started = now | {"seconds": time.perf_counter()}


def _bare(folder: Path, arm: str, quick: bool) -> None:
    """The bare loop over the same files, which forks: in a process without threads."""
    from benchmarks.import_ import time_bare
    from derm_core.data.layouts import find_layout
    from derm_core.data.listing import read_listing
    from derm_core.machine import cpu_cores

    paths = [image.path for image in read_listing(find_layout(folder / "data")).images]
    clock = Clock(folder / "home")
    time_bare(paths, cpu_cores())
    clock.end("bare")


def _import(folder: Path, arm: str, quick: bool) -> None:
    from derm_core.data.importers import import_dataset
    from derm_core.workspace import Workspace

    clock = Clock(folder / "home")
    import_dataset(Workspace.open(folder / "home"), folder / "data", NAME, sizes=(SIZE,))
    clock.end("import")


def _audit(folder: Path, arm: str, quick: bool) -> None:
    from derm_core.data.audit import audit
    from derm_core.data.manifest import load_dataset
    from derm_core.data.used_images import SplitRule, used_images
    from derm_core.workspace import Workspace

    clock = Clock(folder / "home")
    dataset = load_dataset(Workspace.open(folder / "home"), NAME)
    used = used_images(dataset, SplitRule())
    audit(dataset.at(used.rows), used.split)
    clock.end("audit")


def _features(folder: Path, arm: str, quick: bool) -> None:
    """Features of one arm; then, not timed, vectors for the three arms of the study."""
    import numpy as np

    from derm_core.config import EmbedConfig
    from derm_core.data.embedding_files import BroughtEmbeddings
    from derm_core.data.embeddings import register_embeddings
    from derm_core.data.manifest import load_dataset
    from derm_core.data.store import open_store
    from derm_core.study.arms import build_extractors
    from derm_core.study.features import extract, finish
    from derm_core.workspace import Workspace

    clock = Clock(folder / "home")
    workspace = Workspace.open(folder / "home")
    dataset = load_dataset(workspace, NAME)
    [extractor] = build_extractors(arm, EmbedConfig(dataset=NAME, arm=arm), workspace)
    store = open_store(workspace, dataset, SIZE)
    features = finish(extract(extractor, store, workspace, NAME, device="cpu"))
    clock.end("features", columns=features.shape[1])
    rng, spread = np.random.default_rng(0), NOISE * features.std(0)
    for name in ARMS:
        noise = rng.normal(size=features.shape) * spread if name != ARMS[0] else 0
        vectors = (features + noise).astype(np.float32)
        brought = BroughtEmbeddings(np.arange(len(features)), vectors, {}, ())
        register_embeddings(workspace, dataset, name, brought, f"{name}.npz")


def _study(folder: Path, arm: str, quick: bool) -> None:
    """The heads of three arms, then the statistics: a study as its worker runs it."""
    from derm_core.config import StudyConfig
    from derm_core.study.protocol import study
    from derm_core.workspace import Workspace

    clock = Clock(folder / "home")
    workspace = Workspace.open(folder / "home")
    arms = tuple(f"embeddings:{name}" for name in ARMS)
    config = StudyConfig(dataset=NAME, arms=arms, device="cpu", **(QUICK if quick else {}))
    heads = 0
    for event in study(config, workspace, workspace.run("study-scale")):
        message = event.value if event.kind == "log" else ""
        if training := re.match(r"Training (\d+) heads", message):
            heads += int(training[1])
        if message.startswith("Testing"):
            clock.end("heads", settings=heads // (len(ARMS) * len(config.seeds)))
    clock.end("statistics")


def _map(folder: Path, arm: str, quick: bool) -> None:
    """PCA and neighbours, UMAP, then the data issues: a map as its worker runs it; its features are there."""
    from derm_core.config import EmbedConfig
    from derm_core.insight import embed  # noqa: F401  # what the job imports once UMAP's process has started
    from derm_core.insight.map_run import draw_map
    from derm_core.workspace import Workspace

    clock = Clock(folder / "home")
    workspace = Workspace.open(folder / "home")
    config = EmbedConfig(dataset=NAME, arm=arm, device="cpu")
    for event in draw_map(config, workspace, workspace.run("embed-scale").create()):
        message = event.value if event.kind == "log" else ""
        if message.startswith("The PCA is ready"):
            clock.end("neighbours")
        if message.endswith("data issues follow."):
            clock.end("map")
    clock.end("data_issues")


def _recall(folder: Path, arm: str, quick: bool) -> None:
    """Which share of the true neighbours the approximate index finds, among the first rows of the features."""
    import numpy as np

    from derm_core.data.embeddings import load_embeddings
    from derm_core.data.manifest import load_dataset
    from derm_core.stats.feature_space import standardise
    from derm_core.workspace import Workspace

    from ._scale_recall import compare

    clock = Clock(folder / "home")
    workspace = Workspace.open(folder / "home")
    features = load_embeddings(workspace, load_dataset(workspace, NAME), ARMS[0])[:MOST_COMPARED]
    space = standardise(features, np.ones(len(features), bool))
    clock.end("recall", **compare(space))


PARTS = {
    "bare": _bare,
    "import": _import,
    "audit": _audit,
    "features": _features,
    "study": _study,
    "map": _map,
    "recall": _recall,
}

if __name__ == "__main__":
    end_with(os.getppid())
    PARTS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], sys.argv[4:] == ["quick"])
