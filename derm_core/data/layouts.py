"""What names the classes of a data set: a table, several, its folders, or nothing.

To add a layout of a table:

1. Write its column names into `columns.COLUMNS` where they are new. Often that is all: any table
   with a column that names image files and one that names classes, or with one-hot columns, is read.
2. Where images and labels stand in a form of their own, write a function in joins.py that makes the
   tables into such tables, and call it in `_read_tables`.
3. A public data set gets a record in known_datasets.py: how it is recognised, licence, citation.
4. Add a test that writes a small set of that form to tests/data/test_import_kinds.py.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DataError
from .columns import split_of
from .folder_classes import FolderClasses, is_container, read_folders, read_pattern
from .image_files import NOT_READ, OTHER_TABLES, TABLE_SUFFIXES, FolderFiles, scan
from .image_names import ImageNames
from .import_options import NO_CLASSES, ImportOptions
from .joins import (
    image_column,
    is_duplicates_table,
    join,
    one_row_an_image,
    with_index_splits,
)
from .label_choice import choose, is_table_better, looks_like_predictions
from .label_tables import (
    ImageColumns,
    LabelTable,
    doubt,
    missing_half,
    read_label_table,
    with_header,
)
from .labels import columns_of
from .tables import JSON_SUFFIXES, Table, read_table

EXPECTED = (
    "a table of images and classes (HAM10000, ISIC, PAD-UFES-20, MILK10k, Fitzpatrick17k, or any CSV "
    "with an image and a label column, or one-hot columns), a MedMNIST .npz file, or one folder per "
    "class"
)


@dataclass(frozen=True)
class Layout:
    """A recognised data set, and where its parts lie.

    Attributes:
        name: isic, isic-one-hot, pad-ufes-20, csv, one-hot, folders, unlabelled or medmnist.
        source: the folder or file that was given.
        files, names: the files of the folder, and the index of image names.
        labels: label tables with their columns, which are one set.
        companions: tables of other facts about the images.
        folders: what the folders say.
        array: the .npz file of layout "medmnist".
        notes: what was assumed.
    """

    name: str
    source: Path
    files: FolderFiles | None = None
    names: ImageNames | None = None
    labels: tuple[LabelTable, ...] = ()
    companions: tuple[Table, ...] = ()
    folders: FolderClasses = field(default_factory=FolderClasses)
    array: Path | None = None
    options: ImportOptions = field(default_factory=ImportOptions)
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """The label tables."""
        return tuple(one.table for one in self.labels)


def find_layout(path: Path, options: ImportOptions | None = None) -> Layout:
    """The layout of the data set at `path`, a folder or a file.

    Args:
        path: of the data set; of a table, the images lie below its folder.
        options: what the user has decided.

    Raises:
        DataError: nothing names its classes, or several things do and the user has to say which.
    """
    options = options or ImportOptions()
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder or file of a data set.")
    source = Path(os.path.realpath(path))
    suffix = source.suffix.lower()
    if source.is_file():
        if suffix == ".npz":
            return Layout("medmnist", source, array=source)
        for suffixes, remedy in NOT_READ.items():
            if suffix in suffixes:
                raise DataError(f"{path.name} is {remedy}, and give the folder.")
        if suffix not in (*TABLE_SUFFIXES, *JSON_SUFFIXES, ".txt", ""):
            raise DataError(f"{path.name} is not a data set. Expected is {EXPECTED}.")
    folder = source if source.is_dir() else source.parent
    files = scan(folder, options.exclude)
    given = [source] if source.is_file() else _given_tables(files, options.tables)
    return _Search(source, files, options, given).layout()


def _given_tables(files: FolderFiles, wanted: Sequence[str]) -> list[Path]:
    given = []
    for text in wanted:
        fitting = [
            table
            for table in (*files.tables, *files.lists)
            if text in (table.name, files.relative(table), str(table))
        ]
        if len(fitting) != 1:
            names = ", ".join(map(files.relative, files.tables[:8])) or "none"
            raise DataError(f"--table {text!r} is none of the tables of this folder ({names}).")
        given += fitting
    return given


class _Search:
    """The search for what names the classes of a folder's images."""

    def __init__(
        self, source: Path, files: FolderFiles, options: ImportOptions, given: Sequence[Path]
    ):
        self.source = source
        self.files = files
        self.options = options
        self.given = list(given)
        self.names = ImageNames(files)
        paths = dict.fromkeys((*self.given, *files.tables, *files.lists))
        self.tables, self.failures = _read_tables([*paths], self.given, self.names, files)
        self.naming: list[Table] = []  # tables that name images
        self.notes = [f"Not used: {error}" for _, error in self.failures]
        self.notes += files.not_read()

    def layout(self) -> Layout:
        """The layout of the data set. Raises DataError."""
        if self.options.classes == NO_CLASSES:
            return self._unlabelled()
        if self.options.classes:
            return self._forced_folders()
        self._check_columns()
        read = [read_label_table(table, self.names, self.options) for table in self.tables]
        self.naming = [one.table for one in read if one and one.hits]
        candidates = [one for one in read if one]
        if self.given:
            candidates = [one for one in candidates if one.table.path in self.given]
        folders = read_folders(self.files.images)
        labelled = [one for one in candidates if one.has_labels and one.hits]
        if not labelled:
            labelled = self._joined(candidates)
        predictions = (
            [] if self.given else [one for one in labelled if looks_like_predictions(one.table)]
        )
        chosen = self._choose([one for one in labelled if one not in predictions])
        if folders.labels and not self.given and not self._is_table_better(chosen, folders):
            self._note_unused([*chosen, *predictions])
            return self._folders(folders)
        if chosen:
            return self._table(chosen, folders)
        if predictions:
            name = self.files.relative(predictions[0].table.path)
            raise DataError(
                f"{name} looks like the predictions of a model: say --table {name} if it holds the "
                "labels, or --classes none to import without labels."
            )
        return self._without_labelled_table(candidates, folders)

    def _check_columns(self) -> None:
        """Raises DataError where no table has a column that the user named for images or labels."""
        known = {name for table in self.tables for name in table.columns}
        wanted = [("--label-column", name) for name in self.options.label_columns]
        if self.options.image_column:
            wanted.append(("--image-column", self.options.image_column))
        missing = [(option, name) for option, name in wanted if name.strip().lower() not in known]
        if missing:
            tables = "; ".join(f"{one.name}: {columns_of(one)}" for one in self.tables) or "none"
            option, name = missing[0]
            raise DataError(f"No table has a column {name!r} for {option} (columns of {tables}).")

    def _joined(self, candidates: Sequence[LabelTable]) -> list[LabelTable]:
        """Tables of images with the labels of another table beside them, joined by a key."""
        with_images = [one.table for one in candidates if one.hits] or self.naming
        joined = []
        for base in with_images:
            for other in self.tables:
                both = join(base, other) if other is not base else None
                if both is None:
                    continue
                one = read_label_table(both, self.names, self.options)
                if one and one.has_labels and one.hits:
                    joined.append(one)
        if not joined:
            return []
        best = min(one.certainty for one in joined)
        return [one for one in joined if one.certainty == best][:1]

    def _choose(self, labelled: Sequence[LabelTable]) -> list[LabelTable]:
        """The label table, or several that are one set; empty where there is none.

        Raises:
            DataError: several tables label the images differently.
        """
        if not labelled:
            return []
        joined = self._joined_by_key(labelled, min(one.certainty for one in labelled))
        if joined:
            return joined
        if len(labelled) == 1:
            return [*labelled]
        return choose(labelled, {str(one.table.path): self._files_of(one) for one in labelled})

    def _files_of(self, one: LabelTable) -> set[str]:
        """The images that a table names."""
        base = posixpath.dirname(self.files.relative(one.table.path))
        matches = (self.names.find(cell, base) for cell in one.table.cells(one.columns.image))
        return {match.path for match in matches if match.path}

    def _joined_by_key(self, labelled: Sequence[LabelTable], best: int) -> list[LabelTable]:
        """A table whose labels are more certain than those beside the images, joined by a key."""
        if best == 0 or self.given:
            return []
        joined = self._joined([])
        return joined if joined and joined[0].certainty < best else []

    def _is_table_better(self, chosen: Sequence[LabelTable], folders: FolderClasses) -> bool:
        images = len(self.files.images)
        return bool(chosen) and is_table_better(chosen, folders.labels, images)

    def _note_unused(self, chosen: Sequence[LabelTable]) -> None:
        self.notes += [
            f"{one.table.name} was not used for labels: the folders are the classes (--table "
            f"{one.table.name} takes it)."
            for one in chosen
        ]

    def _without_labelled_table(
        self, candidates: Sequence[LabelTable], folders: FolderClasses
    ) -> Layout:
        """What to do where no table labels the images and folders are no classes."""
        weak = [one for one in candidates if one.has_labels]
        if weak and (self.files.images or self.given):
            return self._table(weak[:1], folders)  # the listing says which files it misses
        failed = [error for path, error in self.failures if not self.given or path in self.given]
        if failed:
            raise DataError(f"{failed[0]} Or import without labels: --classes none.")
        not_read = self.files.not_read()
        if not self.files.images:
            return self._without_images(not_read)
        lists = [table for table in self.tables if not is_duplicates_table(table)]
        workbooks = self.files.not_read(OTHER_TABLES)
        if lists:
            named = [one for one in candidates if one.hits]
            table = self._given_table() or (named[0].table if named else lists[0])
            reason = doubt(table, named[0].columns.image) if named and table.rows else ""
            reason = reason or missing_half(table, self.names, bool(named))
            raise DataError(" ".join([reason, *([] if self.given else workbooks[:1])]))
        if workbooks:
            raise DataError(f"Nothing names the classes. {workbooks[0]}")
        if folders.doubt:
            raise DataError(folders.doubt)
        return self._unlabelled(folders)

    def _given_table(self) -> Table | None:
        return next((table for table in self.tables if table.path in self.given), None)

    def _without_images(self, not_read: Sequence[str]) -> Layout:
        arrays = self.files.arrays
        if len(arrays) == 1 and not self.tables:
            return Layout("medmnist", self.source, array=arrays[0])
        if arrays and not self.tables:
            names = ", ".join(map(self.files.relative, arrays[:6]))
            raise DataError(
                f"{self.source.name} holds several .npz files ({names}); give one of them as the path."
            )
        reason = " ".join(not_read) or next(
            (f"{path}: {reason}." for path, reason in self.files.refused.items()), ""
        )
        raise DataError(f"{self.source.name} holds 0 images. {reason} Expected is {EXPECTED}.")

    def _table(self, chosen: Sequence[LabelTable], folders: FolderClasses) -> Layout:
        own = {one.table.path for one in chosen}
        self.notes += [note for one in chosen for note in (*one.table.notes, *one.columns.notes)]
        if len(chosen) > 1:
            names = ", ".join(self.files.relative(one.table.path) for one in chosen)
            self.notes.append(f"{len(chosen)} tables were joined into one set: {names}.")
        if folders.labels:
            named = ", ".join(sorted(set(folders.labels.values()))[:4])
            self.notes.append(
                f"The folders ({named}) were not used: --classes folder takes them for the classes, "
                "--group-column folder for the patients."
            )
        return Layout(
            _name(chosen[0].table, chosen[0].columns),
            self.source,
            self.files,
            self.names,
            tuple(chosen),
            tuple(one for one in self.tables if one.path not in own),
            folders,
            options=self.options,
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _folders(self, folders: FolderClasses) -> Layout:
        return Layout(
            "folders",
            self.source,
            self.files,
            self.names,
            companions=tuple(self.tables),
            folders=folders,
            options=self.options,
            notes=(*self.notes, *folders.notes),
        )

    def _forced_folders(self) -> Layout:
        if self.options.has_pattern:
            folders = read_pattern(self.files.images, self.options.classes or "")
        else:
            folders = read_folders(self.files.images, certain=True)
        if not folders.labels:
            raise DataError(
                f"--classes {self.options.classes} gives no image of {self.source.name} a class (the "
                f"first image is {next(iter(self.files.images), 'none')})."
            )
        return self._folders(folders)

    def _unlabelled(self, folders: FolderClasses | None = None) -> Layout:
        folders = folders or replace(read_folders(self.files.images), labels={}, notes=())
        if not self.files.images:
            return self._without_images(self.files.not_read())
        note = "Nothing names the classes: the images have no labels, for pretraining and maps."
        if self.options.classes:
            note = "The images were imported without labels, for pretraining and maps."
        layout = self._folders(folders)
        texts = [] if self.options.classes else self.files.texts()
        notes = tuple(dict.fromkeys((*layout.notes, note, *texts)))
        return replace(layout, name="unlabelled", notes=notes)


def _read_tables(
    paths: Sequence[Path], given: Sequence[Path], names: ImageNames, files: FolderFiles
) -> tuple[list[Table], list[tuple[Path, DataError]]]:
    """The tables that can be read, in the form that listing expects, and why others cannot."""
    tables, failures = [], []
    for path in paths:
        try:
            table = with_header(read_table(path), names)
        except DataError as error:
            if path in given:
                raise
            if path not in files.lists:
                failures.append((path, error))
            continue
        if path in files.lists and path not in given and not image_column(table, names):
            continue
        folder = Path(files.relative(path)).parent.name
        split = split_of(path.stem) or (split_of(folder) if is_container(folder) else None)
        tables.append(one_row_an_image(replace(table, split=split)))
    return with_index_splits(tables), failures


def _name(table: Table, columns: ImageColumns) -> str:
    """The name of a table's layout."""
    ids = "image_id", "isic_id", "image_name", "img_id", "image"
    if columns.one_hot:
        return "isic-one-hot" if columns.image in ids else "one-hot"
    if {"img_id", "diagnostic"} <= set(table.columns):
        return "pad-ufes-20"
    is_isic = columns.image in ids and columns.label in ("dx", "diagnosis")
    return "isic" if is_isic else "csv"
