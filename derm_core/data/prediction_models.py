"""The models of one file of predictions: decisions and probabilities on the images of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import DataError
from ..formatting import count
from .prediction_blocks import ScoreBlock
from .prediction_classes import as_classes
from .prediction_names import ClassNames
from .prediction_records import ModelPredictions, OwnLabels
from .prediction_scores import to_probabilities, two_classes
from .prediction_table import PredictionTable, texts

NAMED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class FileRows:
    """The n rows of a file, joined to a dataset.

    Attributes:
        cells: (n,) what names the image; rows: (n,) of the manifest, −1 where it is none of the dataset.
        labels: (n,) class names of the dataset; truth: (n,) those of the file; "" for unknown.
        in_test: (n,) bool.
        to_class: the file's names and numbers → class.
    """

    table: PredictionTable
    names: ClassNames
    cells: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    truth: np.ndarray | None
    in_test: np.ndarray
    to_class: Mapping[str, str]

    @property
    def where(self) -> str:
        """The file's name."""
        return self.table.path.name

    def column(self, name: str | None) -> np.ndarray:
        """A column as texts (n,), "" without one."""
        return (
            np.full(len(self.rows), "", dtype=object)
            if name is None
            else texts(self.table.frame[name])
        )


def model_predictions(
    file: FileRows,
    blocks: Sequence[ScoreBlock],
    predicted: Mapping[str, np.ndarray],
    notes: list[str],
) -> list[ModelPredictions]:
    """Every model of a file; adds to notes.

    Args:
        file: its rows.
        blocks: scores of the models that its columns name.
        predicted: model → predicted labels (n,).

    Raises:
        DataError: an image has several different predictions, or a class several columns.
    """
    of_model = file.column(file.table.model)
    models = []
    for value in dict.fromkeys(of_model[file.in_test]):
        chosen = file.in_test & (of_model == value)
        every: Sequence[ScoreBlock | None] = blocks or [None]
        for block in every:
            for model, labels in _labels_of(block, predicted).items():
                name = " ".join(part for part in (value, model) if part) or file.table.path.stem
                models.append(_one_model(file, name, chosen, block, labels, notes))
    return models


def _labels_of(
    block: ScoreBlock | None, predicted: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray | None]:
    """Model → its predicted labels, None where it has scores alone."""
    if block is None:
        return predicted if len(predicted) > 1 else {"": next(iter(predicted.values()))}
    if not block.model and len(predicted) == 1:
        return {"": next(iter(predicted.values()))}
    return {block.model: predicted.get(block.model)}


def _one_model(
    file: FileRows,
    name: str,
    chosen: np.ndarray,
    block: ScoreBlock | None,
    labels: np.ndarray | None,
    notes: list[str],
) -> ModelPredictions:
    what = file.where if name == file.table.path.stem else f"{file.where}, {name}"
    decided = None if labels is None else as_classes(labels, file.to_class)
    blank = np.zeros(len(file.rows), bool)
    if block is not None and _are_hard(block.scores[chosen]):
        notes.append(f"{what}: scores of 0 and 1 alone were read as predicted labels.")
        if decided is None:
            place = np.nan_to_num(block.scores).argmax(1)
            decided = as_classes(np.array(block.tokens, dtype=object)[place], file.to_class)
            decided[~np.isfinite(block.scores).all(1)] = ""
        block = None
    if block is not None:
        blank = ~np.isfinite(block.scores).all(1)
    if decided is not None:
        blank = blank | (decided == "")
    if (blank & chosen).any():
        few = ", ".join(dict.fromkeys(file.cells[blank & chosen][:NAMED]))
        notes.append(
            f"{what}: {count((blank & chosen).sum(), 'row')} without a prediction left out: {few}."
        )
    if decided is not None and not set(decided[chosen]) & set(file.names.classes):
        raise DataError(
            f"{what} predicts {', '.join(list(dict.fromkeys(decided[chosen]))[:NAMED])}, none of the classes of the "
            f"dataset ({', '.join(file.names.classes)}); --map THEIRS=OURS says which is which."
        )
    usable = np.flatnonzero(chosen & (file.rows >= 0) & ~blank)
    if not len(usable):
        raise DataError(f"{what} predicts no image of the dataset.")
    frame, folds = _repeats(file, usable)
    frame = _without_copies(file, frame, block, decided, what, notes)
    index = _complete(frame, what, notes)  # (S, n) rows of the file
    p, class_names = _probabilities(file, block, index, what, notes)
    decisions, class_names, differing = _decisions(decided, p, class_names, index)
    if p is not None:
        p = np.pad(p, ((0, 0), (0, 0), (0, len(class_names) - p.shape[-1])))
    if differing:
        notes.append(
            f"{what}: {count(differing, 'predicted label')} of {index.size:,} are not the most probable class; the "
            "predicted labels are the decisions."
        )
    first, named = index[0], file.cells[chosen]
    truth = None if file.truth is None else file.truth[first]
    both = None if truth is None else (truth != "") & (file.labels[first] != "")
    return ModelPredictions(
        name=name,
        path=file.table.path,
        rows=file.rows[first],
        class_names=class_names,
        all_classes=p is None,
        decisions=decisions,
        probabilities=p,
        folds=None if folds is None else folds[first],
        images=len(set(named) - {""}),
        unmatched=tuple(dict.fromkeys(file.cells[chosen & (file.rows < 0)])),
        labels_given=None if both is None else int(both.sum()),
        labels_agree=None if both is None else int((truth == file.labels[first])[both].sum()),
        by_own_labels=_by_own_labels(file, block, decided, chosen & ~blank),
        has_labels=decided is not None,
        differing=differing,
    )


