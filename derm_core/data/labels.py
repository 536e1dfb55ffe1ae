"""From the cells of a table to classes: one name for each class, None for an image without one."""

from __future__ import annotations

import ast
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ..errors import DataError
from .columns import MISSING, class_name, plain, words
from .tables import Table

NO_LABEL = MISSING - {"x"} | {
    "unlabelled",
    "unlabeled",
    "no label",
    "nolabel",
    "no diagnosis",
    "tbd",
}
NO_LABEL |= {"to be determined", "not labelled", "not labeled", "not diagnosed", "#value!", "#ref!"}
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


def read_classes(table: Table, column: str) -> tuple[list[str | None], list[str]]:
    """The class of each row by a column of names or numbers, and what was assumed.

    Names that differ by case, blanks, underscores or Unicode form are one class, under the
    commonest spelling. Numbers are whole: "1.0" is class 1. Raises DataError for fractions.
    """
    cells = [class_name(_largest_share(text)) for text in table.cells(column)]
    blank = Counter(
        text or "" for text in cells if text is None or text.casefold() in NO_LABEL or text == "-1"
    )
    cells = [None if text is None or text in blank else text for text in cells]
    notes = []
    if blank:
        named = ", ".join(
            f"{text or 'blank'} ({count})" for text, count in blank.most_common(SHOWN)
        )
        notes.append(f"Read as no label in {table.spell(column)}: {named}.")
    if any(text.startswith("{") for text in table.cells(column)):
        notes.append(
            f"{table.spell(column)} holds shares of several classes: the largest share was taken."
        )
    numbers = _numbers(cells)
    if numbers is None:
        names, merged = one_spelling(cells)
        return names, notes + merged
    fractions = [text for text, number in numbers.items() if not number.is_integer()]
    if fractions:
        raise DataError(
            f"{table.name}: {table.spell(column)} holds numbers such as {fractions[0]}, which are "
            f"no classes; name the label column with --label-column (columns: {columns_of(table)})."
        )
    return [None if text is None else f"{numbers[text]:.0f}" for text in cells], notes


def columns_of(table: Table, limit: int = 20) -> str:
    """The names of a table's columns, for a message."""
    names = [table.spell(name) for name in table.columns[:limit]]
    return ", ".join(names) + (", …" if len(table.columns) > limit else "")


def _largest_share(text: str) -> str:
    """Of a cell such as {'Eczema': 0.67, 'Psoriasis': 0.33} or ['Eczema'] the one largest name."""
    if not text.startswith(("{", "[")):
        return text
    try:
        value = ast.literal_eval(text)
        if isinstance(value, list):
            return str(value[0]) if len(value) == 1 else ""
        ranked = sorted(value.items(), key=lambda pair: -float(pair[1]))
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        return text
    is_tie = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return "" if is_tie or not ranked else str(ranked[0][0])


def _numbers(cells: Sequence[str | None]) -> dict[str, float] | None:
    """Each different cell as a number; None where one is no number."""
    numbers = {}
    for text in {text for text in cells if text is not None}:
        try:
            numbers[text] = float(text)
        except ValueError:
            return None
        if not math.isfinite(numbers[text]):
            return None
    return numbers or None


def one_spelling(cells: Sequence[str | None]) -> tuple[list[str | None], list[str]]:
    """Names under the commonest spelling of each class, and a note where there were several."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for text in cells:
        if text is not None:
            spellings[same_class(text)][text] += 1
    chosen = {name: _commonest(counts) for name, counts in spellings.items()}
    several = [counts for counts in spellings.values() if len(counts) > 1]
    notes = []
    if several:
        named = "; ".join(
            f"{', '.join(sorted(counts))} → {_commonest(counts)}" for counts in several[:SHOWN]
        )
        notes.append(f"Spellings of one class were joined: {named}.")
    return [None if text is None else chosen[same_class(text)] for text in cells], notes


def same_class(name: str) -> str:
    """What spellings of one class have in common."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(text.replace("_", " ").split())


def _commonest(counts: Mapping[str, int]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))


def one_hot_columns(table: Table, others: Sequence[str]) -> tuple[str, ...]:
    """The columns that together name a class in each row: 1 in one of them, 0 in the others.

    Of the columns whose cells are all 0, 1, true, false, blank or a share, neighbours whose sum is
    1 in most rows. Where there are none, neighbours that never hold two 1s and often hold one.

    Args:
        table: with rows.
        others: columns that are something else, such as the image's.
    """
    values: list[tuple[str, list[float]]] = []
    runs: list[list[tuple[str, list[float]]]] = []
    for name in table.columns:
        numbers = None
        if name not in others and not NO_CLASSES & set(words(table.spell(name))):
            numbers = shares(table.cells(name))
        if numbers is None:
            runs.append(values)
            values = []
        else:
            values.append((name, numbers))
    runs.append(values)
    best: tuple[float, int, tuple[str, ...]] = (0.0, 0, ())
    for run in runs:
        for start in range(len(run) - 1):
            sums = list(run[start][1])
            for end in range(start + 1, len(run)):
                sums = [a + b for a, b in zip(sums, run[end][1], strict=True)]
                quality = _quality(sums)
                if quality:
                    names = tuple(name for name, _ in run[start : end + 1])
                    best = max(best, (quality, len(names), names), key=lambda one: one[:2])
    return best[2]


def _quality(sums: Sequence[float]) -> float:
    """2: one class in nearly every row; 1: never two, and one in some rows; 0: no classes."""
    one = sum(abs(value - 1) < 0.02 for value in sums) / len(sums)
    if one >= 0.9:
        return 2.0
    return 1.0 if one > 0.02 and max(sums) < 1.02 else 0.0


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
        notes.append(f"{zeros} rows of {table.name} have 0 in every class column: {remainder}.")
    return classes, notes


def _notes_on_one_hot(
    table: Table, columns: Sequence[str], zeros: int, contradictions: Sequence[str], mixed: int
) -> list[str]:
    names = ", ".join(table.spell(name) for name in columns[:SHOWN])
    names += ", …" if len(columns) > SHOWN else ""
    notes = []
    if zeros:
        notes.append(
            f"{zeros} rows of {table.name} have 0 in every class column ({names}): no label was given "
            "to them. If they are a class that the table does not name, add a column for it."
        )
    if contradictions:
        notes.append(
            f"{len(contradictions)} rows of {table.name} contradict themselves: several class columns "
            f"are highest (the first: {contradictions[0]}); no label was given to them."
        )
    if mixed:
        notes.append(
            f"{mixed} rows of {table.name} hold shares of several classes: the class with the largest "
            "share was taken."
        )
    return notes


def named_by(table: Table, column: str, candidates: Sequence[str]) -> str | None:
    """The column that has one name for each number of `column`; None where there is none."""
    numbers = table.cells(column)
    if _numbers([text or None for text in numbers]) is None:
        return None
    for candidate in candidates:
        names = table.cells(candidate)
        pairs = {(a, same_class(b)) for a, b in zip(numbers, names, strict=True) if a}
        is_text = _numbers([text or None for text in names]) is None and any(names)
        if is_text and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 1:
            return candidate
    return None


def is_label_word(name: str) -> bool:
    """Whether a column's name speaks of classes, though it is not one of the usual names."""
    text = plain(name)
    other = "confirm confidence source difficulty date certainty method url id".split()
    spoken = "diagnos label class categor disease malignan benign patholog condition target"
    return any(word in text for word in spoken.split()) and not any(
        word in text for word in other if word != "id" or text.endswith("id")
    )
