"""Near-duplicates of training images, held against the pictures themselves where these are on this machine.

A bundle carries positions of its training images in its feature space, no pictures. A distance alone recognises a copy
that was saved again, resized or cut, but not one that was turned or photographed a second time. The nearest training images
therefore stand as candidates, and registration of the pictures decides (`insight.duplicates`).

Of the pairs that HAM10000's authors list as two photographs of one lesion, 12 have a partner in the shipped models' training
split. Asked about both pictures of each (24, the picture itself left out of the training images), the distance alone
recognises 6, registration 18; of the others 5 are not among the five nearest of either model. Of 80 test images registration
calls 3 a copy, the distance 1; a question takes about 55 ms of one core.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DermError
from ..workspace import Workspace

COMPARED = 128  # pixels a side; what registration compares at its finest


def have_pictures(workspace: Workspace, cards: Mapping[str, Mapping]) -> bool:
    """Whether the dataset of any of these models, which names its training images, is on this machine."""

    def here(card: Mapping) -> bool:
        try:
            dataset = workspace.dataset(card["training_data"]["dataset"])
            return bool((card.get("reference") or {}).get("ids")) and dataset.manifest.exists()
        except (KeyError, TypeError, DermError):
            return False

    return any(here(card) for card in cards.values())


def pictured_copy(
    workspace: Workspace,
    cards: Mapping[str, Mapping],
    arms: Mapping[str, Mapping],
    image_ss3: np.ndarray,
) -> dict | None:
    """{"name", "image_id", "distance", "correlation"} of the training image that shows the same picture; None where none does.

    cards, arms: by model, its card and what it says of the image (with its "neighbours"). image_ss3: uint8, COMPARED
    pixels a side. Training images that are not on this machine are not compared.
    """
    from ..data.near_duplicates import near_duplicates

    found, images = [], []
    for name, arm in arms.items():
        for one in arm["neighbours"]:
            if one["image_id"] not in (known["image_id"] for known in found):
                image = _training_image(workspace, cards[name], one["image_id"])
                if image is not None:
                    found.append(
                        {"name": name, "image_id": one["image_id"], "distance": one["distance"]}
                    )
                    images.append(image)
    if not found:
        return None
    both, rows = np.stack([image_ss3, *images]), np.arange(len(images) + 1)
    pairs = np.stack([np.zeros(len(found), int), rows[1:]], 1)
    alike = near_duplicates(
        both, lambda wanted: both[wanted], rows, pairs, lambda done, total: None
    )
    if not len(alike.scores):
        return None
    best = int(alike.scores.argmax())
    return {**found[alike.pairs[best, 1] - 1], "correlation": float(alike.scores[best])}


def _training_image(workspace: Workspace, card: Mapping, image_id: str | None) -> np.ndarray | None:
    """The picture at COMPARED pixels; None where dataset, image or its file is not here."""
    from ..data.decode import read_image

    name = (card.get("training_data") or {}).get("dataset")
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
    from ..data.manifest import load_dataset

    frame = load_dataset(Workspace(Path(root)), name).frame
    return dict(zip(frame["image_id"], frame["path"], strict=True))
