"""Tables that name classes by columns of 0 and 1, one column a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError
from ..formatting import count
from .columns import words
from .labels import names_diagnosis
from .tables import Table

BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "": 0.0, "x": 1.0}
BOOLEANS |= {"t": 1.0, "f": 0.0, "y": 1.0, "n": 0.0, "nan": 0.0}
# Words of columns that are one-hot like classes and are none.
NO_CLASSES = {*"weight weights train training test testing val valid validation fold split".split()}
NO_CLASSES |= {
    *"male female men women sex gender qc flag flags mask duplicate public private".split()
}
NO_CLASSES |= {
    "monet",
    *"left right biopsy biopsied histopathology histo ulceration hair ruler ink".split(),
}
SHOWN = 6
CERTAIN, POSSIBLE = 2, 1


@dataclass(frozen=True)
class OneHot:
    """Neighbouring columns that together name a class in each row.

    Attributes:
        quality: CERTAIN where nearly every row has one class, POSSIBLE where none has two.
        rivals: other such columns of the same quality.
    """

    columns: tuple[str, ...] = ()
    quality: int = 0
    rivals: tuple[tuple[str, ...], ...] = ()

    @property
    def is_ambiguous(self) -> bool:
        """Whether nothing tells these columns from their rivals."""
        of_diagnoses = [any(map(names_diagnosis, run)) for run in (self.columns, *self.rivals)]
        return bool(self.rivals) and sum(of_diagnoses) != 1


def find_one_hot(table: Table, others: Sequence[str]) -> OneHot:
    """The columns that together name a class in each row: 1 in one of them, 0 in the others.

    Of the columns whose cells are all 0, 1, true, false, blank or a share, neighbours whose sum is
    1 in most rows. Where there are none, neighbours that never hold two 1s and often hold one.

    Args:
        table: with rows.
        others: columns that are something else, such as the image's; neighbours are counted without
            them.
    """
    candidates: list[list[tuple[str, list[float]]]] = [[]]
    for name in table.columns:
        if name in others:
            continue
        numbers = None if NO_CLASSES & set(words(table.spell(name))) else shares(table.cells(name))
        if numbers is None:
            candidates.append([])
        else:
            candidates[-1].append((name, numbers))
    runs = sorted(
        (run for neighbours in candidates for run in _runs(neighbours)),
        key=lambda run: (-run[0], -len(run[1])),
    )
    disjoint: list[tuple[int, tuple[str, ...]]] = []
    for quality, names in runs:
        if not any(set(names) & set(taken) for _, taken in disjoint):
            disjoint.append((quality, names))
    if not disjoint:
        return OneHot()
    best = disjoint[0][0]
    equal = [names for quality, names in disjoint if quality == best]
    equal.sort(key=lambda names: not any(map(names_diagnosis, names)))
    return OneHot(equal[0], best, tuple(equal[1:]))


def _runs(neighbours: Sequence[tuple[str, list[float]]]) -> list[tuple[int, tuple[str, ...]]]:
    """Quality and columns of each run of neighbours that is one-hot."""
    runs = []
    for start in range(len(neighbours) - 1):
        sums = list(neighbours[start][1])
        for end in range(start + 1, len(neighbours)):
            sums = [a + b for a, b in zip(sums, neighbours[end][1], strict=True)]
            quality = _quality(sums)
            if quality:
                runs.append((quality, tuple(name for name, _ in neighbours[start : end + 1])))
    return runs


def _quality(sums: Sequence[float]) -> int:
    one = sum(abs(value - 1) < 0.02 for value in sums) / len(sums)
    if one >= 0.9:
        return CERTAIN
    return POSSIBLE if one > 0.02 and max(sums) < 1.02 else 0


def shares(cells: Sequence[str]) -> list[float] | None:
    """Cells as numbers from 0 to 1; None where one is something else."""
    known: dict[str, float] = {}
    for text in set(cells):
        lower = text.casefold()
        if lower in BOOLEANS:
            known[text] = BOOLEANS[lower]
            continue
        try:
            known[text] = float(text.replace(",", "."))
        except ValueError:
            return None
        if not 0 <= known[text] <= 1:
            return None
    return [known[text] for text in cells]


def read_one_hot(
    table: Table, columns: Sequence[str], remainder: str | None = None
) -> tuple[list[str | None], list[str]]:
    """The class of each row by one-hot columns or shares, and what was assumed.

    Args:
        table: with those columns.
        columns: named after the classes.
        remainder: class of the rows that have 0 in each of them; None where they have no label.

    Raises:
        DataError: a cell is no 0, 1, true, false or share.
    """
    values = []
    for name in columns:
        numbers = shares(table.cells(name))
        if numbers is None:
            cell = next(text for text in table.cells(name) if shares([text]) is None)
            raise DataError(
                f"{table.name}: {table.spell(name)} holds {cell!r}; a column of a class holds 0 and 1, "
                "true and false, or shares from 0 to 1."
            )
        values.append(numbers)
    classes: list[str | None] = []
    zeros, contradictions, mixed = 0, [], 0
    for row, of_row in zip(table.rows, zip(*values, strict=True), strict=True):
        highest = max(of_row)
        at_highest = [name for name, value in zip(columns, of_row, strict=True) if value == highest]
        zeros += highest == 0
        mixed += 0 < highest < 1
        if highest > 0 and len(at_highest) > 1:
            contradictions.append(next(iter(row.values()), ""))
        one_class = at_highest[0] if len(at_highest) == 1 else None
        classes.append(one_class if highest > 0 else remainder)
    notes = _notes_on_one_hot(table, columns, 0 if remainder else zeros, contradictions, mixed)
    if remainder and zeros:
        notes.append(
            f"{count(zeros, 'row')} of {table.name} with 0 in every class column: {remainder}."
        )
    return classes, notes


def _notes_on_one_hot(
    table: Table, columns: Sequence[str], zeros: int, contradictions: Sequence[str], mixed: int
) -> list[str]:
    names = ", ".join(table.spell(name) for name in columns[:SHOWN])
    names += ", …" if len(columns) > SHOWN else ""
    notes = []
    if zeros:
        notes.append(
            f"{count(zeros, 'row')} of {table.name} with 0 in every class column ({names}): no label was "
            "given. If that is a class that the table does not name, add a column for it."
        )
    if contradictions:
        notes.append(
            f"{count(len(contradictions), 'row')} of {table.name} with several highest class columns, "
            f"which contradict each other (the first: {contradictions[0]}): no label was given."
        )
    if mixed:
        notes.append(
            f"{count(mixed, 'row')} of {table.name} with shares of several classes: the class with the "
            "largest share was taken."
        )
    return notes
