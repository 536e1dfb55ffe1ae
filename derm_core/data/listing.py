"""The images of a recognised data set, as its tables or its folders list them."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import DataError
from .columns import attribute_columns, attributes, class_name
from .image_files import stem
from .image_names import Match, count_ways, key
from .import_options import FOLDER, ImportSource
from .joins import Companion, companion, is_duplicates_table, listed_duplicates
from .label_tables import GroupColumns, ImageColumns, group_columns, split_column
from .labels import columns_of, one_spelling
from .layouts import Layout
from .manifest import Skipped
from .tables import Table

LISTED = 1000  # files of one reason that are listed; all are counted


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


@dataclass(frozen=True)
class Listing:
    """The images of a data set.

    Attributes:
        same_lesion: ids of images that are known to show the same lesion.
        notes: what was assumed; cautions begin with "Caution:".
        source: what was taken for what.
    """

    images: list[ListedImage]
    classes: list[str]
    same_lesion: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: ImportSource = field(default_factory=ImportSource)


@dataclass
class _Row:
    """An image before its facts are joined: path relative, row of its label table."""

    image_id: str
    path: str
    label: str | None
    table: Table | None = None
    row: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Facts:
    """Where the groups and attributes of images come from: one table and its columns.

    source: the label table itself (None), or a companion.
    """

    table: Table
    groups: GroupColumns
    split: str | None
    attributes: Mapping[str, str]
    source: Companion | None = None

    def row(self, one: _Row) -> Mapping[str, str]:
        if self.source is None:
            return one.row
        return self.source.row(key(one.path), one.row) or {}


def read_listing(layout: Layout) -> Listing:
    """The images of a recognised folder or table (MedMNIST: `medmnist.unpack`).

    Raises:
        DataError: a cell names several files of different content, or a column that was given is
            in no table.
    """
    if layout.files is None or layout.names is None:
        raise ValueError(f"layout {layout.name} has no listing of files")
    notes = [*layout.notes, *layout.files.notes()]
    if layout.columns:
        rows, skipped, more = _rows_of_tables(layout, layout.columns)
    else:
        rows, skipped, more = _rows_of_folders(layout)
    notes += more
    base = layout.tables[0] if layout.tables else None
    sources = [_facts_of(layout, table) for table in layout.tables[:1]]
    joined = []
    for table in layout.companions:
        other = None if is_duplicates_table(table) else companion(table, base, layout.names)
        if other:
            joined.append(replace(_facts_of(layout, table), source=other))
    images, used = _with_facts(layout, rows, [*sources, *joined])
    ids = {key(one.path): image.image_id for one, image in zip(rows, images, strict=True)}
    pairs = [
        (ids[a], ids[b])
        for a, b in listed_duplicates((*layout.companions, *layout.tables), layout.names)
        if a in ids and b in ids
    ]
    source = _source(layout, [*sources, *joined], used)
    notes += [
        f"These columns could have been the {what} as well: {', '.join(others)} (--{what}-column)."
        for what, others in (
            ("label", source.other_label_columns),
            ("group", source.other_group_columns),
        )
        if others
    ]
    return Listing(images, _classes(images), pairs, skipped, notes, source)


def _rows_of_tables(
    layout: Layout, columns: ImageColumns
) -> tuple[list[_Row], list[Skipped], list[str]]:
    """The rows of the label tables whose images are there, once each."""
    labels, notes = _labels_of_tables(layout, columns)
    matches: list[tuple[_Row, Match]] = []
    skipped: list[Skipped] = []
    rivals: dict[str, Match] = {}
    ways = Counter[str]()
    for table, classes in zip(layout.tables, labels, strict=True):
        base = posixpath.dirname(layout.files.relative(table.path)) if layout.files else ""
        for row, label in zip(table.rows, classes, strict=True):
            text = row[columns.image]
            match = Match(reason="the table names no image here")
            if text and layout.names:
                match = layout.names.find(text, base)
            if match.rivals:
                rivals[text] = match
            if match.path is None:
                skipped.append(Skipped(text, match.reason))
                continue
            image_id = stem(text.replace("\\", "/").removeprefix("./"))
            matches.append((_Row(image_id, match.path, label, table, row), match))
    if rivals:
        raise _ask_which(rivals)
    exact = {one.path for one, match in matches if not match.how}
    loose: dict[str, set[str]] = defaultdict(set)
    for one, match in matches:
        if match.how:
            loose[one.path].add(one.image_id)
    rows: dict[str, _Row] = {}
    twice, conflicts = 0, []
    for one, match in matches:
        if match.how and (one.path in exact or len(loose[one.path]) > 1):
            reason = f"the name fits {one.path} alone, which another row names as well"
            skipped.append(Skipped(one.image_id, reason))
        elif one.path in rows:
            twice += 1
            if rows[one.path].label != one.label:
                conflicts.append(one.path)
        else:
            rows[one.path] = one
            ways.update(count_ways([match]))
    for path in conflicts:
        rows[path].label = None
    notes += _notes_on_matches(layout, rows, ways, twice, conflicts, skipped)
    listed = list(rows.values())
    if len({one.image_id for one in listed}) < len(listed):  # equal names in different folders
        for one in listed:
            one.image_id = stem(one.path)
    return _with_short_ids(listed), _shortened(skipped), notes


def _labels_of_tables(
    layout: Layout, columns: ImageColumns
) -> tuple[list[list[str | None]], list[str]]:
    """The class of each row of each table; names that stand in several tables are spelled alike."""
    labels, notes = [], []
    for table in layout.tables:
        classes, more = columns.classes(table)
        labels.append(classes)
        notes += more
    if len(labels) > 1:
        joined, more = one_spelling([label for classes in labels for label in classes])
        notes += more
        lengths = [len(classes) for classes in labels]
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        labels = [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return labels, notes


def _ask_which(rivals: Mapping[str, Match]) -> DataError:
    text, match = next(iter(rivals.items()))
    folders = sorted({posixpath.dirname(path) or "." for path in match.rivals})
    return DataError(
        f"{len(rivals)} names of the table fit several files of different content: {text} is "
        f"{' and '.join(match.rivals[:3])}. Leave all but one folder out, such as with --exclude "
        f"'{folders[-1]}/*', or write paths into the table."
    )


def _notes_on_matches(
    layout: Layout,
    rows: Mapping[str, _Row],
    ways: Mapping[str, int],
    twice: int,
    conflicts: Sequence[str],
    skipped: Sequence[Skipped],
) -> list[str]:
    notes = [f"{count} names were matched without regard to {way}." for way, count in ways.items()]
    if twice:
        notes.append(
            f"{twice} rows name an image that the table has named before; the first counts."
        )
    if conflicts:
        notes.append(
            f"Caution: {len(conflicts)} images have two labels that contradict each other (such as "
            f"{conflicts[0]}); no label was given to them."
        )
    if skipped:
        reasons = Counter(one.reason.split(";")[0].split(" (")[0] for one in skipped)
        named = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common(4))
        notes.append(f"{len(skipped)} rows were left out: {named} (the first: {skipped[0].path}).")
    if layout.files:
        unused = len(layout.files.images) - len(rows)
        if unused:
            notes.append(f"{unused} image files are not named in the table and were left out.")
    return notes


def _shortened(skipped: Sequence[Skipped]) -> list[Skipped]:
    """At most LISTED files of each reason."""
    counts = Counter[str]()
    listed = []
    for one in skipped:
        counts[one.reason] += 1
        if counts[one.reason] <= LISTED:
            listed.append(one)
    return listed


def _rows_of_folders(layout: Layout) -> tuple[list[_Row], list[Skipped], list[str]]:
    assert layout.files is not None
    labels = {image: class_name(name) for image, name in layout.folders.labels.items()}
    spelled, notes = one_spelling(list(labels.values()))
    of_image = dict(zip(labels, spelled, strict=True))
    rows, skipped = [], []
    for image in layout.files.images:
        has_place = image in of_image or not of_image or image in layout.folders.splits
        if has_place or layout.options.has_pattern:
            rows.append(_Row(image, image, of_image.get(image)))
        else:
            skipped.append(Skipped(image, "the file lies in no class folder"))
    without_suffix = [stem(one.image_id) for one in rows]
    if len(set(without_suffix)) == len(rows):
        for one, name in zip(rows, without_suffix, strict=True):
            one.image_id = name
    skipped += [Skipped(path, reason) for path, reason in sorted(layout.files.refused.items())]
    folders = {image.rpartition("/")[0] for image in of_image}
    skipped += [
        Skipped(path, "the file is no image")
        for path in layout.files.others
        if path.rpartition("/")[0] in folders
    ]
    return _with_short_ids(rows), _shortened(skipped), notes


def _with_short_ids(rows: list[_Row]) -> list[_Row]:
    """Rows whose ids are bare file names in place of paths, where these are unique."""
    short = [posixpath.basename(one.image_id) for one in rows]
    if len(set(short)) == len(short):
        for one, name in zip(rows, short, strict=True):
            one.image_id = name
    return rows


def _facts_of(layout: Layout, table: Table) -> _Facts:
    taken = layout.columns.labels if layout.columns and table in layout.tables else ()
    return _Facts(
        table,
        group_columns(table, layout.options, taken),
        split_column(table, layout.options),
        {
            name: column
            for name, column in attribute_columns(table.columns).items()
            if name != "official_split" and column not in taken
        },
    )


def _with_facts(
    layout: Layout, rows: Sequence[_Row], sources: Sequence[_Facts]
) -> tuple[list[ListedImage], dict[str, set[str]]]:
    """Images with the groups and attributes that tables and folders give them.

    Returns:
        The images, and what was used: patient, lesion or split → columns, by table.
    """
    options, folders = layout.options, layout.folders
    _check_given(layout, sources)
    used: dict[str, set[str]] = defaultdict(set)
    by_folder = FOLDER in options.group_columns
    images = []
    for one in rows:
        values: dict[str, str | float | None] = {}
        for facts in sources:
            row = facts.row(one)
            columns = dict(facts.attributes)
            if facts.split:
                columns["official_split"] = facts.split
            for kind in ("patient", "lesion"):
                column = getattr(facts.groups, kind)
                if column and column != FOLDER:
                    columns[kind] = column
            for name, value in attributes(row, columns).items():
                if value is not None and values.get(name) is None:
                    values[name] = value
                    used[name].add(facts.table.spell(columns[name]))
                values.setdefault(name, None)
        split = folders.splits.get(one.path) or (one.table.split if one.table else None)
        if split and values.get("official_split") is None and not options.split_column:
            values["official_split"] = split
            used["official_split"].add(FOLDER if one.path in folders.splits else "file name")
        kind = folders.kind
        group = one.path.rpartition("/")[0] if by_folder else folders.groups.get(one.path)
        if by_folder:
            kind = "patient" if options.group_columns[0] == FOLDER else "lesion"
        if group and values.get(kind) is None and (by_folder or not options.group_columns):
            values[kind] = group
            used[kind].add(FOLDER)
        path = layout.files.absolute(one.path) if layout.files else one.path
        images.append(ListedImage(one.image_id, path, one.label, values))
    return images, used


def _check_given(layout: Layout, sources: Sequence[_Facts]) -> None:
    """Raises DataError where a column that the user named is in no table that is used."""
    options = layout.options
    known = {name for facts in sources for name in facts.table.columns}
    wanted = [*options.group_columns, *filter(None, [options.split_column])]
    missing = [name for name in wanted if name != FOLDER and name.strip().lower() not in known]
    if missing:
        tables = (
            "; ".join(f"{one.table.name}: {columns_of(one.table)}" for one in sources) or "none"
        )
        raise DataError(f"No table has a column {missing[0]!r} (columns of {tables}).")


def _source(
    layout: Layout, sources: Sequence[_Facts], used: Mapping[str, set[str]]
) -> ImportSource:
    """What was taken for what."""

    def joined(*names: str) -> str | None:
        columns = [column for name in names for column in sorted(used.get(name, ()))]
        return ", ".join(columns) or None

    columns, table = layout.columns, layout.tables[0] if layout.tables else None
    others = [facts.table.spell(name) for facts in sources for name in facts.groups.others]
    label = image = None
    other_labels: tuple[str, ...] = ()
    if columns and table:
        image = table.spell(columns.image)
        label = ", ".join(table.spell(name) for name in columns.labels) or None
        other_labels = tuple(table.spell(name) for name in columns.other_labels)
    elif layout.folders.labels:
        label = FOLDER
    return ImportSource(
        layout=layout.name,
        table=", ".join(layout.files.relative(one.path) for one in layout.tables) or None
        if layout.files
        else None,
        image_column=image,
        label_column=label,
        group_column=joined("patient", "lesion"),
        split_column=joined("official_split"),
        companions=tuple(one.table.name for one in sources if one.source),
        other_label_columns=other_labels,
        other_group_columns=tuple(dict.fromkeys(others)),
    )


def _classes(images: Sequence[ListedImage]) -> list[str]:
    """Class names in natural order: class-2 before class-10."""
    names = {image.label for image in images if image.label is not None}
    return sorted(
        names, key=lambda name: (0, float(name), name) if name.isdecimal() else (1, 0.0, name)
    )
