"""Which layout a data set has, and how each layout is read: to a list of images with their classes.

To add a layout of a CSV table:

1. Write its column names into `columns.COLUMNS` where they are new. Often that is all: a table with
   one column that names image files and one that names classes is read as layout "csv".
2. Otherwise write a function here that takes a `Table` and returns the `ImageColumns` of a table of
   that layout, None for any other table, and add it to TABLE_LAYOUTS under the layout's name.
3. Add a test to tests/data/test_importers.py; licence and citation go into known_datasets.py.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DataError
from .columns import (
    DIAGNOSES,
    IMAGE_IDS,
    IMAGE_PATHS,
    LABELS,
    attribute_columns,
    attributes,
    class_name,
)
from .image_files import IMAGE_SUFFIXES, TABLE_SUFFIXES, FolderFiles, looks_like_mask, scan, stem
from .manifest import Skipped
from .tables import Table, read_table

SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_NAMES |= dict.fromkeys(("val", "valid", "validation"), "val")
PART = re.compile(r"part[_-]?\d+$", re.IGNORECASE)  # one set in several folders, not classes
EXPECTED = (
    "a HAM10000 or ISIC table (image_id, dx, …), ISIC one-hot ground truth (image, MEL, NV, …), "
    "PAD-UFES-20 (metadata.csv with img_id, diagnostic, …), a MedMNIST .npz file, one folder per "
    "class, or a CSV file with a path and a label column"
)


@dataclass(frozen=True)
class ImageColumns:
    """Which columns of a table name the image and its class.

    one_hot: columns that are named after the classes, each 0 or 1, in place of a label column.
    """

    image: str
    label: str | None
    one_hot: tuple[str, ...] = ()

    def class_of(self, row: dict[str, str]) -> str | None:
        """The class that a row gives its image; None for no class, or for several."""
        if self.label is not None:
            return class_name(row[self.label])
        classes = [name for name in self.one_hot if float(row[name]) == 1]
        return classes[0] if len(classes) == 1 else None


@dataclass(frozen=True)
class Layout:
    """A recognised data set, and where its parts lie.

    source: the folder or file that was given; companions: tables of other facts about the images;
    array: the .npz file of layout "medmnist".
    """

    name: str
    source: Path
    files: FolderFiles | None = None
    table: Table | None = None
    columns: ImageColumns | None = None
    companions: tuple[Table, ...] = ()
    array: Path | None = None


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


def isic(table: Table) -> ImageColumns | None:
    """HAM10000 and tables of the ISIC archive: image_id or isic_id, with dx or diagnosis."""
    image, diagnosis = table.column(IMAGE_IDS), table.column(DIAGNOSES)
    if image and table.column(("dx", "diagnosis")) and not pad_ufes_20(table):
        return ImageColumns(image, diagnosis)
    return None


def isic_one_hot(table: Table) -> ImageColumns | None:
    """Ground truth of the ISIC challenges: an image column, all others a class with 0 or 1."""
    image = table.column(IMAGE_IDS)
    classes = tuple(name for name in table.columns if name != image)
    if image is None or len(classes) < 2 or not table.rows or table.column(LABELS):
        return None
    binary = all(row[name] in ("0", "1", "0.0", "1.0") for row in table.rows for name in classes)
    return ImageColumns(image, None, classes) if binary else None


def pad_ufes_20(table: Table) -> ImageColumns | None:
    """PAD-UFES-20's metadata.csv: img_id and diagnostic."""
    image, diagnosis = table.column(IMAGE_IDS), table.column(DIAGNOSES)
    if image and {"img_id", "diagnostic"} <= set(table.columns):
        return ImageColumns(image, diagnosis)
    return None


def path_and_label(table: Table) -> ImageColumns | None:
    """Any table with a column that names image files and another that names classes."""
    image, label = table.column(IMAGE_PATHS), table.column(LABELS)
    return ImageColumns(image, label) if image and label and image != label else None


