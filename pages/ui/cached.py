"""What the pages hold in memory between runs of a script; what loads torch is in `cached_models`.

Keys are ids, hashes and modification times: large arrays are not hashed (Streamlit samples those over 500,000 elements
and can return a wrong hit), their arguments start with an underscore. All sessions share what is returned, except
tables: a page changes nothing in it.

Users of a shared server share these caches. Every key therefore has the workspace's folder (`root`) or the absolute
path of the file that is read, which no two workspaces have alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import streamlit as st
from PIL import Image

from derm_core.arms import in_order
from derm_core.bundles.card import Card
from derm_core.bundles.model_library import ListedBundle, list_bundles, list_shelf
from derm_core.data import audit as audits
from derm_core.data import marks as image_marks
from derm_core.data.dataset_facts import DatasetFacts, dataset_facts
from derm_core.data.manifest import Dataset, DatasetSummary, list_datasets, load_dataset, read_info
from derm_core.data.masks import Masks, mask_paths, read_masks
from derm_core.data.splits import split_dataset
from derm_core.data.store import Store, open_store
from derm_core.errors import DataError, NotFound
from derm_core.files import disk_bytes, read_json
from derm_core.insight.published_images import published_dataset
from derm_core.insight.saved_map import SavedMap, read_map
from derm_core.jobs.published import PublishedRun, find_run, published_runs
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.jobs.supervisor import reconcile
from derm_core.machine import Machine, describe
from derm_core.study.study_result import StudyResult, read_study
from derm_core.workspace import Workspace
from pages.ui import words

MANY, FEW = 128, 8  # entries of a cache: of small files, of large ones
CONFIGS = 1000  # of runs, of which a page reads some hundred
Built = TypeVar("Built")


def stamp(*paths: Path) -> int:
    """When the files changed last (ns, summed), 0 where there are none: part of a cache's key."""
    times = 0
    for path in paths:
        with contextlib.suppress(OSError):
            times += path.stat().st_mtime_ns
    return times


@st.cache_resource(max_entries=16, show_spinner=False)
def _built_once(key: tuple[Any, ...], _build: Callable[[], Any]) -> Any:
    return _build()


def built_once(key: tuple[Any, ...], build: Callable[[], Built]) -> Built:
    """What `build()` returned when it was called for this key, for all sessions."""
    return _built_once(key, build)


# ---- the machine -------------------------------------------------------------------------------


@st.cache_data(ttl="5m", show_spinner=False)
def machine() -> Machine:
    """The facts about the machine, at most five minutes old."""
    return describe()


def device_name() -> str:
    """'NVIDIA H100' or 'CPU, 8 threads'."""
    return machine().gpu or f"CPU, {words.count(machine().cores, 'thread')}"


@st.cache_data(ttl="1m", show_spinner=False)
def folder_bytes(path: str) -> int:
    """Disk use below a folder, at most a minute old: of many runs it takes a second."""
    return disk_bytes(Path(path))


# ---- runs and their files ----------------------------------------------------------------------


def newest_runs(
    workspace: Workspace, limit: int, *kinds: str, archived: bool | None = False
) -> list[Run]:
    """The newest finished runs of these kinds, newest first; archived: None for both. Not cached."""
    which = RunFilter(kinds=kinds, states=("done",), archived=archived)
    return RunStore(workspace).select(which, limit)


def active_runs(workspace: Workspace) -> list[Run]:
    """Queued and running runs, running ones last, after runs whose worker died are marked so. Not cached."""
    store = RunStore(workspace)
    if not store.active():
        return []
    reconcile(workspace)
    return sorted(store.active(), key=lambda run: (run.state == "running", -run.seq))


def run(workspace: Workspace, run_id: str) -> Run | None:
    """One run, or a published result as one, not cached; None where there is none."""
    try:
        return find_run(workspace, run_id)
    except NotFound:
        return None


def published(kind: str) -> list[PublishedRun]:
    """The published studies ("study") or maps ("embed"), not cached. Raises RunError."""
    return published_runs(kind)


@st.cache_resource(max_entries=CONFIGS, show_spinner=False)
def _json(path: str, changed: int) -> dict[str, Any]:
    return read_json(Path(path))


