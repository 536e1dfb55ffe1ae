"""Which columns of a table identify patients and lesions, and which names the official split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError
from .columns import attribute_columns, entity, is_missing, plain, split_of
from .import_options import FOLDER, ImportOptions
from .tables import Table

BARE = {"patient", "subject", "participant", "person", "proband", "paciente", "paziente"}
ID_ENDINGS = ("id", "ids", "no", "nr", "number", "code", "hash", "key", "uid")
FEW = 6  # different values of a column of splits


@dataclass(frozen=True)
class GroupColumns:
    """Which columns of a table identify patients and lesions; "folder" is the image's folder.

    others: columns that could have been it as well; cautions: what is wrong with a column.
    """

    patient: str | None = None
    lesion: str | None = None
    others: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def group_columns(table: Table, options: ImportOptions, taken: Sequence[str]) -> GroupColumns:
    """The columns of patients and lesions of a table.

    A name such as "case" or "lesion" without a word such as "id" counts only where its values look
    like ids, and a column with one value for all images never. Columns that were given and that the
    table lacks are None.
    """
    if options.group_columns:
        given = [FOLDER if name == FOLDER else table.column(name) for name in options.group_columns]
        return GroupColumns(given[0], given[1] if len(given) > 1 else None)
    ranked: dict[str, list[tuple[bool, int, int, str]]] = {"patient": [], "lesion": []}
    others, cautions = [], []
    for place, name in enumerate(table.columns):
        if name in taken:
            continue
        kind = entity(name)
        if kind is None and not plain(name).endswith(ID_ENDINGS):
            continue
        values = [cell for cell in table.cells(name) if not is_missing(cell)]
        if kind is None:
            if _may_be_ids(name, values):
                others.append(name)
        elif len(values) > 2 and len(set(values)) == 1:
            cautions.append(
                f"{table.spell(name)} holds {values[0]} for all images and was not taken for the "
                f"{kind[0]}'s id."
            )
        elif kind[2] or plain(name) in BARE or _look_like_ids(values):
            if values:
                ranked[kind[0]].append((kind[2] == "name", kind[1], place, name))
                cautions += _shortened(table.spell(name), values)
        elif values:
            others.append(name)
    first = [next((name for *_, name in sorted(ranked[kind])), None) for kind in ranked]
    others += [name for kind in ranked for *_, name in sorted(ranked[kind])[1:]]
    return GroupColumns(first[0], first[1], tuple(others), tuple(cautions))


def _look_like_ids(values: Sequence[str]) -> bool:
    different = set(values)
    with_digits = sum(bool(re.search(r"\d", value)) for value in different)
    return len(different) > 2 and with_digits >= 0.8 * len(different)


def _may_be_ids(name: str, values: Sequence[str]) -> bool:
    """Whether a column that is called an id has values that repeat."""
    different = len(set(values))
    is_called = plain(name).endswith(ID_ENDINGS) and name.strip().lower() not in ("no", "id")
    return is_called and 2 <= different < 0.9 * len(values)


def _shortened(name: str, values: Sequence[str]) -> list[str]:
    """A caution where a spreadsheet has turned long numbers into 1.23457E+11."""
    count = sum(
        "+" in value and bool(re.fullmatch(r"\d(?:[.,]\d+)?E\+\d+", value, re.IGNORECASE))
        for value in values
    )
    if count < len(values) / 2:
        return []
    return [
        f"{name} holds numbers that a spreadsheet has shortened, such as {values[0]}: different "
        "patients may share one. Export the table again with this column as text."
    ]


def split_column(table: Table, options: ImportOptions) -> str | None:
    """The column of the official split: most of its values name training, validation or test.

    Raises:
        DataError: the column that was given names none.
    """
    given = table.column(options.split_column) if options.split_column else None
    if options.split_column and not given:
        return None
    column = given or attribute_columns(table.columns).get("official_split")
    if column is None or not _is_split(table, column):
        column = given or next((name for name in table.columns if _is_split(table, name)), None)
    if column is None:
        return None
    values = [cell for cell in table.cells(column) if not is_missing(cell)]
    known = sum(split_of(cell) is not None for cell in values)
    if known > len(values) / 2:
        return column
    if given:
        raise DataError(
            f"{table.name}: {table.spell(given)} holds {', '.join(sorted(set(values))[:4])}; a split "
            "column holds train, val (or valid, validation) and test."
        )
    return None


def _is_split(table: Table, column: str) -> bool:
    """Whether a column's few values all name training, validation or test, two of them at least."""
    different = set(table.cells(column)[:5000])
    if len(different) > 4 * FEW:
        return False
    values = {cell for cell in different if not is_missing(cell)}
    splits = {split_of(value) for value in values}
    return 2 <= len(values) <= FEW and None not in splits and len(splits) > 1
