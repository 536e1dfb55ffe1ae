"""The files of a data set below its folder: images, tables, and what is neither."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .columns import words
from .unpack import DAMAGE, archive_members

# What of these can be read, and how, data.decode decides.
IMAGE_SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .gif .heic .heif".split())
_SUFFIXES = {suffix[1:] for suffix in IMAGE_SUFFIXES}
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
LIST_SUFFIX = ".txt"  # a table only where it names images
# Tables of other programs.
OTHER_TABLES = (
    (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"),
    (".sav", ".dta", ".rds", ".rdata", ".sas7bdat", ".sqlite", ".db", ".accdb"),
)
# What may hold images or labels and is not read → what to do.
NOT_READ = {
    (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"): "an archive: unpack it",
    (".h5", ".hdf5", ".hdf"): "an HDF5 file: write its images as JPEG files, for example with h5py",
    OTHER_TABLES[0]: ("an Excel workbook or the like: save its sheet as a UTF-8 CSV file"),
    (".parquet", ".arrow", ".feather", ".tfrecord", ".tfrecords", ".lmdb", ".mdb"): (
        "a file of records: write its images as JPEG files and their labels as a CSV file"
    ),
    OTHER_TABLES[1]: ("a table of another program: export it as a CSV file"),
    (".dcm", ".dicom"): "a DICOM image: write it as PNG or JPEG",
    (".mat", ".pkl", ".pickle", ".npy"): (
        "a file of arrays: write its images as PNG files and their labels as a CSV file"
    ),
}
# What may hold labels where nothing else does.
TEXTS = (".txt", ".xml", ".yaml", ".yml", ".html", ".htm", ".docx", ".doc", ".pdf", ".rtf")
TABLE_DEPTH = 6
JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found", "#recycle"}
MASKS = "segmentation|segmentations|superpixel|superpixels"
BESIDE = "mask|masks|maske|seg|segmented|lesion|roi|gt|ground ?truth|binary|bw|annot|annotations?"
BESIDE += "|annotated|contours?|overlay|labels?|heatmap|gradcam|cam|saliency"
# Endings that name what belongs to the photo of the same name without them.
ENDING = re.compile(
    rf"(?:[ _.-]+(?:(?P<certain>{MASKS}|attribute_[a-z_]+)|{BESIDE}"
    r"|thumb|thumbnail|small|preview|\d{2,4}x\d{2,4})|(?<=[a-z0-9])mask)(?:[ _-]*\(?\d+\)?)?$",
    re.IGNORECASE,
)
BEGINNING = re.compile(rf"^(?:thumb|thumbnail|tn|synophoto|{MASKS}|{BESIDE})[ _-]+", re.IGNORECASE)
# A name that ENDING or BEGINNING fits has one of these words, or numbers with an x between them.
TELLING = "mask seg superpixel attribute_ lesion roi gt truth binary bw annot contour label".split()
TELLING += "overlay heatmap cam saliency thumb tn synophoto small preview".split()
SIZE = re.compile(r"\dx\d")
FOLDER_WORDS = {*MASKS.split("|"), "mask", "masks", "masken", "groundtruth", "thumbnails"}
FOLDER_WORDS |= {"annotation", "annotations"}
# Words that name such folders where they stand alone: "thumb eczema" may be a class.
ALONE = {"seg", "thumbnail", "thumb", "thumbs", "preview", "previews", "overlay", "overlays", "gt"}
ALONE |= {
    "ground",
    "truth",
    "annot",
    "annots",
    "binary",
    "contour",
    "contours",
    "heatmap",
    "heatmaps",
}
MASK_ARCHIVE = re.compile(r"segmentation|mask|ground[ _-]?truth", re.IGNORECASE)
# Folders that never hold photos, whatever their files are called.
NEVER = {"mask", "masks", "masken", "segmentation", "segmentations", "superpixels", "groundtruth"}


@dataclass
class FolderFiles:
    """The files below `root` by relative path; links to files are followed where they stay inside it.

    Attributes:
        images: relative paths of image files, in order.
        others: of all other files.
        refused: relative path → why a file is not used.
        left_out: what kind of file was left out → relative paths.
        tables, arrays, lists: absolute paths of tables, .npz files and text files.
        mask_archives: relative paths of zip archives of masks.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tables: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    mask_archives: list[str] = field(default_factory=list)

    def absolute(self, relative: str) -> str:
        """The absolute path of a file below `root`."""
        return f"{self.root}/{relative}"

    def relative(self, path: Path) -> str:
        """The path below `root` of a file that `scan` listed."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def not_read(self, only: Collection[tuple[str, ...]] = ()) -> list[str]:
        """One sentence for each kind of file that may hold images or labels and is not read.

        Args:
            only: keys of NOT_READ; empty for all.
        """
        sentences = []
        for suffixes, remedy in NOT_READ.items():
            names = [name for name in self.others if name.lower().endswith(suffixes)]
            if names and (not only or suffixes in only):
                more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
                sentences.append(f"{names[0]}{more} is {remedy}.")
        return sentences

    def texts(self) -> list[str]:
        """One sentence on files that may hold labels, for images that have none."""
        names = [name for name in self.others if name.lower().endswith(TEXTS)]
        if not names:
            return []
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        return [f"{names[0]}{more} may hold labels and is not read: write them as a CSV file."]

    def notes(self) -> list[str]:
        """One sentence for each kind of image file that was left out."""
        return [
            f"{len(names)} {kind} {'was' if len(names) == 1 else 'were'} left out of the images (such as {names[0]})."
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
    files.mask_archives = [name for name in files.others if _is_mask_archive(files, name)]
    files.others = [name for name in files.others if name not in files.mask_archives]
    return files


def _walk(files: FolderFiles, relative: str, depth: int) -> None:
    with os.scandir(os.path.join(files.root, relative)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if name.startswith(".") or name.lower() in JUNK:
            continue
        path = f"{relative}/{name}" if relative else name
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
    elif suffix == LIST_SUFFIX:
        files.lists.append(Path(entry.path))
        files.others.append(path)
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
    members: dict[str, list[str]] = defaultdict(list)  # folder → names without suffix
    for path in files.images:
        folder, _, name = path.rpartition("/")
        members[folder].append(stem(name))
        stems[members[folder][-1].casefold()].add(folder)
    by_folder = _mask_folders(members, stems)
    telling = {folder for folder, names in members.items() if _has_telling_name(names)}
    photos = []
    for path in files.images:
        folder, _, name = path.rpartition("/")
        kind = by_folder.get(folder)
        if kind is None and folder in telling:
            kind = _kind_of_file(stem(name), stems)
        if kind:
            files.left_out[kind].append(path)
        else:
            photos.append(path)
    files.images = photos


def _is_mask_archive(files: FolderFiles, name: str) -> bool:
    """Whether a file is a zip archive that is called one of masks and holds images."""
    if not (name.lower().endswith(".zip") and MASK_ARCHIVE.search(posixpath.basename(name))):
        return False
    try:
        return bool(images_in_zip(files.root / name))
    except (*DAMAGE, OSError, DataError):
        return False  # said as any other archive


def images_in_zip(path: Path) -> list[str]:
    """Names of the image files in a zip archive, in order.

    Raises:
        ArchiveError: it holds what is no plain file, leads outside or is too much.
        OSError and those of unpack.DAMAGE: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        names = [member.filename for member in archive_members(path, archive).values()]
    return sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES))


