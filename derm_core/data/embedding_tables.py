"""Files of vectors as arrays: which part names the images, and which holds their vectors."""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from .embedding_choice import choose_vectors, is_about, rank
from .image_ids import ImageIds
from .prediction_scores import as_numbers, read_list
from .prediction_table import PARQUET, image_column, texts
from .tables import SEPARATORS

MAX_BYTES = 4 * 2**30
MAX_VALUES = 500_000_000  # 2 GB in memory
SAMPLE = 2000  # lines of a CSV in which the image column is looked for
ORIGIN = b"derm_features"  # key in a Parquet file's metadata
ALL = "all"  # in place of a name: all columns of numbers that are features by their names
_NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class EmbeddingTable:
    """What a file holds.

    Attributes:
        where: the file's name.
        cells: (n,) what names the image of each row.
        vectors_nd: (n, D) numbers, NaN where one is missing.
        columns: (D,) names of the features, where each has a column of its own; else empty.
        origin: what `derm features` wrote of the arm; empty for other files.
        notes: what was assumed.
    """

    where: str
    cells: np.ndarray
    vectors_nd: np.ndarray
    columns: tuple[str, ...] = ()
    origin: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_embeddings(
    path: Path, ids: ImageIds, vectors: str | None = None, classes: Sequence[str] = ()
) -> EmbeddingTable:
    """The rows of a file of vectors.

    Args:
        path: of the file.
        ids: of the dataset's images.
        vectors: name of the array, of the column of lists, or of what stands before the numbers of the
            columns, that holds the vectors; None: what the names say.
        classes: of the dataset; columns of their names are no features.

    Raises:
        DataError: it cannot be read, is too large, names no image of the dataset, its vectors are of
            different lengths, or it does not say which of its parts are the vectors.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_BYTES // 2**30} GB; split it.")
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return _from_npz(path, ids, vectors, classes)
        if suffix in PARQUET:
            frame, origin = _read_parquet(path)
            return _from_frame(path, frame, ids, origin, vectors, classes)
        if suffix in (".csv", ".tsv", ".txt"):
            return _from_frame(path, _read_csv(path, ids), ids, {}, vectors, classes)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}).") from error
    raise DataError(
        f"{path.name} is no file of vectors that can be read; give .npz, .parquet or .csv."
    )


def _from_npz(
    path: Path, ids: ImageIds, vectors: str | None, classes: Sequence[str]
) -> EmbeddingTable:
    """Ids beside a matrix, or a vector under each id; nothing in it is unpickled."""
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > MAX_BYTES:
            raise DataError(f"{path.name} unpacks to more than {MAX_BYTES // 2**30} GB; split it.")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise DataError(
            f"{path.name} cannot be read as .npz without pickle ({str(error)[:80]}): save ids as an array of text "
            "and vectors as one matrix of numbers, np.savez(FILE, ids=…, vectors=…)."
        ) from error
    matrices = {
        name: array
        for name, array in arrays.items()
        if array.ndim == 2 and np.issubdtype(array.dtype, np.number)
    }
    lists = {name: texts(pd.Series(a)) for name, a in arrays.items() if a.ndim == 1 and len(a)}
    if not matrices and arrays and ids.hits(arrays)[0]:
        return _from_vectors(path.name, arrays)
    hits = {key: ids.hits(of) for key, of in lists.items()}
    named = {key: of for key, of in lists.items() if hits[key][0]}
    lengths = {len(of) for of in named.values()}
    fitting = {name: matrix for name, matrix in matrices.items() if len(matrix) in lengths}
    if fitting:
        sizes = {name: matrix.shape[1] for name, matrix in fitting.items()}
        name = choose_vectors(path.name, sizes, vectors, classes)
        matrix = fitting[name]
        best = max((key for key in named if len(named[key]) == len(matrix)), key=hits.__getitem__)
        left = [other for other in arrays if other not in (name, best)]
        notes = [f"{path.name}: ids from {best}, vectors from {name} {matrix.shape}."]
        notes += [f"{path.name}: not used: {', '.join(left[:20])}."] if left else []
        return _checked(path.name, named[best], matrix, notes)
    held = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:8])
    raise DataError(
        f"{path.name} has no array of image ids beside a matrix of vectors with as many rows ({held or 'empty'}): "
        "save np.savez(FILE, ids=…, vectors=…)."
    )


def _from_vectors(where: str, arrays: dict[str, np.ndarray]) -> EmbeddingTable:
    """An .npz with one vector under each id."""
    vectors = [np.ravel(array) for array in arrays.values()]
    return _checked(where, np.array(list(arrays), dtype=object), _stacked(where, vectors), [])


def _read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, object]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet ({str(error)[:100]}).") from error
    written = (table.schema.metadata or {}).get(ORIGIN)
    try:
        origin = json.loads(written) if written else {}
    except ValueError:
        origin = {}
    frame = table.to_pandas()
    if not isinstance(frame.index, pd.RangeIndex):
        named = [name or f"index {place}" for place, name in enumerate(frame.index.names)]
        frame = frame.reset_index(names=named)
    return frame.rename(columns=str), origin if isinstance(origin, dict) else {}


def _read_csv(path: Path, ids: ImageIds) -> pd.DataFrame:
    """A CSV whose image column stays text and whose numbers are read to their last digit."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    separator = max(SEPARATORS, key=first.count)
    header = None if ids.hits([cell.strip(' "\n') for cell in first.split(separator)])[0] else 0
    options = {
        "sep": separator,
        "header": header,
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
    }
    try:
        sample = pd.read_csv(path, dtype=str, nrows=SAMPLE, **options).rename(columns=str)
        column = image_column(sample, ids)
        place = {list(sample).index(column): str} if column else {}
        names = list(sample) if header is None else None
        dtypes = {(names[at] if names else list(sample)[at]): kind for at, kind in place.items()}
        frame = pd.read_csv(
            path, dtype=dtypes, float_precision="round_trip", names=names, **options
        )
    except (ValueError, UnicodeError) as error:
        raise DataError(
            f"{path.name} cannot be read as a table with as many cells in each row ({str(error)[:100]}): vectors of "
            "different lengths are not of one extractor."
        ) from error
    return frame.rename(columns=str)


