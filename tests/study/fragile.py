"""A network that writes down what it computes, and whose process may be killed in the middle, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from torch import Tensor

from derm_core.config import BackboneConfig
from derm_core.nets.backbone import Backbone, build_backbone

SMALL = BackboneConfig(architecture="resnet18", stage=1)


class Fragile(Backbone):
    """folder: where each process has a file of the sizes of its batches. lives: of a process in batches."""

    folder: str
    lives: int = 1000

    def pooled(self, x_bchw: Tensor) -> Tensor:
        own = Path(self.folder, str(os.getpid()))
        with own.open("a") as file:
            file.write(f"{len(x_bchw)}\n")
        if len(batches(own)) > self.lives and first_to_make(Path(self.folder, "killed")):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pooled(x_bchw)


def fragile(folder: Path, lives: int = 1000) -> Fragile:
    """The network of build_backbone(SMALL, 0). lives: in the batch after so many one process is killed."""
    network = build_backbone(SMALL, 0)
    network.__class__ = Fragile
    network.folder, network.lives = str(folder), lives
    return network


def batches(file: Path) -> list[int]:
    return list(map(int, file.read_text().split()))


def first_to_make(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
