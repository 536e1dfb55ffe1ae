"""Near-duplicates of training images, compared as pictures where the dataset is on this machine.

A bundle has positions of its training images in its feature space, no pictures. A distance alone recognises a copy
that was saved again, resized or cut, but not one that was turned or photographed a second time. The nearest training
images are therefore candidates, and registration of the pictures decides (`data.near_duplicates`).

Of the pairs that HAM10000's authors list as two photographs of one lesion, 12 have a partner in the shipped models'
training split. For both pictures of each (24, the picture itself left out of the training images), the distance alone
recognises 6, registration 18; of the others 5 are not among the five nearest of either model. Of 80 test images
registration finds 3 copies, the distance 1; an image takes about 55 ms of one core.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..data.decode import read_image
from ..data.manifest import load_dataset
from ..data.near_duplicates import CandidatePairs, near_duplicates
from ..errors import DermError
from ..workspace import Workspace
from .card import Card
from .prediction import ArmPrediction, Duplicate

COMPARED = 128  # pixels a side; what registration compares at its finest


def have_pictures(workspace: Workspace, cards: Mapping[str, Card]) -> bool:
    """Whether the dataset of any of these models, which names its training images, is on this machine."""

    def here(card: Card) -> bool:
        name = card.training_data.dataset
        if not name or not card.reference or not card.reference.ids:
            return False
        try:
            return workspace.dataset(name).manifest.exists()
        except DermError:
            return False

    return any(here(card) for card in cards.values())


def pictured_copy(
    workspace: Workspace,
    cards: Mapping[str, Card],
    arms: Mapping[str, ArmPrediction],
    image_ss3: np.ndarray,
) -> Duplicate | None:
    """The training image that shows the same picture, found by registration; None where none does.

    Args:
        workspace: where the datasets are.
        cards: by model.
        arms: by model, its result for the image.
        image_ss3: uint8, COMPARED pixels a side.

    Training images that are not on this machine are not compared.
    """
    candidates: dict[str | None, Duplicate] = {}
    images = [image_ss3]
    for name, arm in arms.items():
        for near in arm.neighbours:
            if near.image_id in candidates:
                continue
            image = _training_image(workspace, cards[name], near.image_id)
            if image is not None:
                candidates[near.image_id] = Duplicate(name, near.image_id, near.distance)
                images.append(image)
    if not candidates:
        return None
    stacked, rows = np.stack(images), np.arange(len(images))
    pairs = np.stack([np.zeros(len(candidates), int), rows[1:]], 1)
    every = CandidatePairs(pairs, np.ones(len(pairs), bool))
    alike = near_duplicates(
        stacked, lambda images, wanted: images[wanted], rows, every, lambda done, total: None
    )
    if not len(alike.scores):
        return None
    best = int(alike.scores.argmax())
    duplicate = list(candidates.values())[alike.pairs[best, 1] - 1]
    return replace(duplicate, correlation=float(alike.scores[best]))


def _training_image(workspace: Workspace, card: Card, image_id: str | None) -> np.ndarray | None:
    """The picture at COMPARED pixels; None where dataset, image or its file is not on this machine."""
    name = card.training_data.dataset
    if not name or not image_id:
        return None
    try:
        manifest = workspace.dataset(name).manifest
        path = _paths(str(workspace.root), name, os.stat(manifest).st_mtime_ns).get(image_id)
        return None if path is None else read_image(Path(path), COMPARED)
    except (OSError, TypeError, DermError):
        return None


@lru_cache(maxsize=4)
def _paths(root: str, name: str, changed: int) -> dict[str, str]:
    """Where each image of a dataset lies; kept until its manifest changes."""
    frame = load_dataset(Workspace(Path(root)), name).frame
    return dict(zip(frame["image_id"], frame["path"], strict=True))
