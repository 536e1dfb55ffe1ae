"""What takes room in a workspace, and the limit of the cache of features.

Before a run, the features that were not used for the longest are removed until the others are within the limit, and
when a run has decoded images likewise those (data/decoded_space.py); both are made again when they are needed. Nothing
else is removed unasked.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError
from .files import disk_bytes
from .workspace import Workspace

LIMIT_GB, DECODED_LIMIT_GB = 20.0, 100.0
IN_USE_SECONDS = 3600.0  # features used so recently may belong to a run, and stay


@dataclass(frozen=True, kw_only=True)
class SpaceUse:
    """Room that one thing takes.

    Attributes:
        what: "features", "decoded images", "dataset", "run", "models" or "other".
        name: the dataset or run that it belongs to; empty for models and other files.
        bytes: on disk.
        again: whether it is made again when it is needed.
        used: when it was last used, in seconds since 1970; None where that is not known.
    """

    what: str
    name: str
    bytes: int
    again: bool
    used: float | None = None


@dataclass(frozen=True)
class _CachedFeatures:
    """Features of one extractor, or finished parts of them."""

    dataset: str
    paths: tuple[Path, ...]
    bytes: int
    used: float


def space_used(workspace: Workspace) -> list[SpaceUse]:
    """Everything that takes room in a workspace, the largest first."""
    uses = []
    by_dataset: dict[str, list[_CachedFeatures]] = {}
    for one in _cached_features(workspace):
        by_dataset.setdefault(one.dataset, []).append(one)
    for name, cached in by_dataset.items():
        total, used = sum(one.bytes for one in cached), max(one.used for one in cached)
        uses.append(SpaceUse(what="features", name=name, bytes=total, again=True, used=used))
    for folder in _folders(workspace.root / "datasets"):
        stores = disk_bytes(folder / "stores")
        uses.append(SpaceUse(what="decoded images", name=folder.name, bytes=stores, again=True))
        rest = disk_bytes(folder) - stores
        uses.append(SpaceUse(what="dataset", name=folder.name, bytes=rest, again=False))
    for folder in _folders(workspace.root / "runs"):
        uses.append(SpaceUse(what="run", name=folder.name, bytes=disk_bytes(folder), again=False))
    models = disk_bytes(workspace.models)
    uses.append(SpaceUse(what="models", name="", bytes=models, again=False))
    other = disk_bytes(workspace.root) - sum(use.bytes for use in uses)
    uses.append(SpaceUse(what="other", name="", bytes=max(0, other), again=False))
    return sorted((use for use in uses if use.bytes), key=lambda use: -use.bytes)


def describe_use(use: SpaceUse) -> str:
    """'features of ham10000', 'run study-20260102-030405-a1b2', 'models', 'other files'."""
    if use.what in ("features", "decoded images"):
        return f"{use.what} of {use.name}"
    if use.what == "other":
        return "other files"
    return f"{use.what} {use.name}".strip()


def cache_limit() -> int:
    """Bytes that cached features may take: $DERM_CACHE_GB, else 20 GB. Raises ConfigError for what is no number."""
    return _gigabytes("DERM_CACHE_GB", LIMIT_GB, "cached features")


def decoded_limit() -> int:
    """Bytes that decoded images may take: $DERM_IMAGES_GB, else 100 GB. Raises ConfigError for what is no number."""
    return _gigabytes("DERM_IMAGES_GB", DECODED_LIMIT_GB, "decoded images")


def _gigabytes(variable: str, usual: float, what: str) -> int:
    """Bytes that `what` may take: a variable of the environment in GB, else `usual`. Raises ConfigError."""
    given = os.environ.get(variable, "").strip()
    try:
        limit = float(given or usual)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ConfigError(
            f"{variable} is {given!r}; allowed: how many GB {what} may take, 0 or more."
        )
    return int(limit * 1e9)


def clean_features(workspace: Workspace, most: int) -> int:
    """Remove the features that were not used for the longest until the others take at most `most` bytes.

    Those used within the last hour stay. Returns the bytes freed.
    """
    every = sorted(_cached_features(workspace), key=lambda one: one.used)
    total, freed = sum(one.bytes for one in every), 0
    for one in every:
        if total - freed <= most or time.time() - one.used < IN_USE_SECONDS:
            break
        for path in one.paths:
            freed += workspace.remove(path) if path.is_dir() else _unlink(path)
    return freed


def _unlink(path: Path) -> int:
    """Delete a file, as far as that is possible; returns the bytes freed."""
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        path.unlink()
        return size
    return 0


def _cached_features(workspace: Workspace) -> list[_CachedFeatures]:
    """By what stands before the first dot of their files: DATASET--HASH, or DATASET--HASH--RUN."""
    together: dict[str, list[Path]] = {}
    for path in (workspace.cache / "features").glob("[!.]*--*"):
        together.setdefault(path.name.partition(".")[0], []).append(path)
    every = []
    for name, paths in together.items():
        with contextlib.suppress(OSError):  # removed meanwhile
            total = sum(
                disk_bytes(path) if path.is_dir() else path.stat().st_size for path in paths
            )
            used = max(path.stat().st_mtime for path in paths)
            every.append(_CachedFeatures(name.partition("--")[0], tuple(paths), total, used))
    return every


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.glob("*") if path.is_dir())
