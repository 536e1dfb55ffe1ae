"""The limit of decoded images: those that were not used for the longest are removed, and decoded again when needed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import DermError
from ..files import disk_bytes
from ..workspace import Workspace
from .manifest import load_dataset
from .store import CARD

IN_USE_SECONDS = 24 * 3600.0  # a long run may have opened them then


@dataclass(frozen=True)
class RemovedImages:
    """Decoded images that were removed: of which dataset, in which form ("224-bilinear"), and the bytes freed."""

    dataset: str
    form: str
    bytes: int


@dataclass(frozen=True)
class _Decoded:
    dataset: str
    folder: Path
    bytes: int
    used: float


def clean_decoded(workspace: Workspace, most: int) -> list[RemovedImages]:
    """Remove the decoded images that were not used for the longest until the others take at most `most` bytes.

    Those used within the last day stay, and those that could not be made again: of a dataset of which a file
    is gone, or that cannot be read.
    """
    every = sorted(_decoded(workspace), key=lambda one: one.used)
    total, removed = sum(one.bytes for one in every), []
    for one in every:
        if total <= most or time.time() - one.used < IN_USE_SECONDS:
            break
        if _can_be_decoded(workspace, one.dataset):
            (one.folder / CARD).unlink(missing_ok=True)  # from here on they are no store
            workspace.remove(one.folder)
            total -= one.bytes
            removed.append(RemovedImages(one.dataset, one.folder.name, one.bytes))
    return removed


def _decoded(workspace: Workspace) -> list[_Decoded]:
    """The finished stores of the workspace's own datasets."""
    every = []
    for card in (workspace.root / "datasets").glob(f"*/stores/*/{CARD}"):
        with contextlib.suppress(OSError):  # removed meanwhile
            folder = card.parent
            dataset = folder.parent.parent.name
            every.append(_Decoded(dataset, folder, disk_bytes(folder), card.stat().st_mtime))
    return every


def _can_be_decoded(workspace: Workspace, name: str) -> bool:
    try:
        dataset = load_dataset(workspace, name)
    except DermError:
        return False
    return all(Path(path).is_file() for path in dataset.frame["path"])
