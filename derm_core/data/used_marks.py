"""The marks that a run uses, fixed when it is set up: used-marks/SHA256.csv beside the dataset's manifest.

    image_id,mark,new_label

One row an image, sorted by id; the name is the hash of the file. Marks that are given or taken back
later change no run that was set up before. Only what can change a number stands in it: the images that
are left out and, where new labels are used, the changed ones. Notes, names and times do not.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Sequence

import pandas as pd

from ..config import PretrainConfig
from ..config.shared import UsedMarks
from ..errors import DataError
from ..files import write_atomic
from ..workspace import DatasetPaths
from .manifest import Dataset
from .marks import LEFT_OUT, Mark, marks_table

COLUMNS = ("image_id", "mark", "new_label")


def save_used_marks(paths: DatasetPaths, marks: Sequence[Mark]) -> UsedMarks:
    """Keep marks with the dataset under their hash: exclusions and changed labels."""
    text = marks_table(sorted(marks, key=lambda mark: mark.image_id), COLUMNS)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    file = paths.used_marks(sha256)
    if not file.exists():
        write_atomic(file, text)
    exclusions = sum(mark.mark in LEFT_OUT for mark in marks)
    return UsedMarks(sha256=sha256, exclusions=exclusions, new_labels=len(marks) - exclusions)


def used_marks_file(paths: DatasetPaths, used: UsedMarks) -> bytes:
    """The table of the marks that a run uses.

    Raises:
        DataError: it is gone, or was changed.
    """
    try:
        data = paths.used_marks(used.sha256).read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() != used.sha256:
        raise DataError(
            f"The marks of {paths.name} that this was set up with (SHA-256 {used.sha256[:12]}…) are gone or "
            f"were changed. The run that used them has a copy, artefacts/marks.csv: `data marks {paths.name} "
            "--import FILE` brings it back. Or set the study up again."
        )
    return data


def left_out_ids(paths: DatasetPaths, used: UsedMarks | None) -> frozenset[str]:
    """Ids of the images that are left out. Raises DataError."""
    if used is None or not used.exclusions:
        return frozenset()
    return frozenset(row["image_id"] for row in _rows(paths, used) if row["mark"] in LEFT_OUT)


def with_new_labels(dataset: Dataset, used: UsedMarks | None) -> Dataset:
    """The dataset with the new labels of the marks, where these are used; its `info` stays the same.

    Groups and splits are not touched: a split is that of the dataset's own labels.

    Raises:
        DataError: the table of marks is gone, or a new label is no class of the dataset.
    """
    if used is None or not used.new_labels:
        return dataset
    changed = {row["image_id"]: row["new_label"] for row in _rows(dataset.paths, used)}
    changed = {name: label for name, label in changed.items() if label}
    if unknown := sorted(set(changed.values()) - set(dataset.classes)):
        raise DataError(
            f"The marks of {dataset.name} give the labels {', '.join(unknown)}, which are no classes of it."
        )
    frame = dataset.frame
    labels = frame["image_id"].map(changed).astype(object)
    labels = labels.where(labels.notna(), frame["label"])
    return dataclasses.replace(dataset, frame=frame.assign(label=_none_for_missing(labels)))


def _none_for_missing(labels: pd.Series) -> pd.Series:
    return labels.astype(object).where(labels.notna(), None)


def describe_used(used: UsedMarks, pretrain: PretrainConfig | None) -> str:
    """What marks do to a study, in sentences. pretrain: its own pretraining, where it has one."""
    sentences = [f"Made {used}, as people marked images of the dataset."]
    if used.exclusions:
        also = ", and of the VAE's pretraining" if pretrain and pretrain.marks else ""
        sentences.append(
            f"Images marked exclude or duplicate are left out of training, validation and test{also}; "
            "every other image keeps its part."
        )
    if used.new_labels:
        sentences.append(
            "Images marked wrong label have their new label in training and in test; the split is that of "
            "the dataset's own labels."
        )
    return " ".join(sentences)


def _rows(paths: DatasetPaths, used: UsedMarks) -> list[dict[str, str]]:
    text = used_marks_file(paths, used).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))
