"""The image files and tables below a folder, and which file a table's cell names; nothing outside it."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
TABLE_DEPTH = 2
NOT_PHOTOS = ("mask", "segment", "superpixel", "annotation")
JUNK = ("thumbs.db", "desktop.ini")


@dataclass
class FolderFiles:
    """The files below `root` by relative path; links to files are followed where they stay inside it.

    Attributes:
        files: relative paths of all files but tables and arrays.
        refused: relative path → why a file is not used.
        tables, arrays: absolute paths of CSV and .npz files.
        by_stem: a file's name without image suffix → relative paths.
    """

    root: Path
    files: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    by_stem: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def absolute(self, relative: str) -> str:
        """The absolute path of a file below `root`."""
        return f"{self.root}/{relative}"

    def find(self, text: str, base: str = "") -> tuple[str | None, str]:
        """(absolute path, "") of the image that `text` names, or (None, reason).

        Args:
            text: a path relative to the folder `base` of the table or to `root`, an absolute path
                below `root`, or a file name or id, with or without its suffix.
            base: relative path of the table's folder.
        """
        path = text.replace("\\", "/")
        same_stem = self.by_stem.get(stem(path), ())
        if len(same_stem) == 1:
            return self.absolute(same_stem[0]), ""
        if posixpath.isabs(path):
            path = os.path.relpath(path, self.root)
            base = ""
        relative = ""
        for folder in dict.fromkeys((base, "")):
            relative = posixpath.normpath(posixpath.join(folder, path))
            if relative in self.refused:
                return None, self.refused[relative]
            if relative in self.files:
                return self.absolute(relative), ""
        if relative.startswith("../") or relative == "..":
            return None, "the path leads outside the imported folder"
        return (None, "the image file was not found") if "/" in path else self._by_name(path)

    def _by_name(self, name: str) -> tuple[str | None, str]:
        candidates = self.by_stem.get(stem(name), [])
        photos = [c for c in candidates if not looks_like_mask(c)] or candidates
        photos = [c for c in photos if posixpath.basename(c) == name] or photos
        if not photos:
            return None, "the image file was not found"
        if len({os.path.getsize(self.absolute(c)) for c in photos}) > 1:
            return None, f"several different files have this name ({', '.join(photos[:3])})"
        return self.absolute(photos[0]), ""


def stem(name: str) -> str:
    """A file name without an image suffix; other dots stay."""
    body, dot, suffix = name.rpartition(".")
    return body if body and dot + suffix.lower() in IMAGE_SUFFIXES else name


def looks_like_mask(relative: str) -> bool:
    """Whether a path names lesion masks and the like, which share their photograph's name."""
    return any(word in relative.lower() for word in NOT_PHOTOS)


def scan(root: Path) -> FolderFiles:
    """List images, tables and arrays below `root`. Links to folders are not followed. Raises DataError."""
    files = FolderFiles(Path(os.path.realpath(root)))
    try:
        _walk(files, "", 0)
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); check its permissions."
        ) from error
    for relative in sorted(files.files):
        files.by_stem[stem(posixpath.basename(relative))].append(relative)
    return files


def _walk(files: FolderFiles, relative: str, depth: int) -> None:
    with os.scandir(os.path.join(files.root, relative)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if name.startswith(".") or name.lower() in JUNK or name == "__MACOSX":
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
    if suffix in TABLE_SUFFIXES or (not suffix and "metadata" in entry.name.lower()):
        if depth <= TABLE_DEPTH:
            files.tables.append(Path(entry.path))
    elif suffix == ".npz":
        files.arrays.append(Path(entry.path))
    else:
        files.files.add(path)


def _inside(path: str, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)