def _are_hard(scores: np.ndarray) -> bool:
    """Whether scores are one-hot labels: 1 for one class in every row, 0 for the others."""
    known = scores[np.isfinite(scores).all(1)]
    is_one_hot = scores.shape[1] > 1 and np.isin(known, (0, 1)).all() and (known.sum(1) == 1).all()
    return bool(len(known) and is_one_hot)


def _by_own_labels(
    file: FileRows, block: ScoreBlock | None, decided: np.ndarray | None, usable: np.ndarray
) -> OwnLabels | None:
    if file.truth is None:
        return None
    if decided is None and block is not None and len(block.tokens) > 1:
        likely = np.nan_to_num(block.scores, nan=-np.inf).argmax(1)
        decided = as_classes(np.array(block.tokens, dtype=object)[likely], file.to_class)
    known = usable & (file.truth != "")
    if decided is None or not known.any():
        return None
    truth, right = file.truth[known], (file.truth == decided)[known]
    recalls = [right[truth == name].mean() for name in set(truth)]
    return OwnLabels(
        images=len(set(file.cells[known])),
        balanced_accuracy=float(np.mean(recalls)),
        accuracy=float(right.mean()),
    )


def _repeats(file: FileRows, usable: np.ndarray) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Row of the file, image and repeat of the usable rows; the folds (n,) of out-of-fold predictions."""
    seeds, folds = file.column(file.table.seed), file.column(file.table.fold)
    frame = pd.DataFrame({"line": usable, "row": file.rows[usable], "repeat": seeds[usable]})
    if file.table.fold is None or len(set(folds[usable])) < 2:
        return frame, None
    each = pd.DataFrame({"row": frame["row"], "fold": folds[usable]}).drop_duplicates()
    if each["row"].duplicated().any():  # every fold's model predicts the same images
        return frame.assign(repeat=seeds[usable] + "/" + folds[usable]), None
    return frame, folds


def _without_copies(
    file: FileRows,
    frame: pd.DataFrame,
    block: ScoreBlock | None,
    decided: np.ndarray | None,
    what: str,
    notes: list[str],
) -> pd.DataFrame:
    """One row for each image and repeat: the first of identical ones; refuses rows that differ."""
    twice = frame[frame.duplicated(["row", "repeat"], keep=False)]
    different = []
    for _, lines in twice.groupby(["row", "repeat"])["line"]:
        first, *others = lines.tolist()
        same = block is None or all(
            np.array_equal(block.scores[first], block.scores[o]) for o in others
        )
        same = same and (decided is None or all(decided[first] == decided[o] for o in others))
        if not same:
            different.append(str(file.cells[first]))
    if different:
        raise DataError(
            f"{what}: {count(len(different), 'image')} with several different predictions "
            f"({', '.join(different[:NAMED])}): keep one each, or name the repeat in a column seed and the model in a "
            "column model."
        )
    if len(twice):
        copies = int(frame.duplicated(["row", "repeat"]).sum())
        notes.append(f"{what}: {count(copies, 'row')} that repeat another exactly left out.")
    return frame.drop_duplicates(["row", "repeat"])


def _complete(frame: pd.DataFrame, what: str, notes: list[str]) -> np.ndarray:
    """(S, n) rows of the file: a repeat each, images in the order of the manifest; images with all repeats alone."""
    table = frame.pivot(index="repeat", columns="row", values="line")
    whole = table.notna().all(0)
    if not whole.all():
        notes.append(f"{what}: {count((~whole).sum(), 'image')} that some repeats lack left out.")
    if not whole.any():
        raise DataError(f"{what}: no image has a prediction of every repeat (seed).")
    return table.loc[:, whole].to_numpy().astype(np.int64)


def _probabilities(
    file: FileRows, block: ScoreBlock | None, index: np.ndarray, what: str, notes: list[str]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Probabilities (S, n, C) and the classes of their columns."""
    if block is None:
        return None, ()
    class_names = [file.to_class[token] for token in block.tokens]
    scores = block.scores[index.ravel()]
    if len(class_names) == 1:
        (positive,) = class_names
        class_names = [next(name for name in file.names.classes if name != positive), positive]
        p, assumed = two_classes(scores[:, 0], block.is_logit, what)
    else:
        p, assumed = to_probabilities(scores, block.is_logit, what)
    twice = {name for name in class_names if class_names.count(name) > 1}
    if twice:
        raise DataError(
            f"{what}: several columns of scores are of the class {', '.join(sorted(twice))}; keep one."
        )
    notes += assumed
    return p.reshape(*index.shape, -1), tuple(class_names)


def _decisions(
    decided: np.ndarray | None,
    p: np.ndarray | None,
    class_names: tuple[str, ...],
    index: np.ndarray,
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Decisions (S, n) as indices, the classes with those that only labels have, and how many are not the likeliest."""
    likely = None if p is None else p.argmax(-1)
    if decided is None:
        assert likely is not None
        return likely, class_names, 0
    labels = decided[index]
    names = tuple(dict.fromkeys((*class_names, *labels.ravel())))
    own = pd.Index(names).get_indexer(labels.ravel()).reshape(index.shape)
    if p is None:
        return own, names, 0
    score = np.take_along_axis(p, np.minimum(own, p.shape[-1] - 1)[..., None], -1)[..., 0]
    # two equally probable classes are no contradiction
    return own, names, int(((score < p.max(-1)) | (own >= p.shape[-1])).sum())
