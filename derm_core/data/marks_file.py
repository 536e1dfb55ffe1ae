"""Marks of images from a file: an export, one that a person edited, or the copy in a study's run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .manifest import Dataset
from .marks import COLUMNS, LEFT_OUT, Mark, check_mark, labels_by_id, put_marks, utc_now
from .tables import read_table
from .used_marks import save_used_marks

GUARDED = re.compile(r"^'(?=\s*[=+\-@])")  # what an export puts before text that is no formula


@dataclass(frozen=True)
class ImportedMarks:
    """What an import of marks did, in numbers of images.

    Attributes:
        added, changed, unchanged: images without a mark before, with another, with the same.
        absent: those of all that are not in the dataset; their marks are kept.
    """

    added: int
    changed: int
    unchanged: int
    absent: int


def import_marks(dataset: Dataset, file: Path, by: str) -> ImportedMarks:
    """Read marks from a table with the columns image_id and mark, and new_label, note, by, when if any.

    They take the place of the marks of the same images; the other marks stay. Where the file says
    nothing of by and when, these are `by` and now. Nothing is imported of a file with an error.

    Raises:
        DataError: the file is no such table, or a mark is not allowed; it names the line.
    """
    table = read_table(file)
    for column in ("image_id", "mark"):
        if column not in table.columns:
            raise DataError(
                f"{table.name} has no column {column}: marks have the columns {', '.join(COLUMNS)}."
            )
    labels, now, marks = labels_by_id(dataset), utc_now(), dict[str, Mark]()
    for line, row in enumerate(table.rows, start=2):
        cells: dict[str, Any] = {name: GUARDED.sub("", row.get(name, ""), 1) for name in COLUMNS}
        cells["mark"] = cells["mark"].lower().replace(" ", "_")
        cells["new_label"] = cells["new_label"] or None
        cells |= {"by": cells["by"] or by, "when": cells["when"] or now}
        mark = Mark(**cells)
        try:
            if mark.image_id in marks:
                raise DataError(f"{mark.image_id} stands in it twice; an image has one mark.")
            check_mark(mark, dataset, labels)
        except DataError as error:
            raise DataError(f"{table.name}, record {line}: {error}") from error
        marks[mark.image_id] = mark
    _keep_as_used(dataset, list(marks.values()))
    change = put_marks(dataset.paths, marks)
    pairs = [(change.before[name], mark) for name, mark in marks.items()]
    same = sum(before is not None and before.says_as(mark) for before, mark in pairs)
    added = sum(before is None for before, _ in pairs)
    absent = sum(name not in labels for name in marks)
    return ImportedMarks(added, len(pairs) - same - added, same, absent)


def _keep_as_used(dataset: Dataset, marks: Sequence[Mark]) -> None:
    """Where the file is the copy in a study's run, that study and its pretraining find their marks again."""
    left_out = [mark for mark in marks if mark.mark in LEFT_OUT]
    for some in (left_out, [mark for mark in marks if mark.mark in LEFT_OUT or mark.new_label]):
        if some:
            save_used_marks(dataset.paths, some)
