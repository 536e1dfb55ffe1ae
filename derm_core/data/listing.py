"""The images of a recognised data set, as its tables or its folders list them."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import DataError
from ..formatting import count
from .columns import class_name
from .facts import ImageRow, ListedImage, with_facts
from .image_files import stem
from .image_names import Match
from .import_options import ImportSource
from .joins import listed_duplicates
from .labels import one_spelling
from .layouts import Layout
from .manifest import Skipped

LISTED = 1000  # files of one reason that are listed; all are counted


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


def read_listing(layout: Layout) -> Listing:
    """The images of a recognised folder or table (MedMNIST: `medmnist.unpack`).

    Raises:
        DataError: a cell names several files of different content, or a column that was given is
            in no table.
    """
    if layout.files is None or layout.names is None:
        raise ValueError(f"layout {layout.name} has no listing of files")
    notes = [*layout.notes, *layout.files.notes()]
    if layout.labels:
        rows, skipped, more = _rows_of_tables(layout)
    else:
        rows, skipped, more = _rows_of_folders(layout)
    notes += more
    images, source, more = with_facts(layout, rows)
    notes += more
    ids = {one.path: image.image_id for one, image in zip(rows, images, strict=True)}
    duplicates = listed_duplicates((*layout.companions, *layout.tables), layout.names)
    pairs = [(ids[a], ids[b]) for a, b in duplicates if a in ids and b in ids]
    notes += [
        f"These columns could have been the {what} as well: {', '.join(others)} (--{what}-column)."
        for what, others in (
            ("label", source.other_label_columns),
            ("group", source.other_group_columns),
        )
        if others
    ]
    return Listing(images, _classes(images), pairs, skipped, notes, source)


def _rows_of_tables(layout: Layout) -> tuple[list[ImageRow], list[Skipped], list[str]]:
    """The rows of the label tables whose images are there, once each."""
    labels, notes = _labels_of_tables(layout)
    matches: list[tuple[ImageRow, Match]] = []
    skipped: list[Skipped] = []
    rivals: dict[str, Match] = {}
    ways = Counter[str]()
    for one_table, classes in zip(layout.labels, labels, strict=True):
        table, image_column = one_table.table, one_table.columns.image
        base = posixpath.dirname(layout.files.relative(table.path)) if layout.files else ""
        for row, label in zip(table.rows, classes, strict=True):
            text = row[image_column]
            match = Match(reason="the table names no image here")
            if text and layout.names:
                match = layout.names.find(text, base)
            if match.rivals:
                rivals[text] = match
            if match.path is None:
                skipped.append(Skipped(text, match.reason))
                continue
            image_id = stem(text.replace("\\", "/").removeprefix("./"))
            matches.append((ImageRow(image_id, match.path, label, table, row), match))
    if rivals:
        raise _ask_which(rivals)
    exact = {one.path for one, match in matches if not match.how}
    loose: dict[str, set[str]] = defaultdict(set)
    for one, match in matches:
        if match.how:
            loose[one.path].add(one.image_id)
    rows: dict[str, ImageRow] = {}
    twice, conflicts = 0, []
    for one, match in matches:
        if match.how and (one.path in exact or len(loose[one.path]) > 1):
            reason = f"the name fits {one.path} alone, which another row names as well"
            skipped.append(Skipped(one.image_id, reason))
        elif one.path in rows:
            twice += 1
            first = rows[one.path]
            if first.label is None:
                first.label = one.label
            elif one.label not in (None, first.label):
                conflicts.append(one.path)
        else:
            rows[one.path] = one
            if match.how:
                ways[match.how] += 1
    for path in conflicts:
        rows[path].label = None
    notes += _notes_on_matches(layout, rows, ways, twice, conflicts, skipped)
    listed = list(rows.values())
    if len({one.image_id for one in listed}) < len(listed):  # equal names in different folders
        for one in listed:
            one.image_id = stem(one.path)
    return _with_short_ids(listed), _shortened(skipped), notes


def _labels_of_tables(layout: Layout) -> tuple[list[list[str | None]], list[str]]:
    """The class of each row of each table; names that stand in several tables are spelled alike."""
    labels, notes = [], []
    for one in layout.labels:
        classes, more = one.columns.classes(one.table)
        labels.append(classes)
        notes += more
    if len(labels) > 1:
        joined, more = one_spelling([label for classes in labels for label in classes])
        notes += more
        spelled = iter(joined)
        labels = [[next(spelled) for _ in classes] for classes in labels]
    return labels, notes


def _ask_which(rivals: Mapping[str, Match]) -> DataError:
    text, match = next(iter(rivals.items()))
    first, second = match.rivals[:2]
    folders = [posixpath.dirname(path) for path in (first, second)]
    patterns = [f"'{folder}/*'" for folder in folders]
    if folders[0] == folders[1]:
        patterns = [f"'*{posixpath.splitext(path)[1]}'" for path in (first, second)]
    return DataError(
        f"{len(rivals)} names of the table fit several files of different content: {text} is "
        f"{' and '.join(match.rivals[:3])}. Leave those out that are no photos: --exclude {patterns[0]} "
        f"or --exclude {patterns[1]}; or write paths into the table."
    )


def _notes_on_matches(
    layout: Layout,
    rows: Mapping[str, ImageRow],
    ways: Mapping[str, int],
    twice: int,
    conflicts: Sequence[str],
    skipped: Sequence[Skipped],
) -> list[str]:
    notes = [f"{count(n, 'name')} matched without regard to {way}." for way, n in ways.items()]
    if twice:
        notes.append(
            f"{count(twice, 'more row')} on an image that the table has named before: the first counts."
        )
    if conflicts:
        notes.append(
            f"Caution: {count(len(conflicts), 'image')} with two labels that contradict each other (such as "
            f"{conflicts[0]}): no label was given."
        )
    if skipped:
        reasons = Counter(one.reason.split(";")[0].split(" (")[0] for one in skipped)
        named = "; ".join(f"{reason}: {n}" for reason, n in reasons.most_common(4))
        notes.append(
            f"{count(len(skipped), 'row')} left out: {named} (the first: {skipped[0].path})."
        )
    if layout.files:
        unused = len(layout.files.images) - len(rows)
        if unused:
            names = ", ".join(table.name for table in layout.tables)
            notes.append(f"{count(unused, 'image file')} not named in {names} left out.")
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


def _rows_of_folders(layout: Layout) -> tuple[list[ImageRow], list[Skipped], list[str]]:
    assert layout.files is not None
    labels = {image: class_name(name) for image, name in layout.folders.labels.items()}
    spelled, notes = one_spelling(list(labels.values()))
    of_image = dict(zip(labels, spelled, strict=True))
    rows, skipped = [], []
    for image in layout.files.images:
        has_place = image in of_image or not of_image or image in layout.folders.splits
        if has_place or layout.options.has_pattern:
            rows.append(ImageRow(image, image, of_image.get(image)))
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


def _with_short_ids(rows: list[ImageRow]) -> list[ImageRow]:
    """Rows whose ids are bare file names in place of paths, where these are unique."""
    short = [posixpath.basename(one.image_id) for one in rows]
    if len(set(short)) == len(short):
        for one, name in zip(rows, short, strict=True):
            one.image_id = name
    return rows


def _classes(images: Sequence[ListedImage]) -> list[str]:
    """Class names in natural order: class-2 before class-10."""
    names = {image.label for image in images if image.label is not None}
    return sorted(
        names, key=lambda name: (0, float(name), name) if name.isdecimal() else (1, 0.0, name)
    )
