"""The images of a recognised data set, as its table or its folders list them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .columns import IMAGE_IDS, attribute_columns, attributes, class_name
from .image_files import IMAGE_SUFFIXES, FolderFiles, looks_like_mask, stem
from .layouts import ImageColumns, Layout, class_folders
from .manifest import Skipped
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


@dataclass(frozen=True)
class Listing:
    """The images of a data set; same_lesion: ids of images that are known to show the same lesion."""

    images: list[ListedImage]
    classes: list[str]
    same_lesion: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_listing(layout: Layout) -> Listing:
    """The images of a recognised folder or table (MedMNIST: `medmnist.unpack`)."""
    if layout.files is None:
        raise ValueError(f"layout {layout.name} has no listing of files")
    if layout.table is None or layout.columns is None:
        return _read_folders(layout.files)
    return _read_images_of_table(layout.files, layout.table, layout.columns, layout.companions)


def _read_images_of_table(
    files: FolderFiles, table: Table, columns: ImageColumns, companions: Sequence[Table]
) -> Listing:
    base = os.path.relpath(table.path.parent, files.root).replace(os.sep, "/")
    extra = _companion_rows(companions)
    known = attribute_columns({name for row in extra.values() for name in row})
    known |= attribute_columns(table.columns)
    images: dict[str, ListedImage] = {}
    skipped, used = [], set()
    for row in table.rows:
        text = row[columns.image]
        path, reason = files.find(text, base) if text else (None, "the table names no image here")
        if path is None:
            skipped.append(Skipped(text, reason))
            continue
        used.add(path)
        image_id = stem(text.replace("\\", "/").removeprefix("./"))
        if image_id in images:
            reason = "the table names this image twice; the first line counts"
            skipped.append(Skipped(text, reason))
            continue
        values = attributes({**extra.get(image_id, {}), **row}, known)
        images[image_id] = ListedImage(image_id, path, columns.class_of(row), values)
    listed = _with_short_ids(list(images.values()))
    notes = _notes_on_table(listed, files, used)
    return Listing(listed, _classes(listed), _listed_duplicates(companions), skipped, notes)


def _companion_rows(tables: Sequence[Table]) -> dict[str, dict[str, str]]:
    """What other tables beside the labels (lesion groups, metadata) say, by image id."""
    rows: dict[str, dict[str, str]] = {}
    for table in tables:
        column = table.column(IMAGE_IDS)
        if column:
            for row in table.rows:
                rows.setdefault(stem(row[column]), {}).update(row)
    return rows


def _listed_duplicates(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Pairs of image ids in known_duplicates.csv."""
    return [
        (stem(row["from_img"]), stem(row["to_img"]))
        for table in tables
        if table.path.name.lower() == "known_duplicates.csv"
        and {"from_img", "to_img"} <= set(table.columns)
        for row in table.rows
    ]


def _with_short_ids(images: list[ListedImage]) -> list[ListedImage]:
    """Images whose ids are bare file names in place of paths, where these are unique."""
    short = [posixpath.basename(image.image_id) for image in images]
    if len(set(short)) < len(short):
        return images
    return [replace(image, image_id=name) for image, name in zip(images, short, strict=True)]


def _classes(images: Sequence[ListedImage]) -> list[str]:
    """Class names in natural order: class-2 before class-10."""
    names = {image.label for image in images if image.label is not None}
    return sorted(
        names, key=lambda name: (0, float(name), name) if name.isdecimal() else (1, 0.0, name)
    )


def _notes_on_table(images: list[ListedImage], files: FolderFiles, used: set[str]) -> list[str]:
    notes = []
    unlabelled = sum(image.label is None for image in images)
    if unlabelled:
        notes.append(
            f"{unlabelled} images carry no class, or several; they serve pretraining only."
        )
    unused = sum(
        files.absolute(name) not in used
        and name.lower().endswith(IMAGE_SUFFIXES)
        and not looks_like_mask(name)
        for name in files.files
    )
    if unused:
        notes.append(f"{unused} image files are not named in the table and were left out.")
    return notes


def _read_folders(files: FolderFiles) -> Listing:
    folders = class_folders(files)
    depth = 1 + max(name.count("/") for name in folders)
    images, skipped = [], []
    for relative in sorted(files.files):
        folder = folders.get("/".join(relative.split("/")[:depth]))
        if folder is not None and relative.count("/") >= depth:
            path, label, split = files.absolute(relative), class_name(folder[0]), folder[1]
            images.append(ListedImage(relative, path, label, {"official_split": split}))
        elif relative.lower().endswith(IMAGE_SUFFIXES):
            skipped.append(Skipped(relative, "the file lies in no class folder"))
    without_suffix = [replace(image, image_id=stem(image.image_id)) for image in images]
    if len({image.image_id for image in without_suffix}) == len(images):
        images = without_suffix
    images = _with_short_ids(images)
    skipped += [Skipped(path, reason) for path, reason in sorted(files.refused.items())]
    return Listing(images, _classes(images), skipped=skipped)
