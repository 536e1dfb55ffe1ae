"""A study with the marks of its dataset's images: what is left out or changed, and whether enough is left."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..config import PretrainConfig, StudyConfig
from ..data.manifest import Dataset
from ..data.marks import LEFT_OUT, Mark, changes_label, read_marks
from ..data.splits import SPLITS
from ..data.triage import as_priorities
from ..data.used_images import SplitRule, UsedImages, used_images
from ..data.used_marks import save_used_marks, with_new_labels
from ..errors import DataError
from ..formatting import count

PARTS = {"train": "training", "val": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True)
class MarksInStudy:
    """The marks of images that a study uses.

    Attributes:
        left_out: of images marked exclude or duplicate.
        changed: of images marked wrong label, whose new label is another class of the dataset.
    """

    left_out: tuple[Mark, ...]
    changed: tuple[Mark, ...]


def marks_in_study(config: StudyConfig | PretrainConfig, dataset: Dataset) -> MarksInStudy:
    """The marks, as they are now, of the images that a study or pretraining without marks would use."""
    rule = dataclasses.replace(SplitRule.of(config), marks=None)
    frame = dataset.frame.iloc[used_images(dataset, rule).rows]
    labels = dict(zip(frame["image_id"], frame["label"], strict=True))
    marks = [mark for mark in read_marks(dataset.paths).values() if mark.image_id in labels]
    changed = (mark for mark in marks if changes_label(mark, dataset, labels[mark.image_id]))
    return MarksInStudy(tuple(mark for mark in marks if mark.mark in LEFT_OUT), tuple(changed))


def with_marks(config: StudyConfig, dataset: Dataset, new_labels: bool = False) -> StudyConfig:
    """The study without the images that are marked exclude or duplicate, its pretraining alike.

    Args:
        config: of a study, all folds of a comparison in folds.
        dataset: the study's.
        new_labels: whether images marked wrong label have their new label.

    Raises:
        DataError: no image of the study has such a mark.
    """
    marks = marks_in_study(config, dataset)
    if not marks.left_out and not (new_labels and marks.changed):
        unused = f"; {count(len(marks.changed), 'new label')} would be used with --new-labels"
        raise DataError(
            f"No image that this study of {dataset.name} uses is marked exclude or duplicate"
            + (unused if marks.changed and not new_labels else "")
            + f". `data marks {dataset.name} --list` lists its marks; run the study without marks, or mark "
            "images first, on Latent space or Data."
        )
    if new_labels and not marks.changed:
        raise DataError(
            f"New labels were asked for, and no image that this study of {dataset.name} uses is marked wrong "
            "label: leave --new-labels out, or mark images first."
        )
    used = save_used_marks(dataset.paths, [*marks.left_out, *(marks.changed if new_labels else ())])
    pretrain = config.pretrain
    if pretrain:
        own = save_used_marks(dataset.paths, marks.left_out) if marks.left_out else None
        pretrain = dataclasses.replace(pretrain, marks=own)
    return dataclasses.replace(config, marks=used, pretrain=pretrain)


def pretraining_with_marks(config: PretrainConfig, dataset: Dataset) -> PretrainConfig:
    """The pretraining without the images that are marked exclude or duplicate. Raises DataError where none is."""
    left_out = marks_in_study(config, dataset).left_out
    if not left_out:
        raise DataError(
            f"No image that this pretraining on {dataset.name} uses is marked exclude or duplicate: leave --marks "
            "out, or mark images first, on Latent space or Data."
        )
    return dataclasses.replace(config, marks=save_used_marks(dataset.paths, left_out))


def require_enough(config: StudyConfig, dataset: Dataset) -> None:
    """Raise DataError where the marks of a study take a class out of training, validation or test."""
    if config.marks is None:
        return
    rule = SplitRule.of(config)
    all_folds = range(1, config.folds + 1) if config.all_folds else (config.fold,)
    marked = with_new_labels(dataset, config.marks)
    if config.labels == "priority":
        dataset, marked = as_priorities(dataset), as_priorities(marked)
    for fold in all_folds:
        used = used_images(dataset, dataclasses.replace(rule, fold=fold))
        where = f" of fold {fold}" if fold else ""
        _require_every_class(used, dataset, marked, where)


def _require_every_class(used: UsedImages, dataset: Dataset, marked: Dataset, where: str) -> None:
    before = used.before_marks or used
    for part in SPLITS:
        then = np.bincount(_known(dataset, before.members(part)), minlength=len(dataset.classes))
        now = np.bincount(_known(marked, used.members(part)), minlength=len(dataset.classes))
        for label in np.flatnonzero((then > 0) & (now == 0)):
            name = dataset.classes[label]
            rows = before.members(part)
            lost = dataset.frame["image_id"].iloc[rows[dataset.labels[rows] == label]]
            raise DataError(
                f"The marks leave no image of class {name} among the {PARTS[part]} images{where} of "
                f"{dataset.name} (before: {then[label]:,}, such as {', '.join(lost[:3])}). Take back the mark of one "
                "of them, or run the study without marks; a class that should not be compared is left out "
                "at the import."
            )


def _known(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Class indices of those of the rows that have a label."""
    labels: np.ndarray = dataset.labels[rows]
    return labels[labels >= 0]
