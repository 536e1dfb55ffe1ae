"""Predictions of other people's models, joined to the images of an imported dataset.

    brought = bring_predictions(dataset, [Path("CLIP.csv"), Path("DINO.parquet")])

A file has one row an image (or an image and class), with its id or file name, a predicted label or
one probability or logit a class, and often a true label. `prediction_table` finds out which column
holds what, `prediction_classes` which number is which class, `prediction_scores` what kind of
numbers they are. What was assumed is in the notes; what cannot be known is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError
from ..formatting import count, percent
from .columns import split_of
from .image_ids import NAMED, ImageIds, describe_joined
from .manifest import Dataset
from .prediction_blocks import one_hot_truth, score_blocks
from .prediction_classes import ClassOrder, as_classes, class_map, is_number
from .prediction_models import FileRows, model_predictions
from .prediction_names import ClassNames
from .prediction_records import ModelPredictions
from .prediction_table import PredictionTable, read_predictions, texts
from .splits import SPLITS

LEAST_AGREEMENT = 0.5  # of named labels: below that they are of other images


@dataclass(frozen=True, eq=False)
class BroughtPredictions:
    """The models of some files, on the images of one dataset.

    Attributes:
        models: with decisions and probabilities over `classes`.
        classes: those of the dataset, then those that only a file has.
        part_of: (N,) for each image of the dataset train, val, test or its fold as the files say, "" where
            they do not.
        notes: what was assumed, and what was left out.
    """

    models: tuple[ModelPredictions, ...]
    classes: tuple[str, ...]
    part_of: np.ndarray
    notes: tuple[str, ...]


def bring_predictions(
    dataset: Dataset,
    paths: Sequence[Path],
    *,
    classes: Sequence[str] = (),
    mapping: Sequence[str] = (),
) -> BroughtPredictions:
    """Read files of predictions for a dataset.

    Args:
        dataset: whose images they are of.
        paths: files of predictions, among them at most one table that names class numbers.
        classes: names of the classes in the order of their numbers, where files number them.
        mapping: "THEIRS=OURS", or "THEIRS=" for a class that the dataset has not.

    Raises:
        DataError: a file cannot be read, names none of the images, or contradicts itself or the dataset.
        ConfigError: `classes` or `mapping` do not fit.
    """
    ids, names = ImageIds(dataset.frame), ClassNames(dataset, mapping)
    tables = [read_predictions(path, ids, names) for path in paths]
    order = _class_order(dataset, tables, classes)
    notes: list[str] = []
    models: list[ModelPredictions] = []
    part_of = np.full(len(dataset), "", dtype=object)
    for table in tables:
        if table.image is not None:
            models += _models_of(dataset, table, ids, names, order, part_of, notes)
    if not models:
        raise DataError("These files hold no predictions: give a file with one row an image.")
    extra = dict.fromkeys(name for one in models for name in one.class_names)
    union = (*dataset.classes, *(name for name in extra if name not in dataset.classes))
    if more := union[len(dataset.classes) :]:
        notes.append(
            f"Not classes of {dataset.name}, and errors where they are predicted: {', '.join(more)} (--map "
            "THEIRS=OURS where one is a class under another name)."
        )
    whole = [_without_unknown(dataset, one, notes).over(union) for one in _distinct_names(models)]
    return BroughtPredictions(tuple(whole), union, part_of, tuple(notes))


def _class_order(
    dataset: Dataset, tables: Sequence[PredictionTable], classes: Sequence[str]
) -> ClassOrder:
    """What is given of class numbers; refuses tables that are neither predictions nor class numbers."""
    order = ClassOrder(tuple(classes))
    for table in tables:
        if table.image is not None:
            continue
        listed = _class_numbers(table)
        if listed is None:
            example = (
                [str(value)[:60] for value in table.frame.iloc[0].tolist()[:4]]
                if len(table.frame)
                else []
            )
            raise DataError(
                f"No column of {table.path.name} names images of {dataset.name} (columns: {table.columns}; first row: "
                f"{', '.join(example) or 'none'}); its images are called such as {dataset.frame['image_id'].iloc[0]}."
            )
        if order.listed and order.listed != listed:
            raise ConfigError(
                f"{order.source} and {table.path.name} number classes differently; compare their files apart."
            )
        order = replace(order, listed=listed, source=table.path.name)
    return order


def _class_numbers(table: PredictionTable) -> dict[str, str] | None:
    """Number → name of a small table of class numbers, such as class2label.csv; None for other tables."""
    cells = [texts(table.frame[column]) for column in table.frame.columns]
    numbers = [c for c in cells if len(set(c)) == len(c) > 1 and all(map(is_number, c))]
    names = [c for c in cells if len(set(c)) == len(c) > 1 and not any(map(is_number, c))]
    if len(table.frame) > 200 or not numbers or not names:
        return None
    return dict(zip(numbers[0].tolist(), names[0].tolist(), strict=True))


def _models_of(
    dataset: Dataset,
    table: PredictionTable,
    ids: ImageIds,
    names: ClassNames,
    order: ClassOrder,
    part_of: np.ndarray,
    notes: list[str],
) -> list[ModelPredictions]:
    """The models of one file; fills part_of, adds to notes."""
    where = table.path.name
    notes += table.notes
    cells = texts(table.frame[table.image])
    joined = ids.join(cell for cell in cells if cell)
    notes += describe_joined(joined, where, dataset.name)
    rows = np.array([joined.rows.get(cell, -1) for cell in cells], np.int64)
    ours = np.array([label or "" for label in dataset.frame["label"]], dtype=object)
    labels = np.where(rows >= 0, ours[rows], "").astype(object)
    blocks = score_blocks(table, names)
    predicted = {model: texts(table.frame[column]) for model, column in table.predicted.items()}
    if not blocks and not predicted:
        raise DataError(
            f"{where} has no column of predicted labels and no scores of two classes or more (columns: "
            f"{table.columns}); call the predictions predicted_label, or name scores after their classes."
        )
    is_numbered = any(one.are_numbers for one in blocks) or any(
        is_number(text) for labels in predicted.values() for text in labels
    )
    truth = _comparable(_truth(table, names), labels, names, is_numbered, where, notes)
    to_class, assumed = class_map(where, blocks, predicted, truth, labels, names, order)
    file = FileRows(
        table=table,
        names=names,
        cells=cells,
        rows=rows,
        labels=labels,
        truth=None if truth is None else as_classes(truth, to_class),
        in_test=_test_part(table, rows, part_of, notes),
        to_class=to_class,
    )
    notes += [*assumed, *_agreement(file, dataset.name)]
    return model_predictions(file, blocks, predicted, notes)


def _comparable(
    truth: np.ndarray | None,
    labels: np.ndarray,
    names: ClassNames,
    is_numbered: bool,
    where: str,
    notes: list[str],
) -> np.ndarray | None:
    """True labels, None where they are coarser than the classes of the dataset, such as malignant or not.

    is_numbered: whether the file numbers its classes elsewhere, so that the numbers have to agree.
    """
    if truth is None or is_numbered:
        return truth
    values = set(truth) - {""}
    if len(values) >= len(set(labels) - {""}) or any(map(names.find, values)):
        return truth
    notes.append(
        f"{where}: its true labels ({', '.join(sorted(values)[:NAMED])}) are fewer than the classes of the dataset and "
        "were not compared with them."
    )
    return None


def _without_unknown(
    dataset: Dataset, model: ModelPredictions, notes: list[str]
) -> ModelPredictions:
    """A model without the images of classes that it has no score for: it could not have been right."""
    if model.all_classes:
        return model
    missing = [name for name in dataset.classes if name not in model.class_names]
    labels = dataset.frame["label"].to_numpy()[model.rows]
    lacking = np.isin(labels.astype(str), missing)
    if not lacking.any():
        return model
    notes.append(
        f"{model.name} has no scores of {', '.join(missing)}: {count(lacking.sum(), 'image')} of these classes left "
        "out (--map THEIRS=OURS where it has them under another name)."
    )
    if lacking.all():
        raise DataError(
            f"{model.name} has scores of none of the classes that its images have in {dataset.name}."
        )
    return model.at(model.rows[~lacking])


def _truth(table: PredictionTable, names: ClassNames) -> np.ndarray | None:
    """True labels (n,) as the file has them, "" where there is none; None without any."""
    one_hot = one_hot_truth(table, names)
    if one_hot is not None or table.truth is None:
        return one_hot
    truth = texts(table.frame[table.truth])
    truth[truth == "-1"] = ""
    return truth if (truth != "").any() else None


def _test_part(
    table: PredictionTable, rows: np.ndarray, part_of: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Which of a file's rows (n,) are tested: those of its part test, else val, else all. Fills part_of."""
    if table.split is None:
        _folds_as_parts(table, rows, part_of)
        return np.ones(len(rows), bool)
    parts = np.array(
        [split_of(text) or "" for text in texts(table.frame[table.split])], dtype=object
    )
    matched = rows >= 0
    part_of[rows[matched]] = parts[matched]
    present = [part for part in SPLITS if (parts == part).any()]
    tested = next((part for part in ("test", "val") if part in present), None)
    if tested is None or len(present) < 2:
        return np.ones(len(rows), bool)
    notes.append(
        f"{table.path.name}: its part {tested} is tested ({count((parts == tested).sum(), 'row')}); the rest shows "
        "which groups the split divides."
    )
    return parts == tested


