"""What several kinds of run share: the backbone, augmentation, and settings of data and machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from ..formatting import count
from ..records import Checked, Range, Rule, require

ARMS = ("vae", "imagenet", "random", "both", "scratch", "colour", "metadata")

Mode = Literal["reproducible", "fast"]
Splits = Literal["grouped", "official"]
Draw = Literal["by_split", "before_split"]
SIZES = Range(16, 1024)
InputSize = Annotated[int, SIZES]
ImageLimit = Annotated[int, Range(20)]
Epochs = Annotated[int, Range(1)]
BatchSize = Annotated[int, Range(2)]
LearningRate = Annotated[float, Range(0, 1, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
DeviceCount = Annotated[int, Range(1, 64)]
Device = Annotated[
    str,
    Rule(
        lambda device: device in ("auto", "cpu") or device.startswith("cuda"),
        "'auto', 'cpu', 'cuda' or 'cuda:N'",
    ),
]
FoldCount = Annotated[
    int, Rule(lambda folds: folds == 0 or 2 <= folds <= 20, "0 for none, else 2 to 20")
]

Sha256 = Annotated[
    str, Rule(lambda text: re.fullmatch("[0-9a-f]{64}", text) is not None, "64 hexadecimal digits")
]


def at_least_one(text: str) -> Rule:
    """A list of one or more different entries; `text` says so."""
    return Rule(lambda values: 1 <= len(values) == len(set(values)), text)


def check_fold(folds: int, fold: int | None, splits: Splits) -> None:
    """Raise ConfigError unless `fold` is None or counts from 1 to `folds`, and `splits` allows folds."""
    require(fold is None or 1 <= fold <= folds, "fold", fold, "nothing, or 1 to folds")
    require(
        not folds or splits == "grouped",
        "splits",
        splits,
        "'grouped' in folds, which divide all images anew",
    )


@dataclass(frozen=True, order=True)
class ImageForm:
    """How images are decoded for a network: side in pixels, and the antialiased filter that resizes them.

    interpolation: bicubic, as for every network of the study's own, or as a pretrained configuration
    names it: bilinear or lanczos.
    """

    size: int
    interpolation: str = "bicubic"

    def __str__(self) -> str:
        return f"{self.size}" + (
            f"-{self.interpolation}" if self.interpolation != "bicubic" else ""
        )


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(Checked):
    """A timm architecture up to a stage.

    Attributes:
        architecture: the network.
        stage: last stage that is used, an index into timm's feature_info.
    """

    architecture: Annotated[str, Rule(bool, "a timm model name")] = "resnet18"
    stage: Annotated[int, Range(0, 9)] = 3


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Checked):
    """Ranges from which every image of a batch draws its own parameters.

    Attributes:
        flip: horizontal and vertical, each with probability 1/2.
        rotate_degrees: largest angle, in degrees.
        scale_min: smallest share (by side) of the image that a view shows.
        brightness, contrast, saturation: largest relative change.
        cast: largest relative change of one colour channel against the others.
        mask_ratio: share of square patches that are hidden.
        mask_patch: side of a patch, in pixels.
    """

    flip: bool = True
    rotate_degrees: Annotated[float, Range(0, 180)] = 180.0
    scale_min: Annotated[float, Range(0.1, 1)] = 0.8
    brightness: ShareBelowOne = 0.0
    contrast: ShareBelowOne = 0.0
    saturation: ShareBelowOne = 0.0
    cast: ShareBelowOne = 0.0
    mask_ratio: ShareBelowOne = 0.0
    mask_patch: Annotated[int, Range(1)] = 8


@dataclass(frozen=True, kw_only=True)
class UsedMarks(Checked):
    """The marks of a dataset's images that a run uses (data.marks); `str` gives them in words.

    Attributes:
        sha256: of the table of these marks, which is kept with the dataset (data.used_marks).
        exclusions: images that are left out.
        new_labels: images whose label is that of the mark in place of the dataset's.
    """

    sha256: Sha256
    exclusions: Annotated[int, Range(0)] = 0
    new_labels: Annotated[int, Range(0)] = 0

    def __str__(self) -> str:
        """In words, such as with 12 exclusions and 3 changed labels."""
        parts = [
            count(number, what)
            for number, what in (
                (self.exclusions, "exclusion"),
                (self.new_labels, "changed label"),
            )
            if number
        ]
        return f"with {' and '.join(parts)}"
