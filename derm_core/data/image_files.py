"""The files of a data set below its folder: images, tables, and what is neither."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .columns import words

# What of these can be read, and how, data.decode decides.
IMAGE_SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .gif .heic .heif".split())
_SUFFIXES = {suffix[1:] for suffix in IMAGE_SUFFIXES}
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
# What may hold images or labels and is not read → what to do.
NOT_READ = {
    (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"): "an archive: unpack it",
    (".h5", ".hdf5", ".hdf"): "an HDF5 file: write its images as JPEG files, for example with h5py",
    (".xlsx", ".xls", ".ods"): "an Excel workbook: save its sheet as a UTF-8 CSV file",
    (".parquet", ".arrow", ".tfrecord", ".tfrecords", ".lmdb", ".mdb"): (
        "a file of records: write its images as JPEG files and their labels as a CSV file"
    ),
    (".dcm", ".dicom"): "a DICOM image: write it as PNG or JPEG",
    (".mat", ".pkl", ".pickle", ".pt", ".npy"): (
        "a file of arrays: write its images as PNG files and their labels as a CSV file"
    ),
}
TABLE_DEPTH = 3
JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found", "#recycle"}
MASKS = "mask|masks|segmentation|segmentations|superpixel|superpixels"
# Endings that name what belongs to the photo of the same name without them.
ENDING = re.compile(
    rf"[ _.-]+(?:(?P<certain>{MASKS}|attribute_[a-z_]+)|seg|lesion|roi|gt|ground ?truth|annot|contour"
    r"|annotations?|overlay|labels?|thumb|thumbnail|small|preview|\d{2,4}x\d{2,4})(?:[ _-]*\(?\d+\)?)?$",
    re.IGNORECASE,
)
THUMBNAIL = re.compile(r"^(?:thumb|thumbnail|tn|synophoto)[ _-]", re.IGNORECASE)
FOLDER_WORDS = {*MASKS.split("|"), "annotation", "annotations", "groundtruth", "thumbnails"}
# Words that name such folders where they stand alone: "thumb eczema" may be a class.
ALONE = {"seg", "thumbnail", "thumb", "thumbs", "preview", "previews", "overlay", "overlays", "gt"}


@dataclass
class FolderFiles:
    """The files below `root` by relative path; links to files are followed where they stay inside it.

    Attributes:
        images: relative paths of image files, in order.
        others: of all other files.
        refused: relative path → why a file is not used.
        left_out: what kind of file was left out → relative paths.
        tables, arrays: absolute paths of tables and of .npz files.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tables: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)

    def absolute(self, relative: str) -> str:
        """The absolute path of a file below `root`."""
        return f"{self.root}/{relative}"

    def relative(self, path: Path) -> str:
        """The path below `root` of a file that `scan` listed."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def not_read(self) -> list[str]:
        """One sentence for each kind of file that may hold images or labels and is not read."""
        sentences = []
        for suffixes, remedy in NOT_READ.items():
            names = [name for name in self.others if name.lower().endswith(suffixes)]
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                sentences.append(f"{names[0]}{more} is {remedy}.")
        return sentences

    def notes(self) -> list[str]:
        """One sentence for each kind of image file that was left out."""
        return [
            f"{len(names)} {kind} {'was' if len(names) == 1 else 'were'} left out (such as {names[0]})."
            for kind, names in self.left_out.items()
        ]


def stem(name: str) -> str:
    """A file name without an image suffix; other dots stay."""
    body, _, suffix = name.rpartition(".")
    return body if body and suffix.lower() in _SUFFIXES else name


def scan(root: Path, exclude: Sequence[str] = ()) -> FolderFiles:
    """List the files below `root`. Links to folders are not followed.

    Args:
        root: a folder.
        exclude: patterns of relative paths, file names or folders to leave out.

    Raises:
        DataError: a folder cannot be read, or a pattern fits no file.
    """
    files = FolderFiles(Path(os.path.realpath(root)))
    try:
        _walk(files, "", 0)
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); check its permissions."
        ) from error
    for pattern in exclude:
        _exclude(files, pattern)
    _leave_out_non_photos(files)
    return files


def _walk(files: FolderFiles, relative: str, depth: int) -> None:
    with os.scandir(os.path.join(files.root, relative)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if name.startswith(".") or name.lower() in JUNK:
            continue
        path = posixpath.join(relative, name)
        if not path.isprintable():  # undecodable bytes or control characters
            files.refused[ascii(path)] = (
                "the name of the file or its folder is not readable text; rename it"
            )
            continue
        if entry.is_dir(follow_symlinks=False):
            _walk(files, path, depth + 1)
        elif entry.is_symlink() and not _inside(entry.path, files.root):
            files.refused[path] = "the file is a link that leads outside the imported folder"
        elif entry.is_file():
            _add_file(files, path, entry, depth)


def _add_file(files: FolderFiles, path: str, entry: os.DirEntry[str], depth: int) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        files.images.append(path)
    elif suffix in TABLE_SUFFIXES or (not suffix and "metadata" in entry.name.lower()):
        if depth <= TABLE_DEPTH:
            files.tables.append(Path(entry.path))
    elif suffix == ".npz":
        files.arrays.append(Path(entry.path))
    else:
        files.others.append(path)


def _inside(path: str, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _exclude(files: FolderFiles, pattern: str) -> None:
    def fits(path: str) -> bool:
        names = (path, posixpath.basename(path), *path.split("/")[:-1])
        return any(fnmatch.fnmatchcase(name, pattern.rstrip("/")) for name in names)

    excluded = [path for path in files.images if fits(path)]
    tables = [path for path in files.tables if fits(files.relative(path))]
    arrays = [path for path in files.arrays if fits(files.relative(path))]
    if not (excluded or tables or arrays):
        raise DataError(
            f"--exclude {pattern!r} fits no file; give a pattern of paths below the data set's "
            "folder, such as 'masks/*'."
        )
    files.images = [path for path in files.images if not fits(path)]
    files.tables = [path for path in files.tables if path not in tables]
    files.arrays = [path for path in files.arrays if path not in arrays]
    if excluded:
        files.left_out[f"images that fit {pattern}"] = excluded


def _leave_out_non_photos(files: FolderFiles) -> None:
    """Take masks and thumbnails out of the images: those that stand beside the photo of their name."""
    stems: dict[str, set[str]] = defaultdict(set)  # name without suffix → folders that hold it
    for path in files.images:
        stems[stem(posixpath.basename(path)).casefold()].add(posixpath.dirname(path))
    by_folder = _mask_folders(files.images, stems)
    photos = []
    for path in files.images:
        kind = by_folder.get(posixpath.dirname(path)) or _kind_of_file(path, stems)
        if kind:
            files.left_out[kind].append(path)
        else:
            photos.append(path)
    files.images = photos


def _kind_of_file(path: str, stems: dict[str, set[str]]) -> str | None:
    name = stem(posixpath.basename(path))
    match = ENDING.search(name)
    if match and (match["certain"] or name[: match.start()].casefold() in stems):
        return _kind(match[0])
    match = THUMBNAIL.match(name)
    if match and name[match.end() :].casefold() in stems:
        return _kind("thumb")
    return None


def _mask_folders(paths: Sequence[str], stems: dict[str, set[str]]) -> dict[str, str]:
    """Folder → kind, of folders with a telling name whose files mostly bear the names of photos."""
    members: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        members[folder].append(stem(name))
    members = {folder: names for folder, names in members.items() if _is_telling(folder)}
    telling = set(members)
    kinds = {}
    for folder, names in members.items():
        bases = [(name.casefold(), ENDING.sub("", name).casefold()) for name in names]
        paired = sum(any(stems.get(base, set()) - telling for base in pair) for pair in bases)
        if paired > len(names) / 2:
            kinds[folder] = _kind(folder)
    return kinds


def _is_telling(folder: str) -> bool:
    parts = [set(words(part)) for part in folder.split("/")]
    return any(FOLDER_WORDS & part or (part and part <= ALONE) for part in parts)


def _kind(text: str) -> str:
    lower = text.casefold()
    if "superpixel" in lower:
        return "superpixel images"
    small = "thumb", "preview", "small"
    if any(word in lower for word in small) or re.search(r"\d+x\d+", lower):
        return "thumbnails"
    return "masks"
