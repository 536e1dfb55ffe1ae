"""Pooled features of a dataset under one extractor, computed once and then read from the workspace's cache.

float32 and a fixed batch size: the same extractor and store always give the same features. Batch norms are
part of the convolutions before them (`batchnorm.fold`), which changes features by rounding alone. bfloat16
would be faster on some machines, but features are computed once and compared often. A long extraction keeps
what is finished (`feature_parts`): stopped or killed, it goes on from there. Several processes or ranks may
share it (`feature_shards`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..arms import METADATA
from ..data.store import Store
from ..events import Event
from ..files import read_json, write_json, writing
from ..nets.backbone import Extractor
from ..nets.given import GivenFeatures
from ..training.distributed import current
from ..workspace import Workspace, check_id
from . import feature_parts
from .feature_compute import Extraction, Shard, compute_features
from .feature_memory import batch_size
from .feature_parts import FeatureParts, read_features, remove_parts
from .feature_shards import compute_shards

Result = TypeVar("Result")
VERSION = 3  # of how features are computed: another one has other cache files


def feature_path(
    workspace: Workspace, dataset: str, extractor: Extractor, store: Store, rows: np.ndarray | None
) -> Path:
    """The cache file of the features of `rows` (None: all) of a store under an extractor.

    Named DATASET--HASH.npy, and DATASET--HASH--RUN.npy where a run made the extractor's weights, so
    that they can be deleted with the dataset and with the run.
    """
    digest = hashlib.sha256(f"{VERSION}|{extractor.identity}|{store.fingerprint}|".encode())
    if rows is not None:
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    parts = [check_id(dataset, "dataset name"), digest.hexdigest()[:32]]
    if run_id := extractor.info.get("run"):
        parts.append(check_id(run_id, "run id"))
    return workspace.cache / "features" / ("--".join(parts) + ".npy")


def extract(
    extractor: Extractor,
    store: Store,
    workspace: Workspace,
    dataset: str,
    rows: np.ndarray | None = None,
    *,
    device: str = "cpu",
    devices: Sequence[str] = (),
    what: str = "",
) -> Generator[Event, None, np.ndarray]:
    """Features (N, D) float32 of a store's `rows` (None: all).

    `features_nd = yield from extract(...)` yields a TICK a batch, where the caller may stop, and
    progress about once a second. A cached array is returned without yielding; an unreadable one is
    computed again. Parts that an earlier call finished on this kind of device are not computed again,
    and the array is that of an uninterrupted call. Features that are given are taken as they are.

    Args:
        device: that computes them, where no other processes do.
        devices: those of processes that share a long extraction, two or more. Ranks that share what is
            under way (`distributed.current`) share it in their place; all but the first get no rows.
        what: the words of the progress.
    """
    world, positions = current(), np.arange(len(store.images)) if rows is None else rows
    if isinstance(extractor.backbone, GivenFeatures):
        return extractor.backbone.of_rows(positions if world.is_main else positions[:0])
    path = feature_path(workspace, dataset, extractor, store, rows)
    features = read_features(path, len(positions))
    if world.from_main(features is None):
        every, batch = feature_parts.PART_SECONDS, batch_size(device, store.images.shape[1])
        parts = FeatureParts(path, device, batch, every)
        what = what or f"Features: {extractor.name}"
        work = Extraction(extractor, store.images, positions, parts, what)
        yield from compute_shards(work, devices)
        if world.is_main:
            features, seconds = yield from compute_features(work, Shard(0, len(positions), device))
            write_json(path.with_suffix(".json"), {"seconds": seconds})
            with writing(path) as file:
                np.save(file, features, allow_pickle=False)
    elif world.is_main:
        with contextlib.suppress(OSError):
            os.utime(path)  # the cache is cleaned by when features were last used
    if features is None or not world.is_main:
        return np.empty((0, extractor.backbone.width), np.float32)
    remove_parts(path)
    return features


def extraction_seconds(
    extractor: Extractor, store: Store, workspace: Workspace, dataset: str, rows: np.ndarray | None
) -> float | None:
    """How long the cached features took when they were computed; None where that was not recorded.

    Those of several GPUs are added up. Metadata take no time; how long vectors took that were brought is not known.
    """
    if isinstance(extractor.backbone, GivenFeatures):
        return 0.0 if extractor.name == METADATA else None
    try:
        path = feature_path(workspace, dataset, extractor, store, rows).with_suffix(".json")
        return float(read_json(path)["seconds"])
    except (OSError, ValueError, KeyError):
        return None


def finish(steps: Generator[Event, None, Result]) -> Result:
    """Run a generator to its end and return its result, for callers that show no progress."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
