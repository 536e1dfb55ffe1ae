"""Vectors that others computed, one for each image, joined to the images of an imported dataset.

    brought = bring_embeddings(dataset, Path("clip.parquet"))

A file is .npz (an array of ids beside a matrix, or one vector under each id), .parquet or .csv (a column
of ids beside a column of lists, or beside one column of numbers for each feature). Ids are joined as those
of predictions are: by image id, else by file name. What was assumed is in the notes; what cannot be
vectors of different images is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..formatting import count
from .embedding_labels import require_no_labels
from .embedding_tables import EmbeddingTable, read_embeddings
from .image_ids import NAMED, ImageIds, describe_joined
from .manifest import Dataset


@dataclass(frozen=True, eq=False)
class BroughtEmbeddings:
    """The vectors of one file for images of one dataset.

    Attributes:
        rows: (n,) manifest rows of the images that have one, ascending.
        vectors_nd: (n, D) float32, finite.
        origin: what `derm features` wrote of the arm; empty for other files.
        notes: what was assumed, and what was left out.
    """

    rows: np.ndarray
    vectors_nd: np.ndarray
    origin: dict[str, object]
    notes: tuple[str, ...]


def bring_embeddings(
    dataset: Dataset, path: Path, vectors: str | None = None, allow_labels: bool = False
) -> BroughtEmbeddings:
    """Read a file of vectors for a dataset.

    Args:
        dataset: of the images.
        path: of the file.
        vectors: which part of the file holds the vectors, see `read_embeddings`.
        allow_labels: take vectors although labels stand in them.

    Raises:
        DataError: it cannot be read, names none of the images, gives one image two different vectors, or
            holds vectors that are of different lengths, not finite, all equal, or labels.
    """
    ids = ImageIds(dataset.frame)
    table = read_embeddings(path, ids, vectors, dataset.classes)
    where, cells = path.name, table.cells
    joined = ids.join(cell for cell in cells if cell)
    if not joined.rows:
        few = ", ".join(list(dict.fromkeys(cells))[:NAMED])
        raise DataError(
            f"None of the {count(len(cells), 'vector')} of {where} is of an image of {dataset.name}: it names {few}; "
            f"the dataset's images are called such as {dataset.frame['image_id'].iloc[0]}."
        )
    rows = np.array([joined.rows.get(cell, -1) for cell in cells], np.int64)
    matched = rows >= 0
    rows, values, notes = _one_each(rows[matched], _finite(table, matched), dataset, where)
    notes = [*table.notes, *describe_joined(joined, where, dataset.name), *notes]
    notes += _constant(rows, values, dataset, where)
    if not (allow_labels or table.origin):  # those of `derm features` are no labels
        require_no_labels(where, values, dataset.labels[rows], table.columns)
    if missing := len(dataset) - len(rows):
        notes.append(f"{count(missing, 'image')} of {dataset.name} have no vector in {where}.")
    return BroughtEmbeddings(rows, values, table.origin, tuple(notes))


def _finite(table: EmbeddingTable, matched: np.ndarray) -> np.ndarray:
    """The vectors of matched rows as float32. Raises DataError where one is not finite."""
    with np.errstate(over="ignore"):
        vectors = table.vectors_nd[matched].astype(np.float32)
    broken = ~np.isfinite(vectors).all(1)
    if broken.any():
        names = table.cells[matched][broken]
        raise DataError(
            f"{table.where}: {count(int(broken.sum()), 'vector')} hold values that are not finite or missing "
            f"({_few(names)}): compute them again, or leave these rows out of the file."
        )
    return vectors


def _one_each(
    rows: np.ndarray, vectors: np.ndarray, dataset: Dataset, where: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """One vector for each image, in the order of the dataset; equal ones are dropped, others refused."""
    order = np.argsort(rows, kind="stable")
    rows, vectors = rows[order], vectors[order]
    again = np.flatnonzero(rows[1:] == rows[:-1]) + 1
    differ = [place for place in again if not np.array_equal(vectors[place], vectors[place - 1])]
    if differ:
        names = dataset.frame["image_id"].to_numpy()[rows[differ]]
        raise DataError(
            f"{where} has different vectors for the same image ({_few(names)}): keep one row for each image, such as "
            "the one without augmentation."
        )
    notes = (
        [f"{where}: {count(len(again), 'row')} repeat the vector of an image."]
        if len(again)
        else []
    )
    keep = np.setdiff1d(np.arange(len(rows)), again)
    return rows[keep], vectors[keep], notes


def _constant(rows: np.ndarray, vectors: np.ndarray, dataset: Dataset, where: str) -> list[str]:
    """Notes on features and vectors that say nothing. Raises DataError where all vectors are equal."""
    still = (vectors == vectors[:1]).all(0)
    if still.all() and len(rows) > 1:
        raise DataError(
            f"All vectors of {where} are equal: they tell no image from another; compute them again."
        )
    notes = []
    if still.any() and len(rows) > 1:
        notes.append(
            f"{where}: {count(int(still.sum()), 'feature')} of {vectors.shape[1]:,} have one value for all images."
        )
    flat = (vectors == vectors[:, :1]).all(1) if vectors.shape[1] > 1 else np.zeros(len(rows), bool)
    if flat.any():
        names = dataset.frame["image_id"].to_numpy()[rows[flat]]
        notes.append(
            f"Caution: {where} has {count(int(flat.sum()), 'vector')} whose features are all the same number, as a "
            f"failed extraction leaves them: {_few(names)}."
        )
    return notes


def _few(names: Sequence[str] | np.ndarray) -> str:
    return ", ".join(map(str, names[:NAMED])) + (", …" if len(names) > NAMED else "")
