"""Marks that people give the images of a dataset: wrong label, duplicate, exclude, or a note alone.

`marks.csv` beside the manifest has one row an image: image_id, mark, new_label, note, by, when. It is
written as a whole under a lock, so that several people can mark at once. Neither the manifest nor its
labels are ever changed by it. Marks of images that the dataset no longer has stay in the table.
"""

from __future__ import annotations

import csv
import dataclasses
import getpass
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..files import private_folder, write_atomic
from ..formatting import count, listed
from ..locks import hold
from ..records import optional
from ..workspace import DatasetPaths
from .manifest import Dataset

MARKS = {  # what each is called, and what it does to a study with marks
    "wrong_label": "Wrong label",
    "duplicate": "Duplicate",
    "exclude": "Exclude",
    "note": "Note",
}
LEFT_OUT = ("exclude", "duplicate")  # by a study with marks
MAX_NOTE = 2000  # characters
PATIENCE = 20.0  # seconds to wait for another session that writes


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a person says of one image.

    Attributes:
        mark: a key of MARKS.
        new_label: the class that the image should have, of a wrong label alone.
        by: who says it.
        when: UTC, such as 2026-01-02T03:04:05Z.
    """

    image_id: str
    mark: str
    new_label: str | None = optional()
    note: str = optional("")
    by: str = optional("")
    when: str = optional("")

    def says_as(self, other: Mark) -> bool:
        """Whether both say the same, whoever said it when."""
        return dataclasses.replace(self, by=other.by, when=other.when) == other

    def __str__(self) -> str:
        """In words, such as wrong label: mel."""
        name = MARKS[self.mark].lower()
        return f"{name}: {self.new_label}" if self.new_label else name


COLUMNS = tuple(field.name for field in dataclasses.fields(Mark))


@dataclass(frozen=True)
class Change:
    """The marks of some images before and after a change, by image id; None for no mark."""

    before: Mapping[str, Mark | None]
    after: Mapping[str, Mark | None]


@dataclass(frozen=True)
class MarksSummary:
    """The marks of a dataset in numbers.

    Attributes:
        counts: {mark: images}, of images in the dataset.
        absent: ids of marked images that are not in the dataset.
        stale: ids of images whose new label is no class of the dataset, or is its label by now.
    """

    counts: dict[str, int]
    absent: tuple[str, ...]
    stale: tuple[str, ...]

    def __str__(self) -> str:
        """One to three sentences."""
        parts = [f"{MARKS[mark].lower()} {number:,}" for mark, number in self.counts.items()]
        sentences = [f"Marked images: {', '.join(parts) or 'none'}."]
        if self.absent:
            few = ", ".join(self.absent[:3])
            sentences.append(
                f"{count(len(self.absent), 'more mark')} of images that the dataset does not have "
                f"({few}{', …' * (len(self.absent) > 3)}): kept, and used when they are back."
            )
        if self.stale:
            sentences.append(
                f"{count(len(self.stale), 'new label')} of no effect: no class of the dataset, or the "
                f"image's own label by now ({', '.join(self.stale[:3])}{', …' * (len(self.stale) > 3)})."
            )
        return " ".join(sentences)


def read_marks(paths: DatasetPaths) -> dict[str, Mark]:
    """The marks of a dataset by image id; empty where there are none. Raises DataError for a damaged table."""
    try:
        text = paths.marks.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The marks of {paths.name} cannot be read ({error}).") from error
    try:
        return {mark.image_id: mark for mark in _parsed(text)}
    except (csv.Error, TypeError, KeyError) as error:
        raise DataError(
            f"The marks of {paths.name} ({paths.marks.name}) are damaged ({error}): mend the file, or "
            "move it away and import an export of it."
        ) from error


def _parsed(text: str) -> Iterator[Mark]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise KeyError("its columns are others")
    for row in rows:
        cells: dict[str, Any] = {**row, "new_label": row["new_label"] or None}
        mark = Mark(**cells)
        if mark.mark not in MARKS:
            raise KeyError(mark.mark)
        yield mark


def set_marks(dataset: Dataset, marks: Sequence[Mark]) -> Change:
    """Give images these marks in place of those they have; all or none.

    Raises:
        DataError: a mark is not allowed, or its image not in the dataset.
    """
    labels = labels_by_id(dataset)
    for mark in marks:
        if mark.image_id not in labels:
            raise DataError(f"Dataset {dataset.name} has no image {mark.image_id}.")
        check_mark(mark, dataset, labels)
    return put_marks(dataset.paths, {mark.image_id: mark for mark in marks})


def remove_marks(paths: DatasetPaths, image_ids: Sequence[str]) -> Change:
    """Take the marks of these images away, also of those that the dataset no longer has."""
    return put_marks(paths, dict.fromkeys(image_ids))


def undo(paths: DatasetPaths, change: Change) -> int:
    """Bring back what these images were marked before; returns of how many.

    An image that was marked again since keeps its newer mark.
    """
    restored: list[str] = []

    def restore(marks: dict[str, Mark]) -> None:
        for image_id, before in change.before.items():
            if marks.get(image_id) == change.after[image_id] != before:
                _set(marks, image_id, before)
                restored.append(image_id)

    _edit(paths, restore)
    return len(restored)


def summarise(dataset: Dataset, marks: Mapping[str, Mark]) -> MarksSummary:
    """The marks of a dataset in numbers."""
    labels = labels_by_id(dataset)
    counts = Counter(mark.mark for name, mark in marks.items() if name in labels)
    stale = [
        name
        for name, mark in marks.items()
        if name in labels and mark.new_label and not changes_label(mark, dataset, labels[name])
    ]
    return MarksSummary(
        {mark: counts[mark] for mark in MARKS if counts[mark]},
        tuple(name for name in marks if name not in labels),
        tuple(stale),
    )


def changes_label(mark: Mark, dataset: Dataset, label: str | None) -> bool:
    """Whether a mark gives an image, whose label in the dataset is `label`, another class of the dataset."""
    return mark.new_label in dataset.classes and mark.new_label != label


def current_user() -> str:
    """Who marks on this machine, by the name of the account; empty where it has none."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""