def _folds_as_parts(table: PredictionTable, rows: np.ndarray, part_of: np.ndarray) -> None:
    """Fills part_of with the fold of each image, where each has one."""
    if table.fold is None:
        return
    folds = pd.Series(texts(table.frame[table.fold])[rows >= 0])
    if folds.groupby(rows[rows >= 0]).nunique().max() == 1:
        part_of[rows[rows >= 0]] = [f"fold {fold}" for fold in folds]


def _agreement(file: FileRows, name: str) -> list[str]:
    """Whether the true labels of a file are those of the dataset. Raises DataError where most are not."""
    if file.truth is None:
        return [f"{file.where} has no true labels: the labels are those of {name}."]
    known = (file.truth != "") & (file.labels != "")
    agree = file.truth[known] == file.labels[known]
    if known.any() and agree.mean() < LEAST_AGREEMENT:
        raise DataError(
            f"{file.where}: its true labels agree with those of {name} for {percent(agree.mean())} of the images, so "
            "that its classes or its images are others; give the right dataset, or --map THEIRS=OURS."
        )
    if agree.all():
        return [
            f"{file.where}: all true labels agree with those of {name} ({count(len(agree), 'row')})."
        ]
    others = file.cells[known][~agree]
    return [
        f"{file.where}: {count(len(others), 'true label')} of {len(agree):,} differ from those of {name}, which count: "
        f"{', '.join(others[:NAMED])}{', …' if len(others) > NAMED else ''}."
    ]


def _distinct_names(models: Sequence[ModelPredictions]) -> list[ModelPredictions]:
    """The models with names that are all different: files of one name have their folder before it."""
    names = [one.name for one in models]
    named = [
        replace(one, name=f"{one.path.parent.name}/{one.name}")
        if names.count(one.name) > 1
        else one
        for one in models
    ]
    seen: dict[str, int] = {}
    distinct = []
    for one in named:
        seen[one.name] = seen.get(one.name, 0) + 1
        again = seen[one.name] > 1
        distinct.append(replace(one, name=f"{one.name} ({seen[one.name]})") if again else one)
    return distinct
