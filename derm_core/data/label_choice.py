"""Which of several tables, or folders, name the classes: decided where it is clear, else asked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..errors import DataError
from .image_names import key
from .known_datasets import table_of
from .label_tables import LabelTable
from .labels import same_class
from .tables import Table

PREDICTIONS = re.compile(r"predict|result|output|submi|logit|probab|score|inference")

TRUTH = re.compile(r"ground[ _-]?truth")


def looks_like_predictions(table: Table) -> bool:
    """Whether a table's name says that a model wrote it."""
    return bool(PREDICTIONS.search(table.name.lower()))


def without_predictions(tables: Sequence[LabelTable]) -> list[LabelTable]:
    """The tables that no model wrote, of these the ground truths; all where there are no such ones."""
    others = [one for one in tables if not looks_like_predictions(one.table)]
    return [one for one in others if TRUTH.search(one.table.name.lower())] or others or [*tables]


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


def same_columns(tables: Sequence[LabelTable]) -> list[list[LabelTable]]:
    """The tables by the columns that name images and classes."""
    groups: dict[tuple[str, tuple[str, ...]], list[LabelTable]] = defaultdict(list)
    for one in tables:
        groups[one.columns.image, one.columns.labels].append(one)
    return list(groups.values())


def _labels(one: LabelTable) -> dict[str, str | None]:
    """Key of the image's file name → class."""
    classes, _ = one.columns.classes(one.table)
    return {
        key(row[one.columns.image]): label
        for row, label in zip(one.table.rows, classes, strict=True)
    }


def agree(first: LabelTable, other: LabelTable) -> bool:
    """Whether two tables sort the images that both name into the same classes, whatever their names."""
    if not other.hits <= first.hits:
        return False
    a, b = _labels(first), _labels(other)
    pairs = {(a[image], b[image]) for image in other.hits if a.get(image) and b.get(image)}
    return len(pairs) == len({one for one, _ in pairs}) == len({one for _, one in pairs})