def utc_now() -> str:
    """The time as a mark has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def marks_table(marks: Sequence[Mark], columns: Sequence[str] = COLUMNS) -> str:
    """Marks as CSV with these columns."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(mark, name) or "" for name in columns] for mark in marks)
    return text.getvalue()


def labels_by_id(dataset: Dataset) -> dict[str, str | None]:
    """{image id: its label in the dataset}."""
    return dict(zip(dataset.frame["image_id"], dataset.frame["label"], strict=True))


def check_mark(mark: Mark, dataset: Dataset, labels: Mapping[str, str | None]) -> None:
    """Raise DataError for a mark that is not allowed; new labels are compared where the image is there."""
    if not mark.image_id:
        raise DataError("A mark names no image.")
    if mark.mark not in MARKS:
        raise DataError(
            f"The mark of {mark.image_id} is {mark.mark!r}; allowed: {listed([*MARKS])}."
        )
    if len(mark.note) > MAX_NOTE:
        raise DataError(f"The note of {mark.image_id} is longer than {MAX_NOTE:,} characters.")
    if mark.mark == "note" and not mark.note:
        raise DataError(f"The note of {mark.image_id} is empty.")
    if mark.mark != "wrong_label":
        if mark.new_label:
            raise DataError(f"{mark.image_id} has a new label, but not the mark wrong_label.")
        return
    if not mark.new_label:
        raise DataError(
            f"{mark.image_id} is marked wrong_label without a new label: give the right class, or mark it "
            "exclude where that is not known."
        )
    if mark.image_id in labels and mark.new_label not in dataset.classes:
        classes = ", ".join(dataset.classes) or "none"
        raise DataError(
            f"The new label of {mark.image_id} is {mark.new_label!r}; the dataset's classes are {classes}."
        )
    if mark.image_id in labels and mark.new_label == labels[mark.image_id]:
        raise DataError(f"{mark.image_id} has the label {mark.new_label} already.")


def put_marks(paths: DatasetPaths, after: Mapping[str, Mark | None]) -> Change:
    """Set or (None) remove marks; returns what they were before."""
    before: dict[str, Mark | None] = {}

    def put(marks: dict[str, Mark]) -> None:
        before.update({image_id: marks.get(image_id) for image_id in after})
        for image_id, mark in after.items():
            _set(marks, image_id, mark)

    _edit(paths, put)
    return Change(before, dict(after))


def _set(marks: dict[str, Mark], image_id: str, mark: Mark | None) -> None:
    marks.pop(image_id, None)
    if mark is not None:
        marks[image_id] = mark


def _edit(paths: DatasetPaths, change: Callable[[dict[str, Mark]], None]) -> None:
    """Read the table, change it and write it, while no other session does."""
    with _alone(paths):
        marks = read_marks(paths)
        before = list(marks.values())
        change(marks)
        if list(marks.values()) != before:
            write_atomic(paths.marks, marks_table(list(marks.values())))


@contextmanager
def _alone(paths: DatasetPaths) -> Iterator[None]:
    private_folder(paths.marks.parent)
    with hold(paths.marks.with_suffix(".lock"), patience=PATIENCE) as held:
        if not held:
            raise DataError(
                f"Another session has been writing the marks of {paths.name} for {PATIENCE:.0f} seconds; "
                "try again."
            )
        yield
