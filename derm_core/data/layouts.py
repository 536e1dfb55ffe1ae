"""How each known layout is read: from a folder or file to a list of images with labels and attributes."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .image_files import IMAGE_SUFFIXES, TABLE_SUFFIXES, FolderFiles, looks_like_mask, scan, stem
from .tables import (
    DIAGNOSES,
    IDS,
    LABELS,
    PATHS,
    Table,
    clean_label,
    known_columns,
    normalised,
    one_hot_classes,
    read_table,
    table_layout,
)

TABLE_LAYOUTS = ("isic", "isic-one-hot", "pad-ufes-20", "csv")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
PART = re.compile(r"part[_-]?\d+$", re.IGNORECASE)  # one set in several folders, not classes
EXPECTED = (
    "a HAM10000 or ISIC table (image_id, dx, …), ISIC one-hot ground truth (image, MEL, NV, …), "
    "PAD-UFES-20 (metadata.csv with img_id, diagnostic, …), a MedMNIST .npz file, one folder per "
    "class, or a CSV file with a path and a label column"
)


@dataclass
class Found:
    """A recognised layout: the folder that holds the images, and its table or array file."""

    layout: str
    source: Path
    files: FolderFiles | None = None
    table: Table | None = None
    others: list[Table] = field(default_factory=list)
    array: Path | None = None


@dataclass
class Listing:
    """What a layout says: per image {image_id, path, label, patient?, lesion?, attributes…}.

    pairs: ids of images known to show the same lesion; skipped: [{path, reason}].
    """

    rows: list[dict]
    classes: list[str]
    pairs: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_layout(path: Path) -> Found:
    """Recognise the data set at `path`, a folder or a file. Raises DataError naming what is known."""
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder or file of a data set.")
    source = Path(os.path.realpath(path))
    if source.is_dir():
        return _find_in_folder(source)
    if source.suffix.lower() == ".npz":
        return Found("medmnist", source, array=source)
    if source.suffix.lower() in (".zip", ".gz", ".tar", ".7z", ".rar"):
        raise DataError(f"{path.name} is an archive; unpack it and give the folder.")
    if source.suffix.lower() in TABLE_SUFFIXES + (".txt", ""):
        table = read_table(source)
        layout = table_layout(table)
        if layout:
            files = scan(source.parent)
            return Found(layout, source, files, table, _companions(files, table))
        raise DataError(
            f"{path.name} has no column that names images, or none that names classes "
            f"(it has {', '.join(table.columns[:12])}). Expected is {EXPECTED}."
        )
    raise DataError(f"{path.name} is not a data set. Expected is {EXPECTED}.")


def _companions(files: FolderFiles, table: Table) -> list[Table]:
    others = []
    for path in files.tables:
        if path != table.path:
            try:
                others.append(read_table(path))
            except DataError:
                continue  # a table that is not asked for need not be readable
    return others


def _find_in_folder(root: Path) -> Found:
    files = scan(root)
    tables, trouble = [], None
    for path in files.tables:
        try:
            tables.append(read_table(path))
        except DataError as error:
            trouble = error
    layouts = {table.path: table_layout(table) for table in tables}
    for layout in TABLE_LAYOUTS:
        fitting = [table for table in tables if layouts[table.path] == layout]
        if len(fitting) > 1:
            names = ", ".join(str(table.path.relative_to(files.root)) for table in fitting[:4])
            raise DataError(
                f"{root.name} holds several tables of images ({names}); give one of them as the path."
            )
        if fitting:
            others = [table for table in tables if layouts[table.path] is None]
            return Found(layout, root, files, fitting[0], others)
    if trouble:
        raise trouble
    if _class_folders(files):
        return Found("folders", root, files)
    if len(files.arrays) == 1:
        return Found("medmnist", root, array=files.arrays[0])
    count = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in files.files)
    raise DataError(
        f"{root.name} holds {count} images but nothing that names their classes. Expected is {EXPECTED}."
    )


def read_listing(found: Found) -> Listing:
    """The images of a recognised folder or table (MedMNIST: `medmnist.unpack`). Raises DataError."""
    return _read_folders(found.files) if found.layout == "folders" else _read_table_layout(found)


def _read_table_layout(found: Found) -> Listing:
    table, files = found.table, found.files
    one_hot = one_hot_classes(table) if found.layout == "isic-one-hot" else None
    names = PATHS if found.layout == "csv" else IDS
    image_column = table.column(names)
    label_column = (
        None
        if one_hot
        else table.column(DIAGNOSES if found.layout in ("isic", "pad-ufes-20") else LABELS)
    )
    base = os.path.relpath(table.path.parent, files.root).replace(os.sep, "/")
    extra = _companion_rows(found.others)
    columns = known_columns({name for row in extra.values() for name in row}) | known_columns(
        table.columns
    )
    listing, seen, used = Listing([], []), set(), set()
    for row in table.rows:
        text = row[image_column]
        path, reason = files.find(text, base) if text else (None, "the table names no image here")
        if path is None:
            listing.skipped.append({"path": text, "reason": reason})
            continue
        used.add(path)
        image_id = stem(text.replace("\\", "/").removeprefix("./"))
        if image_id in seen:
            listing.skipped.append(
                {"path": text, "reason": "the table names this image twice; the first line counts"}
            )
            continue
        seen.add(image_id)
        label = _one_hot_label(row, one_hot) if one_hot else clean_label(row[label_column])
        row = {**extra[image_id], **row} if image_id in extra else row
        listing.rows.append(
            {"image_id": image_id, "path": path, "label": label, **normalised(row, columns)}
        )
    _shorten_ids(listing.rows)
    listing.classes = _classes(listing.rows)
    listing.pairs = _known_pairs(found.others)
    _note_unlabelled_and_unused(listing, files, used)
    return listing


def _one_hot_label(row: dict[str, str], classes: Sequence[str]) -> str | None:
    hot = [name for name in classes if float(row[name]) == 1]
    return hot[0] if len(hot) == 1 else None


def _companion_rows(tables: Sequence[Table]) -> dict[str, dict[str, str]]:
    """What other tables beside the labels (lesion groups, metadata) say, by image id."""
    rows: dict[str, dict[str, str]] = {}
    for table in tables:
        column = table.column(IDS)
        for row in table.rows if column else ():
            rows.setdefault(stem(row[column]), {}).update(row)
    return rows


def _known_pairs(tables: Sequence[Table]) -> list[tuple[str, str]]:
    return [
        (stem(row["from_img"]), stem(row["to_img"]))
        for table in tables
        if table.path.name.lower() == "known_duplicates.csv"
        and {"from_img", "to_img"} <= set(table.columns)
        for row in table.rows
    ]


def _shorten_ids(rows: list[dict]) -> None:
    """Paths as ids become bare file names where these are unique."""
    short = [posixpath.basename(row["image_id"]) for row in rows]
    if len(set(short)) == len(short):
        for row, name in zip(rows, short, strict=True):
            row["image_id"] = name


def _classes(rows: list[dict]) -> list[str]:
    """Class names in natural order: class-2 before class-10."""
    names = {row["label"] for row in rows if row["label"] is not None}
    return sorted(
        names, key=lambda name: (0, float(name), name) if name.isdecimal() else (1, 0.0, name)
    )


def _note_unlabelled_and_unused(listing: Listing, files: FolderFiles, used: set[str]) -> None:
    unlabelled = sum(row["label"] is None for row in listing.rows)
    if unlabelled:
        listing.notes.append(
            f"{unlabelled} images carry no class, or several; they serve pretraining only."
        )
    unused = sum(
        files.absolute(name) not in used
        and name.lower().endswith(IMAGE_SUFFIXES)
        and not looks_like_mask(name)
        for name in files.files
    )
    if unused:
        listing.notes.append(f"{unused} image files are not named in the table and were left out.")


def _class_folders(files: FolderFiles) -> dict[str, tuple[str, str | None]]:
    """Folder → (class, official split) where images lie in one folder per class, else empty."""
    top = sorted(
        {
            name.split("/")[0]
            for name in files.files
            if "/" in name and name.lower().endswith(IMAGE_SUFFIXES)
        }
    )
    top = [name for name in top if not looks_like_mask(name) and not PART.search(name)]
    if top and all(name.lower() in SPLIT_NAMES for name in top):
        nested = {"/".join(name.split("/")[:2]) for name in files.files if name.count("/") >= 2}
        folders = {
            name: (name.split("/")[1], SPLIT_NAMES[name.split("/")[0].lower()]) for name in nested
        }
    else:
        folders = {name: (name, None) for name in top}
    return folders if len({label for label, _ in folders.values()}) >= 2 else {}


def _read_folders(files: FolderFiles) -> Listing:
    folders = _class_folders(files)
    depth = 1 + max(name.count("/") for name in folders)
    listing = Listing([], [])
    for relative in sorted(files.files):
        label, split = folders.get("/".join(relative.split("/")[:depth]), (None, None))
        if label is None or relative.count("/") < depth:
            if relative.lower().endswith(IMAGE_SUFFIXES):
                listing.skipped.append(
                    {"path": relative, "reason": "the file lies in no class folder"}
                )
            continue
        listing.rows.append(
            {
                "image_id": relative,
                "path": files.absolute(relative),
                "label": clean_label(label),
                "official_split": split,
            }
        )
    if len({stem(row["image_id"]) for row in listing.rows}) == len(listing.rows):
        for row in listing.rows:
            row["image_id"] = stem(row["image_id"])
    _shorten_ids(listing.rows)
    listing.skipped += [
        {"path": path, "reason": reason} for path, reason in sorted(files.refused.items())
    ]
    listing.classes = _classes(listing.rows)
    return listing