def _has_telling_name(names: Sequence[str]) -> bool:
    """Whether any name may be that of a mask or thumbnail: else none of them has to be looked at."""
    text = "\n".join(names).casefold()
    return any(word in text for word in TELLING) or bool(SIZE.search(text))


def _kind_of_file(name: str, stems: dict[str, set[str]]) -> str | None:
    match = ENDING.search(name)
    if match and (match["certain"] or name[: match.start()].casefold() in stems):
        return _kind(match[0])
    match = BEGINNING.match(name)
    if match and name[match.end() :].casefold() in stems:
        return _kind(match[0])
    return None


def _mask_folders(
    members: Mapping[str, Sequence[str]], stems: dict[str, set[str]]
) -> dict[str, str]:
    """Folder → kind, of folders with a telling name whose files mostly bear the names of photos."""
    members = {folder: names for folder, names in members.items() if _is_telling(folder)}
    telling = set(members)
    kinds = {}
    for folder, names in members.items():
        bases = [(name.casefold(), ENDING.sub("", name).casefold()) for name in names]
        paired = sum(any(stems.get(base, set()) - telling for base in pair) for pair in bases)
        never = any("".join(words(part)) in NEVER for part in folder.split("/"))
        if never or paired > len(names) / 2 or _is_beside(folder, stems):
            kinds[folder] = _kind(folder)
    return kinds


def _is_beside(folder: str, stems: dict[str, set[str]]) -> bool:
    """Whether a folder is called as a photo or its folder and "lesion" or the like, as in PH2."""
    *_, above, name = ["", *folder.split("/")]
    match = ENDING.search(name)
    base = name[: match.start()].casefold() if match else ""
    return bool(match) and (base in stems or base == above.casefold())


def _is_telling(folder: str) -> bool:
    parts = [set(words(part)) for part in folder.split("/")]
    last = folder.rpartition("/")[2]
    return bool(ENDING.search(last)) or any(
        FOLDER_WORDS & part or (part and part <= ALONE) for part in parts
    )


def _kind(text: str) -> str:
    lower = text.casefold()
    if "superpixel" in lower:
        return "superpixel images"
    small = "thumb", "preview", "small", "synophoto", "tn_"
    if any(word in lower for word in small) or re.search(r"\d+x\d+", lower):
        return "thumbnails"
    return "masks"
