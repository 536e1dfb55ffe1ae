"""Which columns of a table name its images and their classes, judged by names and by what they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import DataError
from . import known_datasets
from .columns import attribute_columns, entity, is_missing, split_of, with_role
from .image_names import ImageNames, clean
from .import_options import FOLDER, ImportOptions
from .labels import (
    NO_LABEL,
    columns_of,
    is_label_word,
    named_by,
    one_hot_columns,
    read_classes,
    read_one_hot,
)
from .tables import Table, without_header

EXACT, ONE_HOT, VAGUE = 0, 1, 2  # how certain a label column is, the best first
SAMPLE = 2000  # rows in which columns without a telling name are searched for names of images
LEVELS = re.compile(r"(?:diagnosis|dx|iddx)[_ ]?(\d)")
LEVEL_SHARE = 0.9
USABLE_SHARE = 0.5


@dataclass(frozen=True)
class ImageColumns:
    """Which columns of a table name the image and its class.

    Attributes:
        image, label: columns.
        one_hot: columns that are named after the classes, in place of a label column.
        other_images, other_labels: columns that could have been it as well.
        notes: why these columns were taken.
        remainder: class of the rows that have 0 in all of `one_hot`.
    """

    image: str
    label: str | None
    one_hot: tuple[str, ...] = ()
    other_images: tuple[str, ...] = ()
    other_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remainder: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The label column, or the one-hot columns."""
        return (self.label,) if self.label else self.one_hot

    def classes(self, table: Table) -> tuple[list[str | None], list[str]]:
        """The class of each row of a table with these columns, and what was assumed."""
        if self.label:
            return read_classes(table, self.label)
        if self.one_hot:
            return read_one_hot(table, self.one_hot, self.remainder)
        return [None] * len(table.rows), []


@dataclass(frozen=True)
class LabelTable:
    """A table, its columns, and the files that it names, as `image_names.key`.

    certainty: EXACT, ONE_HOT or VAGUE.
    """

    table: Table
    columns: ImageColumns
    hits: frozenset[str]
    certainty: int = EXACT

    @property
    def has_labels(self) -> bool:
        """Whether it names classes."""
        return bool(self.columns.labels)


def with_header(table: Table, names: ImageNames) -> Table:
    """The table, whose first line is taken for a row where it names an image as the others do."""
    if not table.rows or not table.header:
        return table
    if names.hits(table.header):
        return without_header(table)
    for column, title in zip(table.columns, table.header, strict=False):
        cells = table.cells(column)[:SAMPLE]
        alike = sum(_shape(cell) == _shape(title) for cell in cells)
        if re.search(r"\d", title) and alike > len(cells) / 2 and names.hits(cells):
            return without_header(table)
    return table


def _shape(text: str) -> str:
    return re.sub(r"\d+", "0", text.casefold())


def column_of(table: Table, name: str) -> str | None:
    """The table's column of that name, without regard to case."""
    return next((one for one in table.columns if one == name.strip().lower()), None)


def read_label_table(table: Table, names: ImageNames, options: ImportOptions) -> LabelTable | None:
    """The columns of a table; None where no column could name images."""
    image, hits, others = _image_column(table, names, options.image_column)
    if image is None:
        return None
    known = known_datasets.table_of(table, image)
    preferred = known.label if known else None
    labels, certainty, other_labels, notes = _label_columns(table, image, options, preferred)
    one_hot = labels if len(labels) > 1 or certainty == ONE_HOT else ()
    if others:
        spelled = ", ".join(
            f"{table.spell(name)} ({count} files)" for name, count in others.items()
        )
        notes.append(
            f"Images are named by {table.spell(image)}; these columns name others: {spelled} "
            "(--image-column)."
        )
    columns = ImageColumns(
        image,
        labels[0] if len(labels) == 1 and not one_hot else None,
        one_hot,
        tuple(others),
        tuple(other_labels),
        tuple(notes),
        known.remainder if known and one_hot else None,
    )
    return LabelTable(table, columns, frozenset(hits), certainty)


def _image_column(
    table: Table, names: ImageNames, given: str | None
) -> tuple[str | None, set[str], dict[str, int]]:
    """The column that names most images, the files it names, and other columns → their files."""
    if given:
        column = column_of(table, given)
        return column, names.hits(table.cells(column)) if column else set(), {}
    named = with_role(table.columns, "image")
    hits = {column: names.hits(table.cells(column)) for column in named}
    if not any(hits.values()):
        sample = replace(table, rows=table.rows[:SAMPLE])
        by_content = {name: names.hits(sample.cells(name)) for name in table.columns[:200]}
        usable = [name for name in by_content if len(by_content[name]) > len(sample.rows) / 2]
        named, hits = (usable, by_content) if usable else (named, hits)
        hits |= {name: names.hits(table.cells(name)) for name in usable}
    if not named:
        return None, set(), {}
    best = max(named, key=lambda name: len(hits[name]))
    if not hits[best]:
        best = next((name for name in named if _names_loosely(table, name, names)), best)
    more = {
        name: len(hits[name] - hits[best])
        for name in table.columns
        if name in hits and len(hits[name] - hits[best]) > len(hits[best]) / 2 > 0
    }
    if len(hits[best]) > 0:  # columns without a telling name that name files of their own
        for name in table.columns:
            if name not in hits and name not in more:
                own = names.hits(table.cells(name)[:SAMPLE]) - hits[best]
                if len(own) > min(len(table.rows), SAMPLE) / 2:
                    more[name] = len(own)
    return best, hits[best], more