# In this order: the first that fits is the layout of a table, and of a folder of several tables.
TABLE_LAYOUTS: dict[str, Callable[[Table], ImageColumns | None]] = {
    "isic": isic,
    "isic-one-hot": isic_one_hot,
    "pad-ufes-20": pad_ufes_20,
    "csv": path_and_label,
}


def table_layout(table: Table) -> tuple[str, ImageColumns] | None:
    """A table's layout and columns; None where it names no images, or no classes."""
    for name, recognise in TABLE_LAYOUTS.items():
        if columns := recognise(table):
            return name, columns
    return None


def find_layout(path: Path) -> Layout:
    """The layout of the data set at `path`, a folder or a file.

    Raises:
        DataError: there is none, or none that is known; the message lists those that are.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder or file of a data set.")
    source = Path(os.path.realpath(path))
    suffix = source.suffix.lower()
    if source.is_dir():
        return _layout_of_folder(source)
    if suffix == ".npz":
        return Layout("medmnist", source, array=source)
    if suffix in (".zip", ".gz", ".tar", ".7z", ".rar"):
        raise DataError(f"{path.name} is an archive; unpack it and give the folder.")
    if suffix not in (*TABLE_SUFFIXES, ".txt", ""):
        raise DataError(f"{path.name} is not a data set. Expected is {EXPECTED}.")
    table = read_table(source)
    recognised = table_layout(table)
    if recognised is None:
        raise DataError(
            f"{path.name} has no column that names images, or none that names classes "
            f"(it has {', '.join(table.columns[:12])}). Expected is {EXPECTED}."
        )
    files = scan(source.parent)
    companions, _ = _read_tables([other for other in files.tables if other != table.path])
    return Layout(recognised[0], source, files, table, recognised[1], tuple(companions))


def _read_tables(paths: Sequence[Path]) -> tuple[list[Table], DataError | None]:
    """The tables that can be read, and why the last of the others cannot."""
    tables, failure = [], None
    for path in paths:
        try:
            tables.append(read_table(path))
        except DataError as error:
            failure = error
    return tables, failure


def _layout_of_folder(root: Path) -> Layout:
    files = scan(root)
    tables, failure = _read_tables(files.tables)
    recognised = [(table, table_layout(table)) for table in tables]
    companions = tuple(table for table, layout in recognised if layout is None)
    for name in TABLE_LAYOUTS:
        fitting = [
            (table, layout[1]) for table, layout in recognised if layout and layout[0] == name
        ]
        if len(fitting) > 1:
            names = ", ".join(str(table.path.relative_to(files.root)) for table, _ in fitting[:4])
            raise DataError(
                f"{root.name} holds several tables of images ({names}); give one of them as the path."
            )
        if fitting:
            return Layout(name, root, files, *fitting[0], companions)
    if failure:
        raise failure
    if _class_folders(files):
        return Layout("folders", root, files)
    if len(files.arrays) == 1:
        return Layout("medmnist", root, array=files.arrays[0])
    count = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in files.files)
    raise DataError(
        f"{root.name} holds {count} images but nothing that names their classes. Expected is {EXPECTED}."
    )


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


def _class_folders(files: FolderFiles) -> dict[str, tuple[str, str | None]]:
    """Folder → (class, official split) where images lie in one folder per class, else empty."""
    images = [name for name in files.files if name.lower().endswith(IMAGE_SUFFIXES)]
    top = {name.split("/")[0] for name in images if "/" in name}
    top = {name for name in top if not looks_like_mask(name) and not PART.search(name)}
    folders: dict[str, tuple[str, str | None]] = {name: (name, None) for name in top}
    if top and all(name.lower() in SPLIT_NAMES for name in top):
        nested = {tuple(name.split("/")[:2]) for name in files.files if name.count("/") >= 2}
        folders = {
            f"{split}/{label}": (label, SPLIT_NAMES[split.lower()]) for split, label in nested
        }
    return folders if len({label for label, _ in folders.values()}) >= 2 else {}


def _read_folders(files: FolderFiles) -> Listing:
    folders = _class_folders(files)
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
