"""The split that a dataset itself names, in folders or a column, and what crosses its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError
from ..formatting import count
from ..records import optional
from ..seeds import stream_seed
from .audit import crossing
from .cautions import groups_known, known_group_kinds
from .manifest import Dataset
from .splits import SPLITS, split_dataset

COLUMN = "official_split"  # the attribute that imports write: a name of SPLITS, or None
VALIDATION = 0.15  # of the official training images, where no validation is named
MOST_WITHOUT = 0.05  # share of images without an official part up to which they are left out


@dataclass(frozen=True, kw_only=True)
class OfficialSplit:
    """What has to be known of an official split that a run used.

    Attributes:
        groups_across: groups with images in more than one part; None where no group is known.
        images_across: contents (equal images) in more than one part.
        left_out: images that are in no official part and were not used.
        validation_drawn: whether validation was drawn from the official training images.
    """

    groups_across: int | None = optional()
    images_across: int
    left_out: int = 0
    validation_drawn: bool = False

    @property
    def leaks(self) -> bool:
        """Whether anything stands in more than one part."""
        return bool(self.groups_across or self.images_across)


def has_official_split(dataset: Dataset) -> bool:
    """Whether a dataset names a part for any of its images."""
    return COLUMN in dataset.frame and bool(dataset.frame[COLUMN].notna().any())


def official_split(dataset: Dataset, seed: int) -> np.ndarray:
    """The official part of every image: int8 (N,), an index into SPLITS, -1 for images in none.

    Where no validation is named, VALIDATION of the training images, whole groups of them and
    stratified by class, are it.

    Args:
        dataset: with the attribute `official_split`.
        seed: of the split, for that validation.

    Raises:
        ConfigError: no image has an official part.
        DataError: a part has another name, too many images have none, or training or test is
            missing.
    """
    if not has_official_split(dataset):
        raise ConfigError(
            f"Dataset {dataset.name} has no official split; use --splits grouped, or import it again "
            "with the column or the folders that name its parts."
        )
    names = dataset.frame[COLUMN]
    others = sorted(set(names.dropna().astype(str)) - set(SPLITS))
    if others:
        raise DataError(
            f"The official split of {dataset.name} has the values {', '.join(others[:5])}; known are "
            f"{', '.join(SPLITS)}. Use --splits grouped, or import the dataset again."
        )
    split = pd.Index(SPLITS).get_indexer(names).astype(np.int8)
    without = int((split < 0).sum())
    if without > MOST_WITHOUT * len(split):
        raise DataError(
            f"{without:,} of {len(split):,} images of {dataset.name} are in no part of its official split, too "
            "many to leave out: use --splits grouped, or import only the images that it names."
        )
    for part in ("train", "test"):
        if not (split == SPLITS.index(part)).any():
            raise DataError(
                f"The official split of {dataset.name} has no {part} images; use --splits grouped."
            )
    if not (split == SPLITS.index("val")).any():
        train = np.flatnonzero(split == SPLITS.index("train"))
        split[train] = split_dataset(
            dataset.labels[train],
            dataset.groups[train],
            stream_seed(seed, "official validation"),
            (1 - VALIDATION, VALIDATION, 0.0),
        )
    return split


def count_crossing(dataset: Dataset, rows: np.ndarray, split: np.ndarray) -> OfficialSplit:
    """What has to be known of an official split.

    Args:
        dataset: N images.
        rows: manifest rows of the images that are used.
        split: (N,) from `official_split`.
    """
    frame, parts = dataset.frame.iloc[rows], split[rows]
    known = groups_known(known_group_kinds(dataset))
    return OfficialSplit(
        groups_across=len(crossing(frame["group"], parts)) if known else None,
        images_across=len(crossing(frame["sha256"], parts)),
        left_out=int((split < 0).sum()),
        validation_drawn=not (dataset.frame[COLUMN] == "val").any(),
    )


def describe_official(official: OfficialSplit) -> str:
    """What has to stand beside every result on an official split: what crosses it, what was left out."""
    sentences = [
        f"The official split of the dataset was used; {_crossing(official)} in more than one part"
        + (": results are too good." if official.leaks else ".")
    ]
    if official.groups_across is None:
        sentences.append("Its groups are unknown.")
    if official.validation_drawn:
        sentences.append("It names no validation images: 15 % of its training images are these.")
    if official.left_out:
        images = count(official.left_out, "image")
        sentences.append(f"Left out, for being in none of its parts: {images}.")
    return " ".join(sentences)


def describe_unused(dataset: Dataset) -> str:
    """What crosses the official split of a dataset whose grouped split is used; empty where it has none."""
    if not has_official_split(dataset):
        return ""
    try:
        split = official_split(dataset, 0)
    except DataError as error:
        return f"The dataset also names an official split, which cannot be used. {error}"
    across = _crossing(count_crossing(dataset, np.flatnonzero(split >= 0), split))
    return (
        "The dataset also names an official split, which is used on request only: "
        f"{across} in more than one of its parts."
    )


def _crossing(official: OfficialSplit) -> str:
    images = count(official.images_across, "equal image")
    if official.groups_across is None:
        return f"{images} {'stands' if official.images_across == 1 else 'stand'}"
    return f"{count(official.groups_across, 'group')} and {images} stand"
