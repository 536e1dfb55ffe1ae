"""What the ranks of a test do.

python -m torch.distributed.run … -m tests.training.ranks CASE FOLDER
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from derm_core.config import AugmentConfig, BackboneConfig
from derm_core.config.recipes import recipe
from derm_core.errors import RunError
from derm_core.events import Event
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import build_vae
from derm_core.training import process_group
from derm_core.training.distributed import TrainingStopped, World, gather_with_gradient
from derm_core.training.tasks import ClassifyTask, VAETask

from .contrastive import ContrastiveTask, FailingTask
from .fitting import fit

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = dict(
    epochs=2,
    batch_size=19,
    lr=1e-3,
    wd=0.05,
    seed=3,
    log_every=1,
    augment=AugmentConfig(mask_ratio=0.3, brightness=0.2),
)
MORE = {
    "classify": {"layer_decay": 0.7, "ema_decay": 0.9},
    "views": {"views": 2, "ema_decay": 0.9},
}
CONVNEXT = BackboneConfig(architecture="convnext_atto", stage=0)


def vae() -> VAETask:
    return VAETask(build_vae(CONVNEXT, 16, 4, 16, seed=0), recipe("masked", epochs=2))


def views() -> VAETask:
    return VAETask(
        build_vae(CONVNEXT, 16, 4, 16, seed=0),
        recipe("views", epochs=2, free_bits=0.1, projection_dim=8),
    )


def classifier() -> ClassifyTask:
    backbone = build_backbone(CONVNEXT, 0)
    width = backbone.width
    return ClassifyTask(
        Classifier(backbone, make_head(width, 8, 3, 0), torch.zeros(width), torch.ones(width))
    )


TASKS = {"vae": vae, "views": views, "classify": classifier, "contrastive": ContrastiveTask}


def curves(events: Iterable[Event]) -> dict[str, list[float]]:
    """Every series of the training's metrics, step by step."""
    series: dict[str, list[float]] = {}
    for event in events:
        if event.kind == "metric":
            series.setdefault(event.series, []).append(event.value)
    return series


def training(kind: str, folder: Path, **more) -> Iterator[Event]:
    """A training on the images and labels in `folder`."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy") if kind == "classify" else None
    return fit(
        TASKS[kind](), images, range(60), labels, **{**SETTINGS, **MORE.get(kind, {}), **more}
    )


def take_steps(events: Iterator[Event], steps: int) -> None:
    """The first steps of a training, which is then left as a cancelled run leaves it."""
    with contextlib.suppress(TrainingStopped):
        for _ in itertools.islice((e for e in events if e.kind == "tick"), steps):
            pass
        events.close()


def shared(folder: Path, world: World) -> dict:
    """Trainings by all ranks: curves of each kind; stopped after four steps and resumed."""
    result = {kind: curves(training(kind, folder)) for kind in TASKS}
    steps = 4 if world.is_main else 1000
    for name in ("two", "one"):
        take_steps(training("vae", folder, checkpoint_dir=folder / name), steps)
    result["resumed"] = curves(training("vae", folder, checkpoint_dir=folder / "two"))
    try:
        list(training("vae", folder, batch_size=1))
    except RunError as error:
        result["small"] = str(error)
    try:
        gather_with_gradient(torch.ones(19, 2))
    except ValueError as error:
        result["gather"] = str(error)
    result["from_main"] = world.from_main(7 if world.is_main else 8)
    return result


def failing(folder: Path, world: World) -> dict:
    """Rank 1 fails in its second step as FAIL says."""
    images = np.load(folder / "images.npy")
    try:
        list(fit(FailingTask(os.environ["FAIL"]), images, range(60), **SETTINGS))
    except RunError as error:
        return {"error": str(error)}
    return {}


def still(folder: Path, world: World) -> dict:
    """Rank 1 stands still."""
    if not world.is_main:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(600)
    try:
        with world.step():
            pass
    except RunError as error:
        return {"error": str(error)}
    return {}


CASES = {"shared": shared, "failing": failing, "still": still}


def launch(case: str, folder: Path, **environment: str) -> dict:
    """What rank 0 of two returns for a case."""
    result = folder / f"{case}.json"
    result.unlink(missing_ok=True)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *command, "-m", "tests.training.ranks", case, str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.exists(), done.stderr[-3000:]
    return json.loads(result.read_text())


def main(case: str, folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, when a rank has failed
    process_group.STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "600"))
    with process_group.join(0, "cpu") as world:
        result = CASES[case](folder, world)
    if world.is_main:
        (folder / f"{case}.json").write_text(json.dumps(result))
        sys.exit("error" in result)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
