"""Everything the pages keep between runs of a script; nothing else calls st.cache_*.

Keys are ids, hashes and modification times; large arrays are never hashed (Streamlit samples those
over 500,000 elements and can return a wrong hit): their arguments carry a leading underscore.
What is returned is the same object for all sessions, tables apart: a page changes nothing in it.
A function named after a thing takes the Workspace first (unhashed) and what identifies the thing.

    runs(workspace), active_runs(workspace), run(workspace, id)   live, not cached
    study(workspace, id)          artefacts/study.json, or None
    curves(workspace, id, arm)    a table: epoch, step, seed, train_loss, val_loss, …
    decisions(workspace, id)      a table: image_id, row, label and each arm's decision
    datasets(workspace)           [{name, images, classes, groups, layout}], on request with disk_bytes
    dataset(workspace, name)      data.manifest.Dataset
    store(workspace, name, size)  data.store.Store: uint8 images, rows as in the manifest
    saved_map(workspace, id)      insight.saved_map.SavedMap, or None
    built_once(key, build)              a map's figure
    data_issues, factors(workspace, map)   tables beside a map, or None
    placer(workspace, map)        places images on a map (loads torch)
    travel(workspace, source)     insight.traverse.Traversal, kept in memory (loads torch)
    bundles(workspace)            the models in the libraries, each with its card or error
    predictor(workspace, name)    bundles.predictor.Predictor, kept in memory (loads torch)
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from derm_core.bundles.card import Card
from derm_core.bundles.library import ListedBundle
from derm_core.errors import NotFound
from derm_core.files import disk_bytes, read_json
from derm_core.jobs.store import Run, RunStore
from derm_core.machine import Machine, describe
from derm_core.study.study_result import StudyResult, read_study
from derm_core.workspace import Workspace

from . import words

KEPT = 32


def stamp(path: Path) -> int:
    """When a file changed last (ns), 0 where there is none: part of a cache's key."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


# ---- the machine -------------------------------------------------------------------------------


@st.cache_data(ttl="5m", show_spinner=False)
def machine() -> Machine:
    return describe()


def device_name() -> str:
    """'NVIDIA H100' or 'CPU, 8 threads'."""
    return machine().gpu or f"CPU, {words.count(machine().cores, 'thread')}"


@st.cache_data(ttl="30s", show_spinner=False)
def folder_bytes(path: str) -> int:
    """Disk use below a folder, at most half a minute old."""
    return disk_bytes(Path(path))


@st.cache_data(ttl="1m", show_spinner=False)
def imagenet_status(architecture: str, stage: int) -> dict[str, Any]:
    """{available, source, detail} of the ImageNet weights; never downloads."""
    from derm_core.config import BackboneConfig
    from derm_core.nets.weights import imagenet_status as status

    return status(BackboneConfig(architecture=architecture, stage=stage))


# ---- runs --------------------------------------------------------------------------------------


def runs(workspace: Workspace, kind: str | None = None, state: str | None = None) -> list[Run]:
    """Runs, newest first, as they stand now."""
    return RunStore(workspace).list(kind=kind, state=state)


def active_runs(workspace: Workspace) -> list[Run]:
    """Queued and running runs, those at work last, repaired where a worker died."""
    from derm_core.jobs.supervisor import reconcile

    if not any(not run.final for run in runs(workspace)):
        return []
    reconcile(workspace)
    return sorted(
        (run for run in runs(workspace) if not run.final),
        key=lambda run: (run.state == "running", -run.seq),
    )


def run(workspace: Workspace, run_id: str) -> Run | None:
    """One run as it stands now, None where there is none."""
    try:
        return RunStore(workspace).get(run_id)
    except NotFound:
        return None


@st.cache_resource(max_entries=4 * KEPT, show_spinner=False)
def _json(path: str, changed: int) -> Any:
    return read_json(Path(path))


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _study(path: str, changed: int) -> StudyResult:
    return read_study(path)


def study(workspace: Workspace, run_id: str) -> StudyResult | None:
    """The result of a finished study (artefacts/study.json), None before it is written."""
    path = workspace.run(run_id).study
    changed = stamp(path)
    return _study(str(path), changed) if changed else None


