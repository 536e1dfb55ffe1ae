"""Which layout a data set has; data.listing reads the images of each.

To add a layout of a CSV table:

1. Write its column names into `columns.COLUMNS` where they are new. Often that is all: a table with
   one column that names image files and one that names classes is read as layout "csv".
2. Otherwise write a function here that takes a `Table` and returns the `ImageColumns` of a table of
   that layout, None for any other table, and add it to TABLE_LAYOUTS under the layout's name.
3. Add a row to the table in tests/data/test_layouts.py; licence and citation go into
known_datasets.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .columns import DIAGNOSES, IMAGE_IDS, IMAGE_PATHS, LABELS, class_name
from .image_files import IMAGE_SUFFIXES, TABLE_SUFFIXES, FolderFiles, looks_like_mask, scan
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
    if class_folders(files):
        return Layout("folders", root, files)
    if len(files.arrays) == 1:
        return Layout("medmnist", root, array=files.arrays[0])
    count = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in files.files)
    raise DataError(
        f"{root.name} holds {count} images but nothing that names their classes. Expected is {EXPECTED}."
    )


def class_folders(files: FolderFiles) -> dict[str, tuple[str, str | None]]:
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
