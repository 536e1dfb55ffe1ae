"""Which columns of a table name its images and their classes, judged by names and by what they hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from . import known_datasets
from .columns import attribute_columns, entity, with_role
from .image_names import ImageNames
from .import_options import ImportOptions
from .labels import (
    columns_of,
    is_label_word,
    is_no_label,
    named_by,
    names_files,
    read_classes,
)
from .one_hot import CERTAIN, OneHot, find_one_hot, read_one_hot, shares
from .tables import Table, without_header

EXACT, ONE_HOT, VAGUE = 0, 1, 2  # how certain a label column is, the best first
FEW = 200  # rows that tell whether another column names images as well
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
        other_labels: columns that could have been the label as well.
        notes: why these columns were taken.
        remainder: class of the rows that have 0 in all of `one_hot`.
    """

    image: str
    label: str | None
    one_hot: tuple[str, ...] = ()
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
        if not re.search(r"\d", title):
            continue
        cells = table.cells(column)[:SAMPLE]
        alike = sum(_shape(cell) == _shape(title) for cell in cells)
        if alike > len(cells) / 2 and names.hits(cells):
            return without_header(table)
    return table


def _shape(text: str) -> str:
    return re.sub(r"\d+", "0", text.casefold())


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
        column = table.column(given)
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
        loose = (name for name in named if names.mostly_loosely(table.cells(name)[:200]))
        best = next(loose, best)
    more = {
        name: len(hits[name] - hits[best])
        for name in table.columns
        if name in hits and len(hits[name] - hits[best]) > len(hits[best]) / 2 > 0
    }
    if len(hits[best]) > 0:  # columns without a telling name that name files of their own
        for name in table.columns:
            if name not in hits and name not in more:
                own = names.hits(table.cells(name)[:FEW]) - hits[best]
                if len(own) > min(len(table.rows), FEW) / 2:
                    more[name] = len(names.hits(table.cells(name)) - hits[best])
    return best, hits[best], more


def _label_columns(
    table: Table, image: str, options: ImportOptions, preferred: str | None
) -> tuple[tuple[str, ...], int, list[str], list[str]]:
    """Label columns, how certain they are, what else could be one, and notes."""
    taken = {image, *filter(None, [options.image_column, options.split_column])}
    taken |= {name.lower() for name in options.group_columns}
    if options.label_columns:
        given = [table.column(name) for name in options.label_columns]
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
    one_hot = _one_hot(table, taken)
    column = _usable(table, exact)
    runs = (one_hot.columns, *one_hot.rivals)
    if one_hot.quality == CERTAIN and any(column in run for run in runs):
        column = None  # such as "disease" beside "normal" and "other"
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
    if one_hot.columns and not one_hot.is_ambiguous:
        rest = [name for name in vague if name not in one_hot.columns]
        return one_hot.columns, ONE_HOT, rest, _rivals(table, one_hot)
    if one_hot.quality == CERTAIN:
        return (), VAGUE, vague, []  # the user has to say which of several sets
    column = _usable(table, vague)
    certainty = VAGUE
    if column is None and not table.header and len(table.columns) == 2:
        column, certainty = next(name for name in table.columns if name != image), EXACT
    others = [one for one in vague if one != column]
    return ((column,) if column else ()), certainty, others, []


def _one_hot(table: Table, taken: Collection[str]) -> OneHot:
    """The one-hot columns of a table, beside those that are known to be something else."""
    others = {*taken, *attribute_columns(table.columns).values()}
    others |= {name for name in table.columns if entity(name) and shares(table.cells(name)) is None}
    return find_one_hot(table, [*others]) if table.rows else OneHot()


def _rivals(table: Table, one_hot: OneHot) -> list[str]:
    """A note of one-hot columns that were not taken for classes."""
    sets = "; ".join(", ".join(map(table.spell, run)) for run in one_hot.rivals)
    own = ", ".join(map(table.spell, one_hot.columns))
    return [f"Classes are the columns {own}; one-hot as well are {sets}."] if sets else []


def doubt(table: Table, image: str) -> str:
    """Why one-hot columns may be classes and may be something else; empty where there is no doubt."""
    one_hot = _one_hot(table, {image})
    if not one_hot.is_ambiguous:
        return ""
    sets = "; ".join(", ".join(map(table.spell, run)) for run in (one_hot.columns, *one_hot.rivals))
    return (
        f"{table.name} has several sets of columns of 0 and 1 ({sets}); name those of the classes with "
        "--label-column."
    )


def _usable(table: Table, columns: Sequence[str]) -> str | None:
    """The first column that labels at least half as many images as the one that labels most."""
    counts = {
        name: sum(not is_no_label(cell) for cell in table.cells(name))
        for name in columns
        if not names_files(table.cells(name))
    }
    most = max(counts.values(), default=0)
    return next((name for name in counts if counts[name] >= USABLE_SHARE * most > 0), None)


def _diagnosis_level(table: Table) -> str | None:
    """Of diagnosis_1, diagnosis_2 … the finest that labels nearly all that the first labels."""
    levels = sorted(name for name in table.columns if LEVELS.fullmatch(name))
    counts = {name: sum(bool(cell) for cell in table.cells(name)) for name in levels}
    usable = [name for name in levels if counts[name] >= LEVEL_SHARE * counts[levels[0]] > 0]
    return usable[-1] if usable else None


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