def config(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """A run's config.json as a dict; empty where it cannot be read."""
    path = workspace.run(run_id).config
    try:
        return _json(str(path), stamp(path))
    except (OSError, ValueError):
        return {}


@st.cache_data(max_entries=4 * KEPT, show_spinner=False)
def _csv(path: str, changed: int) -> pd.DataFrame:
    return pd.read_csv(path)


def curves(workspace: Workspace, run_id: str, arm: str) -> pd.DataFrame | None:
    """An arm's learning curves, one row an evaluation and seed, None where there are none."""
    path = workspace.run(run_id).curves(arm)
    changed = stamp(path)
    return _csv(str(path), changed) if changed else None


@st.cache_data(max_entries=8, show_spinner=False)
def _parquet(path: str, changed: int) -> pd.DataFrame:
    return pd.read_parquet(path)


def decisions(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """What every arm of a study decided for each test image (artefacts/decisions.parquet), None where not kept."""
    path = workspace.run(run_id).decisions
    return _parquet(str(path), stamp(path)) if stamp(path) else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _saved_map(_workspace: Workspace, root: str, run_id: str, changed: int) -> Any:
    from derm_core.insight.saved_map import read_map

    return read_map(_workspace, run_id)


def saved_map(workspace: Workspace, run_id: str) -> Any:
    """insight.saved_map.SavedMap; UMAP's columns are NaN until they are computed. None before PCA is. Raises RunError."""
    if not map_is_there(workspace, run_id):
        return None
    return _saved_map(workspace, *map_version(workspace, run_id))


def map_version(workspace: Workspace, run_id: str) -> tuple[str, str, int]:
    """What a map is told by: workspace, run, and when its files changed last."""
    files = workspace.run(run_id)
    return (
        str(workspace.root),
        run_id,
        stamp(files.map_points) + stamp(files.map_info),
    )


def map_is_there(workspace: Workspace, run_id: str) -> bool:
    """Whether there is something to see of a map, which is not read for it."""
    return bool(stamp(workspace.run(run_id).map_points))


@st.cache_resource(max_entries=16, show_spinner=False)
def _built_once(key: tuple, _build: Callable[[], Any]) -> Any:
    return _build()


def built_once(key: tuple, build: Callable[[], Any]) -> Any:
    """What `build()` returned when it was called for this key, for all sessions. Do not change what is returned."""
    return _built_once(key, build)


def data_issues(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """Near-duplicates, likely label errors and outliers of a map (trouble.parquet), the worst first; None where not sought."""
    path = workspace.run(run_id).data_issues
    return _parquet(str(path), stamp(path)) if stamp(path) else None


def factors(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """Which latent of a map follows which known factor (factors.parquet); None where none are known."""
    path = workspace.run(run_id).factors
    return _parquet(str(path), stamp(path)) if stamp(path) else None


@st.cache_resource(max_entries=2, show_spinner="Loading the extractor…")
def _placer(_workspace: Workspace, root: str, run_id: str, changed: int) -> Any:
    from derm_core.insight.placement import open_placer

    return open_placer(_workspace, run_id)


def placer(workspace: Workspace, run_id: str) -> Any:
    """A map's extractor, kept warm, that places images on it (loads torch)."""
    return _placer(
        workspace,
        str(workspace.root),
        run_id,
        stamp(workspace.run(run_id).map_points),
    )


@st.cache_resource(max_entries=2, show_spinner="Loading the VAE…")
def _travel(_workspace: Workspace, root: str, source: str, changed: int) -> Any:
    from derm_core.insight.traversal_sources import open_traversal

    return open_traversal(_workspace, source)


def travel(workspace: Workspace, source: str) -> Any:
    """insight.traverse.Traversal of a pretraining or a bundle with a decoder, kept warm (loads torch)."""
    shelf = [stamp(shelf / source / "card.json") for shelf in workspace.shelves()]
    return _travel(workspace, str(workspace.root), source, sum(shelf))


# ---- data --------------------------------------------------------------------------------------


def datasets(workspace: Workspace, disk: bool = False) -> list[Any]:
    """The workspace's datasets (data.manifest.DatasetSummary); with disk_bytes where asked for."""
    from derm_core.data.manifest import list_datasets

    return list_datasets(workspace, disk)


@st.cache_resource(max_entries=8, show_spinner=False)
def _dataset(_workspace: Workspace, root: str, name: str, changed: int) -> Any:
    from derm_core.data.manifest import load_dataset

    return load_dataset(_workspace, name)


def dataset(workspace: Workspace, name: str) -> Any:
    """A Dataset, reloaded when its manifest changes. Raises NotFound. Do not change what is returned."""
    paths = workspace.dataset(name)
    return _dataset(workspace, str(workspace.root), name, stamp(paths.manifest) + stamp(paths.info))


@st.cache_resource(max_entries=8, show_spinner="Preparing the images…")
def _store(_workspace: Workspace, _dataset: Any, root: str, fingerprint: str, size: int) -> Any:
    from derm_core.data.store import open_store

    return open_store(_workspace, _dataset, size)


def store(workspace: Workspace, name: str, size: int = 64) -> Any:
    """The uint8 images of a dataset at `size` pixels, rows as in its manifest (built where missing)."""
    found = dataset(workspace, name)
    return _store(workspace, found, str(workspace.root), found.fingerprint, size)


@st.cache_data(max_entries=8, show_spinner="Auditing the splits…")
def _audit(_dataset: Any, fingerprint: str, split_seed: int) -> Any:
    from derm_core.data.audit import audit
    from derm_core.data.splits import split_dataset

    return audit(_dataset, split_dataset(_dataset.labels, _dataset.groups, split_seed))


def audit(workspace: Workspace, name: str, split_seed: int = 0) -> Any:
    """data.audit.Audit: class, group and attribute balance of a dataset's splits."""
    found = dataset(workspace, name)
    return _audit(found, found.fingerprint, split_seed)


# ---- the library ---------------------------------------------------------------------------------


@st.cache_resource(ttl="10m", max_entries=8, show_spinner=False)
def _bundles(_workspace: Workspace, kind: str, key: str) -> list[ListedBundle]:
    from derm_core.bundles.library import list_bundles

    return list_bundles(_workspace, kind)


def _bundle_files(shelf: Path) -> Iterator[str]:
    """Every file in a library's folders, with the time of its last change. A publication may take one away meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        for folder in [entry.path for entry in os.scandir(shelf) if entry.is_dir()]:
            with contextlib.suppress(FileNotFoundError):
                for entry in list(os.scandir(folder)):
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_file():
                            yield f"{entry.path} {entry.stat().st_mtime_ns}"


def bundles(workspace: Workspace, kind: str = "classifier") -> list[ListedBundle]:
    """The published models in all libraries; checked again when a file of theirs changes."""
    files = sorted(entry for shelf in workspace.shelves() for entry in _bundle_files(shelf))
    return (
        _bundles(workspace, kind, " ".join(files)) if files else []
    )  # as a key, a text has many times a tuple's speed


def cards(workspace: Workspace, kind: str = "classifier") -> list[Card]:
    """The cards of the intact ones."""
    return [bundle.card for bundle in bundles(workspace, kind) if bundle.card]


@st.cache_resource(max_entries=4, show_spinner="Loading the model…")
def _predictor(_workspace: Workspace, folder: str, changed: int) -> Any:
    from derm_core.bundles.bundle import load_classifier
    from derm_core.bundles.predictor import Predictor

    return Predictor(load_classifier(Path(folder)))


def predictor(workspace: Workspace, name: str) -> Any:
    """The predictor of a bundle, loaded once. Raises BundleError or NotFound."""
    from derm_core.bundles.library import find_bundle

    folder = Path(find_bundle(workspace, name))
    return _at_hand(
        workspace, str(folder), stamp(folder / "card.json") + stamp(folder / "model.safetensors")
    )


_at_hand = functools.lru_cache(4)(
    _predictor
)  # a look-up of Streamlit's takes as long as drawing an element


@st.cache_data(max_entries=4, show_spinner="Generating samples…")
def _samples(
    _workspace: Workspace, n: int, seed: int, models: tuple[str, ...]
) -> list[tuple[str, bytes, str]]:
    from derm_core.bundles.sample_images import sample_images

    return sample_images(_workspace, n, seed)


def samples(workspace: Workspace, n: int, seed: int) -> list[tuple[str, bytes, str]]:
    """Generated images to try a classifier on: (file name, PNG bytes, what it is)."""
    return _samples(workspace, n, seed, tuple(card.sha256 for card in cards(workspace)))
