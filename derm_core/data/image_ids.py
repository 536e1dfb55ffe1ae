"""Which image of an imported dataset a cell of somebody else's file names: by id, file name or path."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from ..formatting import count
from .image_files import stem
from .image_names import clean, key, without_zeros

NAMED = 5  # images, classes and files that one sentence names
HOW = {
    "exact": "by id",
    "name": "by file name without folder and suffix",
    "case": "without regard to upper and lower case",
    "zeros": "without regard to zeros before numbers",
}


@dataclass(frozen=True)
class Joined:
    """Which images some cells name.

    Attributes:
        rows: cell → row of the manifest, of those that name one image.
        how: key of HOW → how many cells were joined in that way.
        ambiguous: cells that name several images alike.
        unmatched: cells that name none.
    """

    rows: dict[str, int] = field(default_factory=dict)
    how: Counter[str] = field(default_factory=Counter)
    ambiguous: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


class ImageIds:
    """The images of a dataset by all names that a file may give them.

    Args:
        frame: a manifest, of which the columns image_id and path are read.
    """

    def __init__(self, frame: pd.DataFrame):
        ids = frame["image_id"].astype(str).tolist()
        self._paths = [path.replace("\\", "/") for path in frame["path"]]
        self._by: dict[str, dict[str, list[int]]] = {how: defaultdict(list) for how in HOW}
        for row, (image_id, path) in enumerate(zip(ids, self._paths, strict=True)):
            self._by["exact"][image_id].append(row)
            for name in {image_id, path}:
                for how in ("name", "case", "zeros"):
                    rows = self._by[how][_form(name, how)]
                    if row not in rows[-1:]:
                        rows.append(row)

    def join(self, cells: Iterable[str]) -> Joined:
        """The images that distinct cells name; the strictest way that names any decides for each cell."""
        rows: dict[str, int] = {}
        how: Counter[str] = Counter()
        ambiguous: list[str] = []
        unmatched: list[str] = []
        for cell in dict.fromkeys(cells):
            way, candidates = self._candidates(cell)
            if len(candidates) == 1:
                rows[cell] = candidates[0]
                how[way] += 1
            else:
                (ambiguous if candidates else unmatched).append(cell)
        return Joined(rows, how, tuple(ambiguous), tuple(unmatched))

    def hits(self, cells: Iterable[str]) -> tuple[int, int]:
        """How many different images some cells name, and how many cells do so without regard to zeros alone."""
        joined = self.join(cells)
        return len(set(joined.rows.values())), len(joined.rows) - joined.how["zeros"]

    def _candidates(self, cell: str) -> tuple[str, list[int]]:
        for how in HOW:
            rows = self._by[how].get(cell.strip() if how == "exact" else _form(cell, how), [])
            if rows:
                return how, rows if len(rows) == 1 else self._of_folder(cell, rows)
        return "", []

    def _of_folder(self, cell: str, rows: list[int]) -> list[int]:
        """Of images of one name those in the folders that the cell names, as many of them as agree."""
        folders = posixpath.dirname(clean(cell)).strip("/").lower().split("/")
        for start in range(len(folders)):
            tail = "/" + "/".join(folders[start:])
            inside = [
                row for row in rows if posixpath.dirname(self._paths[row]).lower().endswith(tail)
            ]
            if inside and folders != [""]:
                return inside
        return rows


def _form(name: str, how: str) -> str:
    if how == "name":
        base = name.replace("\\", "/").rpartition("/")[2].strip()
        return stem(base)
    folded = key(name)
    if how == "case":
        return folded
    whole, _, fraction = folded.partition(".")
    return without_zeros(whole if whole.isdecimal() and not fraction.strip("0") else folded)


def describe_joined(joined: Joined, where: str, name: str) -> list[str]:
    """How the images of a file were joined, and which were not."""
    total = len(joined.rows) + len(joined.unmatched) + len(joined.ambiguous)
    ways = ", ".join(
        f"{HOW[how]}" + (f" ({number:,})" if len(joined.how) > 1 else "")
        for how, number in joined.how.items()
    )
    notes = [
        f"{where}: {len(joined.rows):,} of {count(total, 'image')} are in {name}, joined {ways}."
    ]
    for cells, what in (
        (joined.unmatched, f"not in {name} and left out"),
        (joined.ambiguous, f"names of several images of {name} and left out"),
    ):
        if cells:
            few = ", ".join(posixpath.basename(clean(cell)) for cell in cells[:NAMED])
            more = ", …" if len(cells) > NAMED else ""
            notes.append(f"{where}: {len(cells):,} {what}: {few}{more}.")
    return notes
