"""Which of several tables, or folders, name the classes: decided where it is clear, else asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..errors import DataError
from .image_names import key
from .known_datasets import table_of
from .label_tables import LabelTable
from .labels import same_class
from .tables import Table

# Names of tables and columns that a model wrote; "results" may be a laboratory's.
PREDICTIONS = re.compile(r"predict|\bpreds?\b|submi|logit|probab|inference|(?<!ground[ _-])output")
RESULTS = re.compile(r"result|score")
COLUMNS = re.compile(r"pred|prob|logit|score|confidence|softmax")
TRUTH = re.compile(r"ground[ _-]?truth")


def looks_like_predictions(table: Table) -> bool:
    """Whether a table's name, or its name and columns, say that a model wrote it."""
    name = table.name.lower().replace("_", " ")
    by_columns = any(COLUMNS.search(column) for column in table.columns)
    return bool(PREDICTIONS.search(name)) or (bool(RESULTS.search(name)) and by_columns)


def choose(tables: Sequence[LabelTable], files_of: Mapping[str, set[str]]) -> list[LabelTable]:
    """The label table, or several that are one set.

    Of tables that name the same images, the ground truth counts, or the largest where they agree.
    Tables that name other images join it where they name some of the same classes.

    Args:
        tables: candidates, none of which a model wrote.
        files_of: path of the table → images that it names.

    Raises:
        DataError: several tables label the same images differently, or other images otherwise.
    """
    ranked = sorted(
        tables,
        key=lambda one: (
            not TRUTH.search(one.table.name.lower()),
            one.certainty,
            -len(files_of[str(one.table.path)]),
        ),
    )
    chosen: list[LabelTable] = []
    named: set[str] = set()
    for one in ranked:
        files = files_of[str(one.table.path)]
        overlap = files & named
        if not overlap or len(overlap) < 0.05 * min(len(files), len(named)):
            if chosen and not _share_classes(chosen, one):
                if one.certainty > chosen[0].certainty and not one.table.split:
                    continue  # such as a table of other facts
                raise _ask(tables)
            chosen.append(one)
            named |= files
        elif one.certainty == chosen[0].certainty and not _is_truth(chosen, one):
            if not all(_agree(other, one) for other in chosen):
                raise _ask(tables)
            if files - named:
                chosen.append(one)
                named |= files
    return chosen


def _is_truth(chosen: Sequence[LabelTable], other: LabelTable) -> bool:
    """Whether the chosen tables are called ground truth and the other is not."""
    called = [bool(TRUTH.search(one.table.name.lower())) for one in (*chosen, other)]
    return all(called[:-1]) and not called[-1]


def _share_classes(chosen: Sequence[LabelTable], other: LabelTable) -> bool:
    if any(one.columns.labels == other.columns.labels for one in chosen):
        return True
    known = {same_class(name) for one in chosen for name in _labels(one).values() if name}
    own = {same_class(name) for name in _labels(other).values() if name}
    return bool(known & own) or not own


def _ask(tables: Sequence[LabelTable]) -> DataError:
    names = ", ".join(
        f"{one.table.name} ({', '.join(map(one.table.spell, one.columns.labels[:3]))})"
        for one in tables[:4]
    )
    return DataError(
        f"Several tables label the images differently ({names}); name one with --table, or several "
        "that are one set."
    )


def is_table_better(
    chosen: Sequence[LabelTable], of_folders: Mapping[str, str], images: int
) -> bool:
    """Whether labels come from a table, where folders look like classes as well.

    Args:
        chosen: the label table, or several that are one set.
        of_folders: image → its class's folder.
        images: the number of images of the set.

    Raises:
        DataError: both do, and say different things.
    """
    of_folder = {key(image): name for image, name in of_folders.items()}
    pairs = [
        (same_class(label), same_class(of_folder[image]))
        for one in chosen
        for image, label in _labels(one).items()
        if label is not None and image in of_folder
    ]
    named = {image for one in chosen for image in one.hits}
    known = table_of(chosen[0].table, chosen[0].columns.image)
    if known and known.has_folders:
        return True
    if looks_like_predictions(chosen[0].table) or len(named) < len(of_folder) / 2:
        return False
    if len(of_folder) < images / 2:
        return True
    equal = sum(a == b for a, b in pairs)
    if equal >= 0.95 * len(pairs):
        return True
    shared = {a for a, _ in pairs} & {b for _, b in pairs}
    if shared:
        return False  # the same words, dealt out otherwise: predictions, or an older version
    table = chosen[0]
    labels = ", ".join(table.table.spell(name) for name in table.columns.labels[:3])
    raise DataError(
        f"Both the folders ({', '.join(sorted(set(of_folders.values()))[:4])}) and "
        f"{table.table.name} ({labels}) may name the classes: say --table {table.table.name} or "
        "--classes folder."
    )


def _labels(one: LabelTable) -> dict[str, str | None]:
    """Key of the image's file name → class."""
    classes, _ = one.columns.classes(one.table)
    return {
        key(row[one.columns.image]): label
        for row, label in zip(one.table.rows, classes, strict=True)
    }


def _agree(first: LabelTable, other: LabelTable) -> bool:
    """Whether two tables sort the images that both name into the same classes, whatever their names."""
    a, b = _labels(first), _labels(other)
    common = a.keys() & b.keys()
    pairs = {(a[image], b[image]) for image in common if a[image] and b[image]}
    return len(pairs) == len({one for one, _ in pairs}) == len({one for _, one in pairs})
