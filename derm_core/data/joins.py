"""Tables beside the labels: what they say of each image, and tables that have to be joined first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .columns import entity, plain, split_of, with_role
from .image_names import ImageNames
from .tables import Table

SAMPLE = 2000  # rows in which images are looked for
WIDE = re.compile(r"(?:image|img|photo|picture)_?(\d+)(?:_?(?:path|file|name|id))?")
DUPLICATES = re.compile(r"duplicat|same_?lesion|near_?dup")


@dataclass(frozen=True)
class Companion:
    """A table beside the labels, by what joins it to an image.

    Attributes:
        by_image: the image's relative path → row.
        column: else the column of the label table that joins it; by_value: its value → row.
    """

    table: Table
    by_image: Mapping[str, dict[str, str]] = field(default_factory=dict)
    column: str | None = None
    by_value: Mapping[str, dict[str, str]] = field(default_factory=dict)

    def row(self, path: str, row: Mapping[str, str]) -> Mapping[str, str] | None:
        """What the table says of an image, given its row in the label table."""
        if self.column is None:
            return self.by_image.get(path)
        return self.by_value.get(_id(row.get(self.column, "")))


def companion(
    table: Table, base: Table | None, names: ImageNames, folder: str = ""
) -> Companion | None:
    """How a table is joined to the label table; None where nothing joins them.

    Args:
        table: beside the labels.
        base: the label table, if there is one.
        names: of the image files.
        folder: relative path of the table's folder.
    """
    column = image_column(table, names)
    if column:
        rows: dict[str, dict[str, str]] = {}
        for row in table.rows:
            path = names.find(row[column], folder).path if row[column] else None
            if path:
                cells = {name: cell for name, cell in row.items() if cell}
                rows.setdefault(path, {}).update(cells)
        return Companion(table, by_image=rows)
    shared = shared_key(table, base) if base else None
    if shared is None:
        return None
    own, theirs = shared
    return Companion(table, column=theirs, by_value={_id(row[own]): row for row in table.rows})


def image_column(table: Table, names: ImageNames) -> str | None:
    """The column that names most image files, by its name or by what it holds; None where none does."""
    named = with_role(table.columns, "image")
    hits = {name: len(names.hits(table.cells(name))) for name in named}
    if not any(hits.values()):
        sample = replace(table, rows=table.rows[:SAMPLE])
        others = [name for name in table.columns[:200] if entity(name) is None]
        hits = {name: len(names.hits(sample.cells(name))) for name in others}
        hits = {name: count for name, count in hits.items() if count > len(sample.rows) / 2}
    if not any(hits.values()):
        loose = (name for name in named if names.mostly_loosely(table.cells(name)[:SAMPLE]))
        return next(loose, None)
    return max(hits, key=lambda name: hits[name])


def shared_key(table: Table, base: Table) -> tuple[str, str] | None:
    """The columns of `table` and of `base` that identify the same things; unique in `table`."""
    pairs = []
    for own in table.columns:
        kind = entity(own)
        for theirs in base.columns:
            is_same = plain(own) == plain(theirs)
            other = entity(theirs)
            if not is_same and (kind is None or other is None or kind[:2] != other[:2]):
                continue
            if kind or plain(own).endswith(("id", "key", "no", "number")):
                pairs.append((own, theirs))
    for own, theirs in pairs:
        values = [_id(cell) for cell in table.cells(own) if cell]
        known = set(values)
        matched = sum(_id(cell) in known for cell in base.cells(theirs))
        if values and len(known) == len(values) and matched > len(base.rows) / 2:
            return own, theirs
    return None


def _id(cell: str) -> str:
    """An id as spreadsheets leave it and as they do not: "12.0" is 12."""
    return cell.removesuffix(".0")


def join(base: Table, other: Table) -> Table | None:
    """The rows of `base` with the columns of `other` beside them; None where nothing joins them."""
    shared = shared_key(other, base)
    if shared is None:
        return None
    own, theirs = shared
    by_value = {_id(row[own]): row for row in other.rows}
    new = [name for name in other.columns if name not in base.columns]
    blank = dict.fromkeys(new, "")
    rows = []
    for row in base.rows:
        match = by_value.get(_id(row[theirs]), {})
        rows.append({**row, **blank, **{name: match[name] for name in new if name in match}})
    spelled = {**other.spelled, **base.spelled}
    note = f"{other.name} was joined to {base.name} by {base.spell(theirs)}."
    notes = (*base.notes, *other.notes, note)
    columns = (*base.columns, *new)
    joined = (*base.joined, other.name)
    return replace(base, columns=columns, rows=rows, spelled=spelled, notes=notes, joined=joined)


def one_row_an_image(table: Table) -> Table:
    """A table with columns such as image_1_path, image_2_path as one with a row for each image."""
    wide = [name for name in table.columns if WIDE.fullmatch(name)]
    if len(wide) < 2 or DUPLICATES.search(table.name.lower()):
        return table
    others = [name for name in table.columns if name not in wide]
    rows = [
        {"image": row[name], **{other: row[other] for other in others}}
        for row in table.rows
        for name in wide
        if row[name]
    ]
    note = f"{table.name} names several images a row ({', '.join(wide[:3])}): all were taken."
    spelled = {**table.spelled, "image": ", ".join(table.spell(name) for name in wide)}
    return replace(
        table,
        columns=("image", *others),
        rows=rows,
        spelled=spelled,
        notes=(*table.notes, note),
        header=(),
    )


def with_index_splits(tables: Sequence[Table]) -> list[Table]:
    """Tables in which lists of row numbers for each split became a column of the table they number.

    derm7pt has such lists: train_indexes.csv, valid_indexes.csv and test_indexes.csv.
    """
    lists = {}
    for table in tables:
        split = split_of(table.path.stem)
        if split and "index" in table.name.lower() and len(table.columns) == 1:
            lists[split] = [cell for cell in table.cells(table.columns[0]) if cell.isdecimal()]
    others = [table for table in tables if "index" not in table.name.lower()]
    total = sum(map(len, lists.values()))
    numbered = [table for table in others if len(table.rows) == total]
    if len(lists) < 2 or len(numbered) != 1:
        return list(tables)
    table = numbered[0]
    of_row = {int(cell): split for split, cells in lists.items() for cell in cells}
    rows = [{**row, "split": of_row.get(i, "")} for i, row in enumerate(table.rows)]
    notes = (*table.notes, "The official split comes from the lists of row numbers.")
    changed = replace(table, columns=(*table.columns, "split"), rows=rows, notes=notes)
    return [changed if one is table else one for one in others]


def listed_duplicates(tables: Iterable[Table], names: ImageNames) -> list[tuple[str, str]]:
    """Relative paths of pairs of images that a table such as known_duplicates.csv lists."""
    pairs = []
    for table in tables:
        if not is_duplicates_table(table):
            continue
        columns = [name for name in table.columns if names.hits(table.cells(name)[:SAMPLE])]
        if len(columns) == 2:
            first, second = columns
            matches = ((names.find(row[first]), names.find(row[second])) for row in table.rows)
            pairs += [(a.path, b.path) for a, b in matches if a.path and b.path]
    return pairs


def is_duplicates_table(table: Table) -> bool:
    """Whether a table lists pairs of images of one lesion, by its name."""
    return bool(DUPLICATES.search(table.name.lower()))
