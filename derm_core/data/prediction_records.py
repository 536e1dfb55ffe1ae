"""The predictions of one model on the images of a dataset, as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True, kw_only=True)
class OwnLabels:
    """Accuracy by a file's own true labels on all of its images, whether they are in the dataset or not.

    This is the figure that its authors can have published.
    """

    images: int
    balanced_accuracy: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelPredictions:
    """One model on n images of a dataset, with S seeds (repeats).

    Attributes:
        name: as a column or the file is called.
        rows: (n,) of the manifest, ascending.
        class_names: (C,); all_classes: whether it could have decided for every class of the dataset.
        decisions: (S, n) indices into class_names.
        probabilities: (S, n, C); None where the file has predicted labels alone.
        folds: (n,) of out-of-fold predictions.
        images: that the file names; unmatched: those that are not in the dataset.
        labels_given, labels_agree: images with a true label in the file, and with the dataset's label; None
            where the file has none.
        by_own_labels: what the file says by itself; None without true labels.
        differing: predictions whose label is not the most probable class.
    """

    name: str
    path: Path
    rows: np.ndarray
    class_names: tuple[str, ...]
    all_classes: bool
    decisions: np.ndarray
    probabilities: np.ndarray | None
    folds: np.ndarray | None
    images: int
    unmatched: tuple[str, ...]
    labels_given: int | None
    labels_agree: int | None
    by_own_labels: OwnLabels | None
    has_labels: bool
    differing: int

    def over(self, classes: Sequence[str]) -> ModelPredictions:
        """The same with these classes, among which are its own; probabilities of the others are 0."""
        place = np.array([list(classes).index(name) for name in self.class_names], np.int64)
        p = self.probabilities
        if p is not None:
            wide = np.zeros((*p.shape[:2], len(classes)))
            wide[..., place] = p
            p = wide
        return replace(
            self, decisions=place[self.decisions], probabilities=p, class_names=tuple(classes)
        )

    def at(self, rows: np.ndarray) -> ModelPredictions:
        """The same on some of its images; rows: of the manifest, ascending."""
        here = np.searchsorted(self.rows, rows)
        return replace(
            self,
            rows=rows,
            decisions=self.decisions[:, here],
            probabilities=None if self.probabilities is None else self.probabilities[:, here],
            folds=None if self.folds is None else self.folds[here],
        )
