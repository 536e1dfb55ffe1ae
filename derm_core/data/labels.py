"""From the cells of a table to classes: one name for each class, None for an image without one."""

from __future__ import annotations

import ast
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ..errors import DataError
from .columns import class_name, is_missing, plain, words
from .image_files import IMAGE_SUFFIXES
from .tables import Table

NO_LABEL = {
    "unlabelled",
    "unlabeled",
    "no label",
    "nolabel",
    "no diagnosis",
    "sin diagnostico",
    "tbd",
}
NO_LABEL |= {"to be determined", "not labelled", "not labeled", "not diagnosed", "#value!", "#ref!"}
NO_LABEL |= {"sin diagnóstico", "pending", "undetermined", "unclassified", "undiagnosed"}
# Codes and words that name diagnoses, to tell columns of classes from others.
DIAGNOSES = set("mel nv bcc scc ak akiec bkl df vasc nev ack sek unk ben mal normal".split())
DIAGNOSES |= set(
    "melanoma nevus naevus carcinoma keratosis benign malignant eczema psoriasis".split()
)
DIAGNOSES |= set(
    "acne dermatitis dermatofibroma angioma lentigo rosacea tinea monkeypox wart".split()
)
SHOWN = 6


def read_classes(table: Table, column: str) -> tuple[list[str | None], list[str]]:
    """The class of each row by a column of names or numbers, and what was assumed.

    Names that differ by case, blanks, underscores or Unicode form are one class, under the
    commonest spelling. Numbers are whole: "1.0" is class 1. Raises DataError for fractions.
    """
    names_of = {text: class_name(_largest_share(text)) for text in set(table.cells(column))}
    cells = [names_of[text] for text in table.cells(column)]
    without = {t for t in names_of.values() if t is None or is_no_label(t) or t == "-1"}
    blank = Counter(text or "" for text in cells if text in without)
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


def is_no_label(text: str) -> bool:
    """Whether a cell is blank or holds a word for "no label"."""
    lower = text.casefold()
    return lower in NO_LABEL or (lower != "x" and is_missing(lower))


def names_diagnosis(column: str) -> bool:
    """Whether a column's name has a word for a diagnosis."""
    return bool(DIAGNOSES & set(words(column)))


def names_files(cells: Sequence[str]) -> bool:
    """Whether most cells name image files, such as masks: no classes."""
    named = [cell for cell in cells[:2000] if cell]
    count = sum(cell.lower().endswith(IMAGE_SUFFIXES) for cell in named)
    return count > len(named) / 2


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


@lru_cache(maxsize=100_000)  # a column has few different values, and many rows
def same_class(name: str) -> str:
    """What spellings of one class have in common."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(text.replace("_", " ").split())


def _commonest(counts: Mapping[str, int]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))


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
    other = "confirm confidence source difficulty date certainty method url pred probab score logit"
    other += " mask path file id"
    spoken = "diagnos label class categor disease malignan benign patholog condition target"
    return any(word in text for word in spoken.split()) and not any(
        word in text for word in other.split() if word != "id" or text.endswith("id")
    )
