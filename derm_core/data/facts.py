"""What tables and folders say of each image: patients, lesions, official split and attributes."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..errors import DataError
from .columns import GROUPS, attribute_columns, attributes
from .group_columns import group_columns, split_column
from .import_options import FOLDER, ImportSource
from .joins import Companion, companion, is_duplicates_table
from .labels import columns_of
from .layouts import Layout
from .tables import Table


@dataclass(frozen=True)
class ListedImage:
    """An image as its source lists it; attributes: values under the names in `columns.COLUMNS`."""

    image_id: str
    path: str
    label: str | None
    attributes: dict[str, str | float | None] = field(default_factory=dict)

    def known(self, name: str) -> str | None:
        """The text of an attribute; None where it is missing or unknown."""
        value = self.attributes.get(name)
        return None if value is None else str(value)

    def row(self) -> dict[str, str | float | None]:
        """All values by name, as the manifest holds them."""
        return {
            "image_id": self.image_id,
            "path": self.path,
            "label": self.label,
            **self.attributes,
        }


@dataclass
class ImageRow:
    """An image before its facts are joined: path relative, row of its label table."""

    image_id: str
    path: str
    label: str | None
    table: Table | None = None
    row: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Facts:
    """A table and which of its columns hold what.

    columns: our name of a fact → column; source: what joins a companion to the images, None for the
    label tables themselves.
    """

    table: Table
    columns: Mapping[str, str]
    other_groups: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    source: Companion | None = None

    @cached_property
    def origins(self) -> dict[str, str]:
        """Our name of a fact → its column as the table spells it."""
        return {name: self.table.spell(column) for name, column in self.columns.items()}

    def row(self, one: ImageRow) -> Mapping[str, str]:
        """What the table says of an image."""
        if self.source is None:
            return one.row if one.table is self.table else {}
        return self.source.row(one.path, one.row) or {}


def with_facts(
    layout: Layout, rows: Sequence[ImageRow]
) -> tuple[list[ListedImage], ImportSource, list[str]]:
    """Images with the groups, splits and attributes that tables and folders give them.

    Returns:
        The images, what was taken for what, and notes on tables and columns that were not used.

    Raises:
        DataError: a column that the user named is in no table that is used.
    """
    base = layout.tables[0] if layout.tables else None
    sources = [_facts_of(layout, table) for table in layout.tables]
    notes = []
    for table in layout.companions:
        if layout.names is None or layout.files is None or is_duplicates_table(table):
            continue
        folder = posixpath.dirname(layout.files.relative(table.path))
        other = companion(table, base, layout.names, folder)
        if other:
            sources.append(replace(_facts_of(layout, table), source=other))
        elif table.rows:
            notes.append(f"{table.name} was not used: nothing in it names the images.")
    images, used = _join_facts(layout, rows, sources)
    notes += [f"Caution: {text}" for facts in sources for text in facts.cautions]
    return images, _source(layout, sources, used), notes


def _facts_of(layout: Layout, table: Table) -> _Facts:
    taken = [name for one in layout.labels if one.table is table for name in one.columns.labels]
    columns = attribute_columns(name for name in table.columns if name not in taken)
    columns.pop("official_split", None)
    split = split_column(table, layout.options)
    if split and split not in taken:
        columns["official_split"] = split
    groups = group_columns(table, layout.options, taken)
    for kind, column in zip(GROUPS, (groups.patient, groups.lesion), strict=True):
        if column and column != FOLDER:
            columns[kind] = column
    return _Facts(table, columns, groups.others, groups.cautions)


def _join_facts(
    layout: Layout, rows: Sequence[ImageRow], sources: Sequence[_Facts]
) -> tuple[list[ListedImage], dict[str, set[str]]]:
    """Images with what all sources say of them, the first that knows a value counting.

    Returns:
        The images, and our name of a fact → the columns that it came from.
    """
    _check_given(layout, sources)
    used: dict[str, set[str]] = defaultdict(set)
    split_lists = [facts for facts in sources if facts.source and facts.table.split]
    images = []
    for one in rows:
        values: dict[str, str | float | None] = {}
        for facts in sources:
            for name, value in attributes(facts.row(one), facts.columns).items():
                if value is None:
                    values.setdefault(name, None)
                elif values.get(name) is None:
                    values[name] = value
                    used[name].add(facts.origins[name])
        lists = [facts for facts in split_lists if facts.row(one)]
        if lists and values.get("official_split") is None and not layout.options.split_column:
            values["official_split"] = lists[0].table.split
            used["official_split"].add("file name")
        for name, (value, origin) in _facts_of_path(layout, one).items():
            if values.get(name) is None:
                values[name] = value
                used[name].add(origin)
        path = layout.files.absolute(one.path) if layout.files else one.path
        images.append(ListedImage(one.image_id, path, one.label, values))
    if len({image.known("official_split") for image in images} - {None}) < 2:  # a part, no split
        used.pop("official_split", None)
        for image in images:
            image.attributes.pop("official_split", None)
    return images, used


def _facts_of_path(layout: Layout, one: ImageRow) -> dict[str, tuple[str, str]]:
    """What the folders of an image, or the name of its table, say: our name → value and origin."""
    options, folders = layout.options, layout.folders
    facts = {}
    split = folders.splits.get(one.path)
    if not options.split_column and (split or (one.table and one.table.split)):
        origin = FOLDER if split else "file name"
        facts["official_split"] = split or (one.table and one.table.split) or "", origin
    if FOLDER in options.group_columns:
        kind = GROUPS[options.group_columns.index(FOLDER)]
        folder = folders.ids.get(one.path) or one.path.rpartition("/")[0]
        facts[kind] = folder, FOLDER
    elif not options.group_columns and one.path in folders.groups:
        facts[folders.kind] = folders.groups[one.path], FOLDER
    return facts


def _check_given(layout: Layout, sources: Sequence[_Facts]) -> None:
    """Raises DataError where a column that the user named is in no table that is used."""
    options = layout.options
    tables = (*layout.tables, *layout.companions)
    known = {name for table in tables for name in table.columns}
    wanted = [*options.group_columns, *filter(None, [options.split_column])]
    missing = [name for name in wanted if name != FOLDER and name.strip().lower() not in known]
    if missing:
        named = "; ".join(f"{table.name}: {columns_of(table)}" for table in tables) or "none"
        raise DataError(f"No table has a column {missing[0]!r} (columns of {named}).")
    joined = {name for facts in sources for name in facts.table.columns}
    unjoined = [name for name in wanted if name != FOLDER and name.strip().lower() not in joined]
    if unjoined:
        raise DataError(
            f"The table with the column {unjoined[0]!r} names neither the images nor an id of the label "
            "table; add such a column to it."
        )


def _source(
    layout: Layout, sources: Sequence[_Facts], used: Mapping[str, set[str]]
) -> ImportSource:
    """What was taken for what."""

    def joined(*names: str) -> str | None:
        columns = [column for name in names for column in sorted(used.get(name, ()))]
        return ", ".join(columns) or None

    def spelled(pairs: Iterable[tuple[Table, Sequence[str]]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table.spell(name) for table, own in pairs for name in own))

    labels = layout.labels
    label = ", ".join(spelled((one.table, one.columns.labels) for one in labels))
    image = ", ".join(spelled((one.table, (one.columns.image,)) for one in labels))
    other_labels = spelled((one.table, one.columns.other_labels) for one in labels)
    others = spelled((facts.table, facts.other_groups) for facts in sources)
    if layout.folders.labels and not labels:
        label = FOLDER
    names = [
        name
        for one in layout.tables
        if layout.files
        for name in (layout.files.relative(one.path), *one.joined)
    ]
    return ImportSource(
        layout=layout.name,
        table=", ".join(names) or None,
        image_column=image or None,
        label_column=label or None,
        group_column=joined("patient", "lesion"),
        split_column=joined("official_split"),
        companions=tuple(one.table.name for one in sources if one.source),
        other_label_columns=other_labels,
        other_group_columns=others,
    )
