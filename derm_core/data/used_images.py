"""The images of a dataset that a run uses, and the part of each: training, validation or test.

The one place that decides it: whatever asks again later (a publication, a map, an evaluation) gets
the images and the split of the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import EmbedConfig, PretrainConfig, StudyConfig
from ..config.shared import Draw, Splits
from .manifest import Dataset
from .official_split import OfficialSplit, count_crossing, official_split
from .sampling import draw_before_split, draw_by_split
from .splits import SPLITS, fold_split, split_dataset


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """What decides a run's images and split beside the dataset; the fields are those of configs."""

    seed: int = 0
    splits: Splits = "grouped"
    max_images: int | None = None
    draw: Draw = "by_split"
    folds: int = 0
    fold: int | None = None

    @classmethod
    def of(cls, config: EmbedConfig | PretrainConfig | StudyConfig) -> SplitRule:
        """The rule of a config."""
        return cls(
            seed=config.split_seed,
            splits=config.splits,
            max_images=config.max_images,
            draw=config.draw,
            folds=config.folds if not isinstance(config, EmbedConfig) else 0,
            fold=config.fold if not isinstance(config, EmbedConfig) else None,
        )


@dataclass(frozen=True)
class UsedImages:
    """The images that a run uses.

    Attributes:
        rows: (n,) manifest rows, ascending.
        split: (n,) int8 indices into SPLITS.
        official: what has to be known of the official split, where it is used.
    """

    rows: np.ndarray
    split: np.ndarray
    official: OfficialSplit | None = None

    def members(self, name: str) -> np.ndarray:
        """Manifest rows of one part."""
        rows: np.ndarray = self.rows[self.split == SPLITS.index(name)]
        return rows


def used_images(dataset: Dataset, rule: SplitRule) -> UsedImages:
    """The images of a run and their split.

    With `max_images` the whole dataset is split and each part drawn from in its share, so that an
    image's part does not depend on how many are used. In folds, and in runs of versions that did
    so, images are drawn first and split then.

    Raises:
        ConfigError: the official split is asked for and the dataset has none.
        DataError: the official split cannot be used, or there are fewer groups than folds.
    """
    labels, groups = dataset.labels, dataset.groups
    if rule.splits == "grouped" and (rule.folds or rule.draw == "before_split"):
        rows = draw_before_split(labels, groups, rule.max_images, rule.seed)
        labels, groups = labels[rows], groups[rows]
        if rule.fold:
            return UsedImages(rows, fold_split(labels, groups, rule.seed, rule.folds, rule.fold))
        return UsedImages(rows, split_dataset(labels, groups, rule.seed))
    if rule.splits == "official":
        split = official_split(dataset, rule.seed)
        rows = draw_by_split(labels, groups, split, rule.max_images, rule.seed)
        return UsedImages(rows, split[rows], count_crossing(dataset, rows, split))
    split = split_dataset(labels, groups, rule.seed)
    rows = draw_by_split(labels, groups, split, rule.max_images, rule.seed)
    return UsedImages(rows, split[rows])