def config(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """A run's config.json; empty where it cannot be read."""
    path = workspace.run(run_id).config
    try:
        return _json(str(path), stamp(path))
    except (OSError, ValueError):
        return {}


@st.cache_resource(max_entries=MANY, show_spinner=False)
def _study(path: str, changed: int) -> StudyResult:
    return read_study(path)


def study_is_there(workspace: Workspace, run_id: str) -> bool:
    """Whether a study has its result; does not read it."""
    return bool(stamp(workspace.run(run_id).study))


def study(workspace: Workspace, run_id: str) -> StudyResult | None:
    """The result of a finished study, None before it is written."""
    path = workspace.run(run_id).study
    return _study(str(path), changed) if (changed := stamp(path)) else None


@st.cache_data(max_entries=MANY, show_spinner=False)
def _csv(path: str, changed: int) -> pd.DataFrame:
    return pd.read_csv(path)


def curves(workspace: Workspace, run_id: str, arm: str) -> pd.DataFrame | None:
    """An arm's learning curves, one row for each evaluation and seed, None where there are none."""
    path = workspace.run(run_id).curves(arm)
    return _csv(str(path), changed) if (changed := stamp(path)) else None


@st.cache_data(max_entries=FEW, show_spinner=False)
def _parquet(path: str, changed: int) -> pd.DataFrame:
    return pd.read_parquet(path)


def _table(path: Path) -> pd.DataFrame | None:
    return _parquet(str(path), changed) if (changed := stamp(path)) else None


def decisions(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """The decisions of a study's arms for each test image: image_id, row, label and a column for each arm."""
    return _table(workspace.run(run_id).decisions)


# ---- maps --------------------------------------------------------------------------------------


def map_is_there(workspace: Workspace, run_id: str) -> bool:
    """Whether a map has anything to show; does not read it."""
    files = workspace.run(run_id)
    return bool(stamp(files.map_points, files.packed_map))


def map_version(workspace: Workspace, run_id: str) -> tuple[str, str, int]:
    """Workspace, run, and when the map's files changed last: differs for every other content."""
    files = workspace.run(run_id)
    return str(workspace.root), run_id, stamp(files.map_points, files.map_info, files.packed_map)


@st.cache_resource(max_entries=FEW, show_spinner=False)
def _saved_map(_workspace: Workspace, root: str, run_id: str, changed: int) -> SavedMap:
    return read_map(_workspace, run_id)


def saved_map(workspace: Workspace, run_id: str) -> SavedMap | None:
    """A map; UMAP's columns are NaN until they are computed. None before PCA is. Raises RunError."""
    if not map_is_there(workspace, run_id):
        return None
    return _saved_map(workspace, *map_version(workspace, run_id))


def data_issues(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """Near-duplicates, likely label errors and outliers of a map, the worst first; None where not sought."""
    return _table(workspace.run(run_id).data_issues)


def factors(workspace: Workspace, run_id: str) -> pd.DataFrame | None:
    """Mutual information of a map's latents and the known factors; None where none are known."""
    return _table(workspace.run(run_id).factors)


# ---- data --------------------------------------------------------------------------------------


def datasets(workspace: Workspace, disk: bool = False) -> list[DatasetSummary]:
    """The workspace's datasets, not cached. disk: with disk_bytes, for which every file is looked at."""
    return list_datasets(workspace, disk)


@st.cache_resource(max_entries=FEW, show_spinner=False)
def _dataset(_workspace: Workspace, root: str, name: str, changed: int) -> Dataset:
    return load_dataset(_workspace, name)


def dataset(workspace: Workspace, name: str) -> Dataset:
    """A dataset, read again when its manifest changes. Raises NotFound."""
    paths = workspace.dataset(name)
    return _dataset(workspace, str(workspace.root), name, stamp(paths.manifest, paths.info))


def fingerprint(workspace: Workspace, name: str) -> str:
    """A dataset's fingerprint, as its description has it. Raises NotFound, DataError."""
    return read_info(workspace.dataset(name)).fingerprint


def map_dataset(workspace: Workspace, run_id: str, name: str) -> Dataset:
    """The images of a map: dataset `name`, or those of a published map with the files that are here.

    Raises:
        NotFound, DataError: the dataset is gone.
    """
    files = workspace.run(run_id)
    if not files.packed_map.exists():
        return dataset(workspace, name)
    here = (workspace.dataset(one) for one in workspace.dataset_names())
    changed = tuple(stamp(paths.manifest, paths.info) for paths in here)
    key = ("published", str(workspace.root), run_id, stamp(files.packed_map), changed)
    return built_once(key, lambda: published_dataset(workspace, files))


def marks(workspace: Workspace, name: str) -> dict[str, image_marks.Mark]:
    """The marks of a dataset's images by image id, read again when they change. Raises DataError."""
    paths = workspace.dataset(name)
    key = ("marks", str(workspace.root), name, stamp(paths.marks))
    return built_once(key, lambda: image_marks.read_marks(paths))


def masks(workspace: Workspace, name: str) -> Masks | None:
    """The lesion masks of a dataset, read again when they or it change; None without. Raises DataError."""
    paths = workspace.dataset(name)
    files = mask_paths(paths)
    if files is None:
        return None
    changed = stamp(files.lesion_masks, files.mask_info, paths.manifest, paths.info)
    key = ("masks", str(workspace.root), name, changed)
    return built_once(key, lambda: read_masks(dataset(workspace, name)))


def known_mask(workspace: Workspace, sha256: str) -> tuple[str, Image.Image] | None:
    """The mask of an image file with this hash, and the dataset that has it; None where no dataset has."""
    for name in workspace.dataset_names():
        with contextlib.suppress(DataError, NotFound):  # a damaged dataset says so on Data
            of_dataset = masks(workspace, name)
            mask = of_dataset.of_content(sha256) if of_dataset else None
            if mask is not None:
                return name, mask
    return None


def facts(workspace: Workspace, name: str) -> DatasetFacts:
    """What is known of a dataset, counted again when its manifest or description changes."""
    paths = workspace.dataset(name)
    key = ("facts", str(workspace.root), name, stamp(paths.manifest, paths.info))
    return built_once(key, lambda: dataset_facts(dataset(workspace, name)))


@st.cache_resource(max_entries=FEW, show_spinner="Preparing the images…")
def _store(
    _workspace: Workspace, _dataset: Dataset, root: str, fingerprint: str, size: int
) -> Store:
    return open_store(_workspace, _dataset, size)


def store(workspace: Workspace, name: str, size: int = 64) -> Store:
    """The images of a dataset at `size` pixels, rows as in its manifest (built where missing)."""
    data = dataset(workspace, name)
    return _store(workspace, data, str(workspace.root), data.fingerprint, size)


@st.cache_data(max_entries=FEW, show_spinner="Auditing the splits…")
def _audit(_dataset: Dataset, root: str, name: str, changed: int, split_seed: int) -> audits.Audit:
    return audits.audit(_dataset, split_dataset(_dataset.labels, _dataset.groups, split_seed))


def audit(workspace: Workspace, name: str, split_seed: int = 0) -> audits.Audit:
    """Class, group and attribute balance of a dataset's splits."""
    data = dataset(workspace, name)
    changed = stamp(data.paths.manifest, data.paths.info)
    return _audit(data, str(workspace.root), name, changed, split_seed)


# ---- the library -------------------------------------------------------------------------------


@st.cache_resource(ttl="10m", max_entries=MANY, show_spinner=False)
def _shelf(path: str, where: str, kind: str | None, files: str) -> list[ListedBundle]:
    return list_shelf(Path(path), where, kind)


def _shelf_in_memory(folder: Path, where: str, kind: str | None) -> list[ListedBundle]:
    # One text is a faster key than a tuple of many.
    files = " ".join(sorted(_bundle_files(folder)))
    return _shelf(str(folder), where, kind, files) if files else []


def bundles(workspace: Workspace, kind: str = "classifier") -> list[ListedBundle]:
    """The published models of all libraries; checked again when one of their files changes."""
    return list_bundles(workspace, kind, _shelf_in_memory)


def cards(workspace: Workspace, kind: str = "classifier") -> list[Card]:
    """The cards of the models that are not refused, in the order of the arms."""
    intact = [bundle.card for bundle in bundles(workspace, kind) if bundle.card]
    order = in_order({card.arm for card in intact}) if kind == "classifier" else [""]
    return sorted(intact, key=lambda card: order.index(card.arm))


def _bundle_files(library: Path) -> Iterator[str]:
    """Every file in a library's folders, with the time of its last change. A publication may remove one meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        for folder in [entry.path for entry in os.scandir(library) if entry.is_dir()]:
            with contextlib.suppress(FileNotFoundError):
                for entry in list(os.scandir(folder)):
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_file():
                            yield f"{entry.path} {entry.stat().st_mtime_ns}"
