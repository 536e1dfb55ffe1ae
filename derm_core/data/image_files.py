"""The image files and tables below a folder, and how a table's words name them; nothing outside it."""

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
    """What lies below `root`: relative paths of files, links that stay inside included, by stem as well.

    refused: relative path → why a file is not used.
    """

    root: Path
    files: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    by_stem: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def absolute(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def find(self, text: str, base: str = "") -> tuple[str | None, str]:
        """(absolute path, "") of the image that `text` names, or (None, reason).

        text: a path relative to the folder `base` of the table or to `root`, an absolute path
        below `root`, or a file name or id, with or without its suffix.
        """
        words = text.replace("\\", "/")
        alone = self.by_stem.get(stem(words), ())
        if len(alone) == 1:
            return self.absolute(alone[0]), ""
        if posixpath.isabs(words):
            words = os.path.relpath(words, self.root)
            base = ""
        tried = [
            posixpath.normpath(posixpath.join(folder, words))
            for folder in dict.fromkeys((base, ""))
        ]
        for relative in tried:
            if relative in self.refused:
                return None, self.refused[relative]
            if relative in self.files:
                return self.absolute(relative), ""
        if tried[-1].startswith("../") or tried[-1] == "..":
            return None, "the path leads outside the imported folder"
        return (None, "the image file was not found") if "/" in words else self._by_name(words)

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
    found = FolderFiles(Path(os.path.realpath(root)))
    try:
        _walk(found, "", 0)
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); check its permissions."
        ) from error
    for relative in sorted(found.files):
        found.by_stem[stem(posixpath.basename(relative))].append(relative)
    return found


def _walk(found: FolderFiles, relative: str, depth: int) -> None:
    with os.scandir(os.path.join(found.root, relative)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if name.startswith(".") or name.lower() in JUNK or name == "__MACOSX":
            continue
        path = posixpath.join(relative, name)
        if (
            not path.isprintable()
        ):  # bytes that are no text, or control characters: not fit for a manifest
            found.refused[ascii(path)] = (
                "the name of the file or its folder is not readable text; rename it"
            )
            continue
        if entry.is_dir(follow_symlinks=False):
            _walk(found, path, depth + 1)
        elif entry.is_symlink() and not _inside(entry.path, found.root):
            found.refused[path] = "the file is a link that leads outside the imported folder"
        elif entry.is_file():
            _note_file(found, path, entry, depth)


def _note_file(found: FolderFiles, path: str, entry: os.DirEntry, depth: int) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in TABLE_SUFFIXES or (not suffix and "metadata" in entry.name.lower()):
        if depth <= TABLE_DEPTH:
            found.tables.append(Path(entry.path))
    elif suffix == ".npz":
        found.arrays.append(Path(entry.path))
    else:
        found.files.add(path)


def _inside(path: str, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)
