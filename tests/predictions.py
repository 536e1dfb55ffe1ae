"""A dataset without image files, and planted predictions of its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm_core.data.manifest import Dataset, DatasetInfo, save_dataset
from derm_core.workspace import Workspace

CLASSES = ("akiec", "bcc", "mel", "nv")


@dataclass(frozen=True)
class Planted:
    """A dataset and one model's probabilities (n, 4) on its images `rows` (n,)."""

    dataset: Dataset
    rows: np.ndarray
    p: np.ndarray

    @property
    def ids(self) -> list[str]:
        return self.dataset.frame["image_id"].iloc[self.rows].tolist()

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.labels[self.rows]

    @property
    def names(self) -> list[str]:
        return [self.dataset.classes[c] for c in self.labels]

    @property
    def decided(self) -> list[str]:
        return [self.dataset.classes[c] for c in self.p.argmax(1)]


def described_dataset(
    workspace: Workspace,
    images: int = 160,
    classes: tuple[str, ...] = CLASSES,
    per_lesion: int = 2,
    **columns,
) -> Dataset:
    """Images IMG_000 … of lesions L0 …, whose files need not exist; classes in turn, lesion by lesion."""
    rows = range(images)
    lesions = [f"L{i // per_lesion}" for i in rows]
    frame = pd.DataFrame(
        {
            "image_id": [f"IMG_{i:03d}" for i in rows],
            "path": [f"/elsewhere/images/IMG_{i:03d}.jpg" for i in rows],
            "label": [classes[i // per_lesion % len(classes)] for i in rows],
            "group": lesions,
            "sha256": [f"{i:064x}" for i in rows],
            "width": 8,
            "height": 8,
            "lesion": lesions,
            **columns,
        }
    )
    info = DatasetInfo(classes=classes, group_kinds={"lesion": images}, lesions=len(set(lesions)))
    return save_dataset(workspace, "set", frame, info)


def guess(labels: np.ndarray, classes: int, seed: int = 0, skill: float = 1.5) -> np.ndarray:
    """Probabilities (n, C) of a model that is better the larger `skill` is; 0: chance."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True)


def planted(workspace: Workspace, every: int = 2, **options) -> Planted:
    """Predictions of every second image, so that each lesion of two images is torn."""
    dataset = described_dataset(workspace, **options)
    rows = np.arange(0, len(dataset), every)
    return Planted(dataset, rows, guess(dataset.labels[rows], len(dataset.classes)))
