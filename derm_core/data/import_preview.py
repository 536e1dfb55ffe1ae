"""What an import would read, from names and tables alone: nothing is written, no image is opened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..errors import DataError
from ..formatting import listed
from . import medmnist
from .cautions import cautions
from .facts import ListedImage
from .groups import complete_patients, find_groups, without_placeholders
from .image_ids import ImageIds
from .import_options import ImportOptions, ImportSource
from .layouts import Layout, find_layout
from .listing import Listing, read_listing
from .manifest import Skipped
from .mask_files import masks_beside, match_masks
from .masks import describe_count
from .recognition import recognise

MAX_CLASSES = 1000


@dataclass(frozen=True)
class ImportPreview:
    """What an import would read, before anything is written.

    Attributes:
        groups: before images of equal content join theirs.
        group_kinds: patient, lesion or image → how many images are grouped by it.
        splits: images by official split, empty where there is none.
        examples: class → paths of a few of its images; "" for those without a class.
        columns: of the label tables and those beside them.
    """

    source: ImportSource
    images: int
    class_counts: dict[str, int]
    unlabelled: int
    groups: int
    group_kinds: dict[str, int]
    splits: dict[str, int]
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    examples: dict[str, tuple[str, ...]]
    columns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


def preview_import(path: str | Path, options: ImportOptions | None = None) -> ImportPreview:
    """What an import of `path` would take for what; only names and tables are read, no image.

    Args:
        path: folder or file of the data set.
        options: what the user has decided.

    Raises:
        DataError: nothing can be imported, or the user has to decide something first.
    """
    layout = find_layout(Path(path), options)
    if layout.array is not None:
        listing, tables = medmnist.list_images(layout.array, Path()), []
    else:
        listing = complete_listing(layout)
        tables = [*layout.tables, *layout.companions]
    check_listing(layout, listing)
    images = listing.images
    ids = [image.image_id for image in images]
    by_class: dict[str, list[str]] = defaultdict(list)
    if layout.array is None:
        for image in images:
            by_class[image.label or ""].append(image.path)
    splits = Counter(image.known("official_split") or "" for image in images)
    labels = [image.label for image in images]
    groups, kinds = find_groups(images, ids, listing.same_lesion)
    notes = [*listing.notes, *_masks(layout, images)]
    notes += [f"Caution: {text}" for text in cautions(labels, groups, ids, kinds)]
    columns = (table.spell(column) for table in tables for column in table.columns)
    return ImportPreview(
        source=listing.source,
        images=len(images),
        class_counts=class_counts(labels, listing.classes),
        unlabelled=labels.count(None),
        groups=len(set(groups)),
        group_kinds=kinds,
        splits=dict(splits) if set(splits) - {""} else {},
        notes=tuple(notes),
        skipped=tuple(listing.skipped),
        examples={name: tuple(_spread(paths)) for name, paths in by_class.items()},
        columns=tuple(dict.fromkeys(columns)),
        tables=tuple(layout.files.relative(one) for one in layout.files.tables)
        if layout.files
        else (),
    )


def _masks(layout: Layout, images: Sequence[ListedImage]) -> list[str]:
    """How many images have a mask of their lesion, by the names of files, and which files fit none."""
    sources = masks_beside(layout.files) if layout.files else []
    if not sources:
        return []
    names = pd.DataFrame([(one.image_id, one.path) for one in images], columns=["image_id", "path"])
    matched = match_masks(sources, ImageIds(names), len(images))
    called = matched.called or listed([source.called for source in sources])
    return [describe_count(len(matched.masks), len(images), called), *matched.notes()]


def _spread(paths: Sequence[str], count: int = 6) -> list[str]:
    """A few of the paths, evenly spread."""
    return (
        [paths[i * len(paths) // count] for i in range(count)] if len(paths) > count else [*paths]
    )


def class_counts(labels: Sequence[str | None], classes: Sequence[str]) -> dict[str, int]:
    """Images by class, in the order of the classes; classes without images left out."""
    counts = Counter(labels)
    return {name: counts[name] for name in classes if counts[name]}


def complete_listing(layout: Layout) -> Listing:
    """The listing of a folder or table, with what is known of its patients and of public sets."""
    listing = read_listing(layout)
    images, notes = without_placeholders(listing.images)
    images, more = complete_patients(images)
    notes = [*listing.notes, *notes, *more]
    return recognise(layout, replace(listing, images=images, notes=notes))


def check_listing(layout: Layout, listing: Listing) -> None:
    """Raises DataError where no image was found, or labels are too many to be classes."""
    if not listing.images:
        first = listing.skipped[0] if listing.skipped else Skipped("", "it lists none")
        archives = " ".join(layout.files.not_read()) if layout.files else ""
        raise DataError(
            f"No image of {layout.source.name} was found (first: {first.path} — {first.reason}). "
            + (archives or "Images must lie below the folder of the table; linked folders are not ")
            + ("" if archives else "followed.")
        )
    if len(listing.classes) > MAX_CLASSES:
        raise DataError(
            f"{layout.source.name} has {len(listing.classes)} different labels; at most {MAX_CLASSES} "
            "classes are allowed. Is the label column the right one?"
        )