def _names_loosely(table: Table, column: str, names: ImageNames) -> bool:
    cells = [cell for cell in table.cells(column)[:200] if cell]
    return any(names.loosely(clean(cell)) for cell in cells)


def _label_columns(
    table: Table, image: str, options: ImportOptions, preferred: str | None
) -> tuple[tuple[str, ...], int, list[str], list[str]]:
    """Label columns, how certain they are, what else could be one, and notes."""
    taken = {image, *filter(None, [options.image_column, options.split_column])}
    taken |= {name.lower() for name in options.group_columns}
    if options.label_columns:
        given = [column_of(table, name) for name in options.label_columns]
        columns = tuple(name for name in given if name)
        certainty = ONE_HOT if len(columns) > 1 else EXACT
        return (columns if len(columns) == len(given) else ()), certainty, [], []
    exact = [name for name in with_role(table.columns, "label") if name not in taken]
    level = _diagnosis_level(table)
    exact = [*([level] if level and not exact else []), *exact]
    if preferred in exact:
        exact.sort(key=lambda name: name != preferred)
    vague = [
        name
        for name in table.columns
        if name not in {*taken, *exact, *attribute_columns([name]).values()}
        and not entity(name)
        and is_label_word(name)
    ]
    column = _usable(table, exact)
    if column:
        name = named_by(table, column, [one for one in (*exact, *vague) if one != column])
        notes = []
        if name:
            notes.append(
                f"{table.spell(column)} holds numbers; {table.spell(name)}, which names them one to "
                "one, was taken for the label."
            )
            column = name
        return (column,), EXACT, [one for one in (*exact, *vague) if one != column], notes
    others = {*taken, *attribute_columns(table.columns).values()}
    others |= {name for name in table.columns if entity(name)}
    one_hot = one_hot_columns(table, [*others]) if table.rows else ()
    if one_hot:
        return one_hot, ONE_HOT, [name for name in vague if name not in one_hot], []
    column = _usable(table, vague)
    if column is None and not table.header and len(table.columns) == 2:
        column = next(name for name in table.columns if name != image)
    return ((column,) if column else ()), VAGUE, [one for one in vague if one != column], []


def _usable(table: Table, columns: Sequence[str]) -> str | None:
    """The first column that labels at least half as many images as the one that labels most."""
    counts = {
        name: sum(cell.casefold() not in NO_LABEL for cell in table.cells(name)) for name in columns
    }
    most = max(counts.values(), default=0)
    return next((name for name in columns if counts[name] >= USABLE_SHARE * most > 0), None)


def _diagnosis_level(table: Table) -> str | None:
    """Of diagnosis_1, diagnosis_2 … the finest that labels nearly all that the first labels."""
    levels = sorted(name for name in table.columns if LEVELS.fullmatch(name))
    counts = {name: sum(bool(cell) for cell in table.cells(name)) for name in levels}
    usable = [name for name in levels if counts[name] >= LEVEL_SHARE * counts[levels[0]] > 0]
    return usable[-1] if usable else None


@dataclass(frozen=True)
class GroupColumns:
    """Which columns of a table identify patients and lesions; "folder" is the image's folder."""

    patient: str | None = None
    lesion: str | None = None
    others: tuple[str, ...] = ()


def group_columns(table: Table, options: ImportOptions, taken: Sequence[str]) -> GroupColumns:
    """The columns of patients and lesions of a table.

    A column such as "patient" without a word such as "id" counts only where it holds many values.
    Columns that were given and that the table lacks are None.
    """
    if options.group_columns:
        given = [
            FOLDER if name == FOLDER else column_of(table, name) for name in options.group_columns
        ]
        return GroupColumns(given[0], given[1] if len(given) > 1 else None)
    best: dict[str, list[tuple[int, int, str]]] = {"patient": [], "lesion": []}
    for place, name in enumerate(table.columns):
        kind = entity(name)
        if kind is None or name in taken or not any(map(_is_id, table.cells(name))):
            continue
        values = set(filter(_is_id, table.cells(name)))
        if kind[2] or len(values) > max(2, len(table.rows) / 20):
            best[kind[0]].append((kind[1], place, name))
    patients, lesions = sorted(best["patient"]), sorted(best["lesion"])
    others = [name for _, _, name in (*patients[1:], *lesions[1:])]
    return GroupColumns(
        patients[0][2] if patients else None, lesions[0][2] if lesions else None, tuple(others)
    )


def _is_id(text: str) -> bool:
    return text.casefold() not in NO_LABEL


def split_column(table: Table, options: ImportOptions) -> str | None:
    """The column of the official split: most of its values name training, validation or test.

    Raises:
        DataError: the column that was given names none.
    """
    given = column_of(table, options.split_column) if options.split_column else None
    column = given or attribute_columns(table.columns).get("official_split")
    if column is None or (options.split_column and not given):
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


def missing_half(table: Table, names: ImageNames, has_images: bool) -> str:
    """Why a table cannot label images: one sentence, with its columns and the option to use."""
    columns = columns_of(table)
    if has_images:
        return (
            f"{table.name} has no column that names classes (it has {columns}); name it with "
            "--label-column, or import without labels with --classes none."
        )
    first = names.files.images[0] if names.files.images else "none"
    return (
        f"{table.name} has no column that names images (it has {columns}; the first image is "
        f"{first}); name it with --image-column."
    )
