"""The images of a dataset that a run uses, and the part of each: training, validation or test.

The one place that decides it: whatever asks again later (a publication, a map, an evaluation) gets
the images and the split of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..config import EmbedConfig, PretrainConfig, StudyConfig
from ..config.shared import Draw, Splits, UsedMarks
from .manifest import Dataset
from .official_split import OfficialSplit, count_crossing, official_split
from .sampling import draw_before_split, draw_by_split
from .splits import SPLITS, fold_split, split_dataset, split_fingerprint
from .used_marks import left_out_ids


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """What decides a run's images and split beside the dataset; the fields are those of configs."""

    seed: int = 0
    splits: Splits = "grouped"
    max_images: int | None = None
    draw: Draw = "by_split"
    folds: int = 0
    fold: int | None = None
    marks: UsedMarks | None = None

    @classmethod
    def of(cls, config: EmbedConfig | PretrainConfig | StudyConfig) -> SplitRule:
        """The rule of a config."""
        of_all = cls(
            seed=config.split_seed,
            splits=config.splits,
            max_images=config.max_images,
            draw=config.draw,
        )
        if isinstance(config, EmbedConfig):
            return of_all
        return replace(of_all, folds=config.folds, fold=config.fold, marks=config.marks)


@dataclass(frozen=True)
class UsedImages:
    """The images that a run uses.

    Attributes:
        rows: (n,) manifest rows, ascending.
        split: (n,) int8 indices into SPLITS.
        official: what has to be known of the official split, where it is used.
        before_marks: the same with the images that marks leave out; None where they leave out none.
    """

    rows: np.ndarray
    split: np.ndarray
    official: OfficialSplit | None = None
    before_marks: UsedImages | None = None

    def fingerprint(self, dataset: Dataset) -> str:
        """Names the split, whatever marks leave out: they move no image to another part."""
        whole = self.before_marks or self
        return split_fingerprint(whole.split, dataset.frame["image_id"].to_numpy()[whole.rows])

    def members(self, name: str) -> np.ndarray:
        """Manifest rows of one part."""
        rows: np.ndarray = self.rows[self.split == SPLITS.index(name)]
        return rows


def used_images(dataset: Dataset, rule: SplitRule) -> UsedImages:
    """The images of a run and their split.

    With `max_images` the whole dataset is split and each part drawn from in its share, so that an
    image's part does not depend on how many are used. In folds, and in runs of versions that did
    so, images are drawn first and split then. What marks leave out is taken from the result, so that
    every other image is used and stands in the same part with marks and without.

    Raises:
        ConfigError: the official split is asked for and the dataset has none.
        DataError: the official split cannot be used, there are fewer groups than folds, or the marks
            are gone.
    """
    drawn = _drawn_images(dataset, rule)
    left_out = left_out_ids(dataset.paths, rule.marks)
    if not left_out:
        return drawn
    staying = ~dataset.frame["image_id"].iloc[drawn.rows].isin(left_out).to_numpy()
    official = drawn.official
    if official:
        whole = np.full(len(dataset), -1, np.int8)
        whole[drawn.rows] = drawn.split
        official = replace(
            count_crossing(dataset, drawn.rows[staying], whole), left_out=official.left_out
        )
    return UsedImages(drawn.rows[staying], drawn.split[staying], official, drawn)


def _drawn_images(dataset: Dataset, rule: SplitRule) -> UsedImages:
    """The images of a run and their split, whatever is marked."""
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