def _from_frame(
    path: Path,
    frame: pd.DataFrame,
    ids: ImageIds,
    origin: dict[str, object],
    vectors: str | None,
    classes: Sequence[str],
) -> EmbeddingTable:
    """Ids in one column, vectors in a column of lists or in one column for each feature."""
    if frame.size > MAX_VALUES:
        raise DataError(f"{path.name} has more than {MAX_VALUES:,} values; split it.")
    image = image_column(frame, ids)
    if image is None:
        raise DataError(
            f"No column of {path.name} names images of this dataset (columns: {_listed(list(frame))})."
        )
    cells, others = texts(frame[image]), [name for name in frame if name != image]
    used, is_list = _vector_columns(path.name, frame, others, vectors, classes)
    if is_list:
        values = _stacked(path.name, _lists(frame[used[0]]))
    else:
        numbers = [as_numbers(frame[name]) for name in used]
        values = np.stack([one for one in numbers if one is not None], 1)
    columns = () if is_list else tuple(used)
    left = [name for name in others if name not in used]
    notes = [f"{path.name}: ids from {image}, vectors from {_listed(used)}."]
    notes += [f"{path.name}: not used: {_listed(left)}."] if left else []
    return _checked(path.name, cells, values, notes, columns, origin)


def _vector_columns(
    where: str,
    frame: pd.DataFrame,
    names: Sequence[str],
    wanted: str | None,
    classes: Sequence[str],
) -> tuple[list[str], bool]:
    """The columns that hold the vectors, and whether it is one column of lists.

    A column of lists or columns numbered alike, as their names say; else all other numbers that are features
    by their names.
    """
    lists = {name: size for name in names if (size := _list_length(frame[name])) > 1}
    numeric = [name for name in names if as_numbers(frame[name]) is not None]
    numbered = _numbered_columns(numeric)
    sets = {prefix: len(columns) for prefix, columns in numbered.items()}
    candidates = {**sets, **lists}
    features = [name for name in candidates if rank(name, classes) < 2]
    used = [name for name in numeric if not is_about(name, classes)]
    few = bool(sets) and len(used) > 2 * max(sets.values())  # which may be a part of them
    if ALL not in candidates and used and (few or wanted == ALL):
        candidates[ALL] = len(used)
    if candidates and (features or not used or wanted is not None):
        chosen = choose_vectors(where, candidates, wanted, classes)
        if chosen in lists:
            return [chosen], True
        return _in_order(where, numbered[chosen]) if chosen in numbered else used, False
    if not used:
        raise DataError(
            f"{where} has no vectors: neither a column of lists nor columns of numbers (columns: "
            f"{_listed(list(frame))})."
        )
    return used, False


def _list_length(cells: pd.Series) -> int:
    """How many numbers the first cell of a column of lists, or of lists as text, has; 0 of other columns."""
    if pd.api.types.is_numeric_dtype(cells) or not len(cells):
        return 0
    first = read_list(cells.iloc[0])
    return len(first) if isinstance(first, list) else 0


def _lists(cells: pd.Series) -> list[np.ndarray]:
    """The vectors of a column of lists."""
    values = [read_list(cell) for cell in cells]
    return [np.asarray(value if isinstance(value, list) else [], float) for value in values]


def _numbered_columns(names: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """{what stands before the number: (number, column) of each}, of two columns at least."""
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            numbered[match[1]].append((int(match[2]), name))
    return {prefix: columns for prefix, columns in numbered.items() if len(columns) > 1}


def _in_order(where: str, columns: Sequence[tuple[int, str]]) -> list[str]:
    """The columns in the order of their numbers. Raises DataError where two have one number."""
    by_number: dict[int, str] = {}
    for number, name in columns:
        if number in by_number:
            raise DataError(
                f"{where}: the columns {by_number[number]} and {name} have one number: give each its own, or leave "
                "one out of the file."
            )
        by_number[number] = name
    return [by_number[number] for number in sorted(by_number)]


def _stacked(where: str, vectors: Sequence[np.ndarray]) -> np.ndarray:
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        shown = ", ".join(f"{length:,}" for length in lengths[:5])
        raise DataError(
            f"The vectors of {where} have different lengths ({shown}{', …' if len(lengths) > 5 else ''}): those of "
            "one extractor have one; give a file for each."
        )
    try:
        return np.stack(vectors).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{where} holds vectors that are no numbers ({str(error)[:80]})."
        ) from error


def _checked(
    where: str,
    cells: np.ndarray,
    vectors: np.ndarray,
    notes: Sequence[str],
    columns: tuple[str, ...] = (),
    origin: dict[str, object] | None = None,
) -> EmbeddingTable:
    if not vectors.shape[1]:
        raise DataError(f"The vectors of {where} are empty.")
    values = np.asarray(vectors, float)
    return EmbeddingTable(where, cells, values, columns, origin or {}, tuple(notes))


def _listed(names: Sequence[str]) -> str:
    """Column names, of many the first and the last."""
    if len(names) <= 6:
        return ", ".join(names) or "none"
    return f"{names[0]} to {names[-1]} ({len(names):,} columns)"
