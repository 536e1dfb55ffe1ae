"""timm itself, and its pretrained models as a table that needs no timm: name, parameters, pixels, memory, licence.

`timm_models.csv` is written by `python -m tools.timm_table` from the registry of the timm that the
requirements name.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .corpora import pretraining_of

TABLE = Path(__file__).with_name("timm_models.csv")


def timm_library() -> Any:
    """The package timm, imported when it is first needed.

    It loads torchvision and PyTorch's compiler, which takes longer than PyTorch itself.
    """
    import timm

    return timm


@dataclass(frozen=True)
class TimmModel:
    """A pretrained model of timm.

    Args:
        name: architecture and tag, "resnet18.tv_in1k".
        parameters: of the network without its classifier.
        pixels: side of the images of its pretrained configuration.
        forward_bytes: of a forward pass of one image in float32, beside the weights; an upper estimate
            where attention is computed piecewise.
        license: as timm states it; empty where it states none.
    """

    name: str
    parameters: int
    pixels: int
    forward_bytes: float
    license: str

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return self.name.partition(".")[0]

    @property
    def pretrained_on(self) -> str:
        """What its tag says of the images of its pretraining."""
        return pretraining_of(self.name.partition(".")[2], self.architecture)


@functools.cache
def timm_models() -> dict[str, TimmModel]:
    """{name: model} in alphabetical order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [
            TimmModel(
                name=row["name"],
                parameters=int(row["parameters"]),
                pixels=int(row["pixels"]),
                forward_bytes=1e6 * float(row["forward_mb"]),
                license=row["license"],
            )
            for row in csv.DictReader(file)
        ]
    return {row.name: row for row in rows}


@functools.cache
def timm_architectures() -> dict[str, TimmModel]:
    """{architecture: its first model}."""
    first: dict[str, TimmModel] = {}
    for model in timm_models().values():
        first.setdefault(model.architecture, model)
    return first
