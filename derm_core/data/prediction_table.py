"""A file of predictions as a table, and which of its columns hold what."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from .columns import plain, rank, words
from .image_ids import ImageIds
from .prediction_names import (
    GENERIC,
    ClassNames,
    ColumnName,
    column_role,
    model_of,
    read_column_name,
)
from .prediction_scores import as_numbers, read_list
from .tables import MAX_CELLS, MAX_TABLE_BYTES, read_table, without_header

PARQUET = (".parquet", ".pq")
MODEL = set(
    "model arm method network classifier extractor backbone algorithm architecture encoder system".split()
)
SEED = set("seed run repeat replicate trial rep".split())
FOLD = set("fold cvfold kfold foldid".split())
SPLIT = set("split partition subset phase set datasetsplit".split())
MANY = 200  # different values of a column of classes


@dataclass
class PredictionTable:
    """A file's columns by what they hold; None where it has none of that kind.

    Attributes:
        image: names the images; None in a table of class numbers.
        truth: true labels; predicted: columns of predicted labels by the name of their model, "" for the file's.
        scores: columns of numbers with what their names say.
        lists: a column whose cells hold the scores of all classes.
    """

    path: Path
    frame: pd.DataFrame
    image: str | None = None
    truth: str | None = None
    predicted: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    seed: str | None = None
    fold: str | None = None
    split: str | None = None
    scores: dict[str, ColumnName] = field(default_factory=dict)
    lists: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> str:
        """The names of the columns, for a message."""
        names = [str(name) for name in self.frame.columns[:20]]
        return ", ".join(names) + (", …" if len(self.frame.columns) > 20 else "")


def read_predictions(path: Path, ids: ImageIds, names: ClassNames) -> PredictionTable:
    """Read a file and find out what its columns hold.

    Raises:
        DataError: it cannot be read.
    """
    frame, notes = _read_frame(path, ids)
    table = _analyse(path, frame, ids, names)
    table.notes += notes
    long = _find_long(table) if table.image else None
    if long is None:
        return table
    wide = _analyse(path, _widened(table, *long), ids, names)
    wide.notes += [
        *notes,
        f"{path.name} has one row for each image and class ({long[0]}, {long[1]}).",
    ]
    return wide


def _analyse(path: Path, frame: pd.DataFrame, ids: ImageIds, names: ClassNames) -> PredictionTable:
    table = PredictionTable(path, frame)
    taken: list[str] = []
    table.image = image_column(frame, ids)
    if table.image is None:
        return table
    taken.append(table.image)
    for role, called in (("model", MODEL), ("seed", SEED), ("fold", FOLD), ("split", SPLIT)):
        column = next((c for c in frame if c not in taken and _is_called(c, called)), None)
        if column is not None and not _is_constant_number(frame[column], role):
            setattr(table, role, column)
            taken.append(column)
    _find_labels(table, names, taken)
    _find_scores(table, names, taken)
    return table


def _read_frame(path: Path, ids: ImageIds) -> tuple[pd.DataFrame, list[str]]:
    if path.suffix.lower() in PARQUET:
        return _read_parquet(path), []
    by_image = _of_object(path) if path.suffix.lower() == ".json" else None
    if by_image is not None:
        return by_image, []
    table = read_table(path, unnamed=True)
    if table.rows and ids.hits(table.header)[0]:  # the first line is an image, no header
        table = without_header(table)
    frame = pd.DataFrame(table.rows, columns=list(table.columns), dtype=object)
    return frame.rename(columns={name: table.spell(name) for name in table.columns}), list(
        table.notes
    )


def _of_object(path: Path) -> pd.DataFrame | None:
    """A JSON object with a list or an object for each image; None for other files, which `read_table` reads."""
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            return None
        value = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value:
        return None
    if all(isinstance(one, dict) for one in value.values()):
        return pd.DataFrame([{"image": name, **one} for name, one in value.items()])
    if all(isinstance(one, list) for one in value.values()):
        return pd.DataFrame({"image": list(value), "scores": list(value.values())}, dtype=object)
    return None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_TABLE_BYTES // 2**20} MB; split it.")
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet ({str(error)[:100]}).") from error
    if frame.size > MAX_CELLS:
        raise DataError(f"{path.name} has more than {MAX_CELLS:,} values; split it.")
    if not isinstance(frame.index, pd.RangeIndex):
        named = [name or f"index {place}" for place, name in enumerate(frame.index.names)]
        frame = frame.reset_index(names=named)
    return frame.rename(columns=str)


def texts(cells: pd.Series) -> np.ndarray:
    """Cells as stripped texts (n,); whole numbers without ".0", "" where one is missing."""

    def text(value: object) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return ""
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        text = str(value).strip()
        return text.partition(".")[0] if re.fullmatch(r"-?\d+\.0*", text) else text

    return np.array([text(value) for value in cells], dtype=object)


def image_column(frame: pd.DataFrame, ids: ImageIds) -> str | None:
    """The column of a file that names the most images of a dataset; the usual name decides between equals."""
    best: tuple[tuple[int, int], int, str] | None = None
    for place, column in enumerate(frame.columns):
        if (
            pd.api.types.is_float_dtype(frame[column])
            or frame[column].map(type).isin([list, dict, np.ndarray]).any()
        ):
            continue
        hits = ids.hits(cell for cell in texts(frame[column]) if cell)
        order = rank(column, "image")
        candidate = (hits, -(place + 1000 if order is None else order), column)
        if hits[0] and (best is None or candidate[:2] > best[:2]):
            best = candidate
    return best[2] if best else None


def _is_called(column: str, called: set[str]) -> bool:
    significant = [
        word for word in words(column) if word not in ("id", "name", "no", "number", "idx")
    ]
    return plain(column) in called or (len(significant) == 1 and significant[0] in called)


def _is_constant_number(cells: pd.Series, role: str) -> bool:
    """Whether a column called a model or split holds plain scores: no names."""
    numbers = as_numbers(cells)
    return role in ("model", "split") and numbers is not None and not np.isnan(numbers).all() and any(
        value % 1 for value in numbers[np.isfinite(numbers)]
    )  # fmt: skip


def _find_labels(table: PredictionTable, names: ClassNames, taken: list[str]) -> None:
    """The columns of true and predicted labels."""
    truth: list[tuple[bool, int, str]] = []
    for place, column in enumerate(table.frame.columns):
        if column in taken or not _may_be_labels(table.frame[column]):
            continue
        role, order = column_role(column), rank(column, "label")
        named = any(names.find(text) for text in set(texts(table.frame[column])) if text)
        if role == "predicted" and not _names_class(column, names):
            model = model_of(column)
            before = table.predicted.get(model)
            if before is None or (named and not _has_names(table.frame[before], names)):
                table.predicted[model] = column
            taken.append(column)
        elif role == "truth" or order is not None:
            if role == "truth" and _names_class(column, names):
                continue
            truth.append((role != "truth", -1 if named else place + (order or 0), column))
    if truth:
        table.truth = min(truth)[2]
        taken.extend(column for _, _, column in truth)


def _names_class(column: str, names: ClassNames) -> bool:
    """Whether a column is one of a class, such as true_mel or pred_3."""
    name = read_column_name(column, names)
    return name is not None and (name.known or name.is_number)


def _has_names(cells: pd.Series, names: ClassNames) -> bool:
    return any(names.find(text) for text in set(texts(cells)) if text)


def _may_be_labels(cells: pd.Series) -> bool:
    values = {text for text in texts(cells) if text}
    if len(values) > MANY or not values or any(read_list(text) for text in list(values)[:1]):
        return False
    numbers = as_numbers(cells)
    return numbers is None or bool((numbers[np.isfinite(numbers)] % 1 == 0).all())


def _find_scores(table: PredictionTable, names: ClassNames, taken: Sequence[str]) -> None:
    """Columns of numbers one a class, a column of lists, or class and score in rows."""
    for column in table.frame.columns:
        if column in taken:
            continue
        cells = table.frame[column]
        first = next((value for value in cells if value is not None and str(value).strip()), None)
        values = read_list(first)
        if values is not None and len(values) > 1 and table.lists is None:
            table.lists = column
            continue
        numbers = as_numbers(cells) if values is None else None
        if numbers is None or np.isnan(numbers).all():
            continue
        name = read_column_name(column, names)
        generic = set(words(column)) <= GENERIC or plain(column) in GENERIC | {
            "value",
            "prediction",
        }
        if name is not None or generic:
            table.scores[column] = name or ColumnName("", False, False, "", _kind(column))


def _kind(column: str) -> str:
    return "logit" if "logit" in column.lower() else "score"


def _find_long(table: PredictionTable) -> tuple[str, str] | None:
    """The columns of class and score where each image has a row for each class; None in other tables."""
    by = [c for c in (table.image, table.model, table.seed, table.fold) if c]
    score = next((column for column, name in table.scores.items() if not name.token), None)
    if score is None or table.frame.groupby(by, dropna=False).size().max() < 2:
        return None
    taken = {*by, score, table.split}
    for column in (c for c in table.frame if c not in taken):
        cells = table.frame[column]
        if not _may_be_labels(cells) or cells.nunique() < 2:
            continue
        rows = table.frame[by].assign(_class=texts(cells)).drop_duplicates()
        if len(rows) == len(table.frame) and rows.groupby(by)["_class"].nunique().min() > 1:
            return column, score
    return None


def _widened(table: PredictionTable, class_column: str, score: str) -> pd.DataFrame:
    """A row for each image, a column for each class."""
    by = [c for c in (table.image, table.model, table.seed, table.fold, table.split) if c]
    by += [table.truth] if table.truth and table.truth != class_column else []
    frame = pd.DataFrame({column: texts(table.frame[column]) for column in (*by, class_column)})
    frame[score] = as_numbers(table.frame[score])
    wide = frame.set_index([*by, class_column])[score].unstack(sort=False)
    wide.columns = [f"{score} {name}" for name in wide.columns]
    return wide.reset_index()
