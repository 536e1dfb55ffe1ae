"""Which image file a cell of a table names: exactly, or with what files and tables often differ in."""

from __future__ import annotations

import difflib
import filecmp
import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .image_files import FolderFiles, stem

# How a name was matched → what a note says of it.
SPELLING = "case, suffix or Unicode form"
FOLDER = "the folders that the table names"
ZEROS = "zeros before numbers"
NEAREST = 3  # reasons that name the nearest file: a search among all names each


class Match(NamedTuple):
    """The file that a cell names.

    Attributes:
        path: relative; None where there is none.
        reason: why there is none.
        how: what was disregarded to match it; empty for an exact match.
        rivals: files of different content that the cell names alike.
    """

    path: str | None = None
    reason: str = ""
    how: str = ""
    rivals: tuple[str, ...] = ()


class ImageNames:
    """The image files of a folder by the names that tables give them."""

    def __init__(self, files: FolderFiles):
        self.files = files
        self._images = set(files.images)
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for path in files.images:
            self._by_key[key(path)].append(path)
        # Names without suffix of files whose key no other file has: what most tables' ids are.
        self._ids = {
            stem(path.rpartition("/")[2]): path
            for path, *others in self._by_key.values()
            if not others
        }
        self._by_number: dict[str, list[str]] | None = None
        self._searches = 0

    def hits(self, cells: Iterable[str]) -> set[str]:
        """The keys of files that some cells name, without regard to folders."""
        return {name for cell in cells if (name := key(cell)) in self._by_key}

    def find(self, text: str, base: str = "") -> Match:
        """The image that a cell names.

        Args:
            text: a path relative to the folder `base` of the table or to the root, an absolute path
                below the root or of another machine, a file name or an id.
            base: relative path of the table's folder.
        """
        if text in self._ids:
            return Match(self._ids[text])
        path = clean(text)
        if posixpath.isabs(path) and (inside := self._below_root(path)):
            path = inside
        relative = ""
        for folder in dict.fromkeys((base, "")):
            relative = posixpath.normpath(posixpath.join(folder, path))
            if relative in self.files.refused:
                return Match(reason=self.files.refused[relative])
            if relative in self._images:
                return Match(relative)
        if relative == ".." or relative.startswith("../"):
            return Match(reason="the path leads outside the imported folder")
        match = self._by_name(path)
        if match.path is None and not match.rivals:
            match = self._by_zeros(path) or match
        return match

    def loosely(self, path: str) -> bool:
        """Whether a path names one file without regard to zeros before numbers."""
        return self._by_zeros(path) is not None

    def mostly_loosely(self, cells: Sequence[str]) -> bool:
        """Whether most cells name one file without regard to zeros before numbers."""
        filled = [cell for cell in cells if cell]
        return sum(self.loosely(clean(cell)) for cell in filled) > len(filled) / 2

    def _below_root(self, path: str) -> str | None:
        relative = os.path.relpath(path, self.files.root).replace(os.sep, "/")
        return None if relative.startswith("..") else relative

    def _by_name(self, path: str) -> Match:
        candidates = self._by_key.get(key(path), [])
        if not candidates:
            return Match(reason=self._not_found(path))
        name = posixpath.basename(path)
        parts = path.strip("/").split("/")[:-1]
        for start in range(len(parts) + 1):  # fewer and fewer of the folders that the table names
            tail = _fold("/".join(parts[start:]))
            below = [one for one in candidates if _ends_with(_fold(posixpath.dirname(one)), tail)]
            if below:
                how = FOLDER if start else ""
                return self._one_of(below, name, how)
        return Match(reason=self._not_found(path))

    def _one_of(self, candidates: list[str], name: str, how: str) -> Match:
        """The one candidate, or the first of several of equal content."""
        names = [posixpath.basename(one) for one in candidates]
        for same in (
            [one for one, own in zip(candidates, names, strict=True) if own == name],
            [one for one, own in zip(candidates, names, strict=True) if stem(own) == stem(name)],
        ):
            candidates = same or candidates
        own = posixpath.basename(candidates[0])
        if not how and own != name and (stem(own) != stem(name) or stem(name) != name):
            how = SPELLING
        first, *others = candidates
        different = [one for one in others if not self._equal(first, one)]
        if different:
            rivals = (first, *different)
            named = ", ".join(rivals[:3])
            return Match(reason=f"several different files have this name ({named})", rivals=rivals)
        return Match(first, how=how)

    def _equal(self, first: str, second: str) -> bool:
        try:
            return filecmp.cmp(self.files.absolute(first), self.files.absolute(second), False)
        except OSError:
            return False

    def _by_zeros(self, path: str) -> Match | None:
        if self._by_number is None:
            self._by_number = defaultdict(list)
            for image in self.files.images:
                self._by_number[without_zeros(key(image))].append(image)
        text = re.sub(r"^(\d+)\.0+$", r"\1", key(path))
        candidates = self._by_number.get(without_zeros(text), [])
        return Match(candidates[0], how=ZEROS) if len(candidates) == 1 else None

    def _not_found(self, path: str) -> str:
        if posixpath.isabs(path):
            return "the path leads outside the imported folder, which holds no file of this name"
        if self._searches >= NEAREST:
            return "the image file was not found"
        self._searches += 1
        near = difflib.get_close_matches(key(path), list(self._by_key)[:20_000], 1, 0.6)
        if not near:
            return "the image file was not found"
        return f"the image file was not found; the nearest name is {self._by_key[near[0]][0]}"


def clean(text: str) -> str:
    """A cell as a path with slashes."""
    path = text.strip().replace("\\", "/")
    return re.sub(r"^(?:[a-zA-Z]:)?(?:\./)*", "", path) if path else path


def key(text: str) -> str:
    """A path's file name without suffix, case and the different Unicode forms of a letter."""
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    while "." in name and (shorter := stem(name)) != name:  # also "a.jpg.jpg"
        name = shorter
    return _fold(name)


def without_zeros(name: str) -> str:
    """A name whose numbers have no zeros before them."""
    return re.sub(r"0*(\d+)", r"\1", name)


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def _ends_with(folder: str, tail: str) -> bool:
    return not tail or folder == tail or folder.endswith("/" + tail)
