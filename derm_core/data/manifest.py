"""Datasets on disk: a manifest (one row per image) and a small JSON file that describes it.

The manifest is `manifest.parquet` with the columns of CORE, then IDS where known, then attributes. `dataset.json` is
written last: a folder without it is an unfinished import. Images stay where the user has them.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from ..errors import DataError, NotFound
from ..files import disk_bytes, read_json, write_atomic, write_json
from ..records import from_json, optional, require, to_json
from ..workspace import DatasetPaths, Workspace
from .import_options import ImportSource

SCHEMA = 1  # of dataset.json and manifest.parquet
CORE = ("image_id", "path", "label", "group", "sha256", "width", "height")
IDS = (
    "patient",
    "lesion",
)  # as the source has them, before groups are joined; not in older datasets
TEXTS = ("image_id", "path", "group", "sha256")
HASHED = ("image_id", "label", "group", "sha256")


@dataclass(frozen=True)
class Skipped:
    """A file that an import left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class MadeFrom:
    """What a synthetic dataset is a function of; size in pixels."""

    images: int
    size: int
    seed: int


@dataclass(frozen=True)
class PriorityMap:
    """The priority (high, medium or low) of each class; ours: whether the map is our default."""

    map: dict[str, str]
    ours: bool


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The description of a dataset, as dataset.json holds it.

    Attributes:
        layout: its name in data.layouts, "medmnist" or "synthetic".
        source: the folder or file that was imported.
        imported: what its tables and columns were taken for; None before that was recorded.
        classes: in the order of their numbers.
        created: seconds since 1970.
        seconds: how long the import took.
        source_key: hash of the files and words it was made from.
        lesions, patients: how many are known.
        group_kinds: patient, lesion or image → how many images are grouped by it.
        known_pairs: how many pairs of images the source lists as showing the same lesion.
        priority: the dataset's own map of class to priority; None where the default holds.
        images, groups, fingerprint: set by `save_dataset`.
    """

    layout: str = "unknown"
    source: str = ""
    imported: ImportSource | None = optional()
    classes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    created: float = 0.0
    source_key: str | None = optional()
    seconds: float = 0.0
    lesions: int | None = optional()
    patients: int | None = optional()
    group_kinds: dict[str, int] | None = optional()
    known_pairs: int | None = optional()
    license: str | None = optional()
    citation: str | None = optional()
    class_descriptions: dict[str, str] | None = optional()
    made_from: MadeFrom | None = optional()
    images: int = 0
    groups: int = 0
    fingerprint: str = ""
    priority: dict[str, str] | None = optional()

    @property
    def known_as(self) -> str | None:
        """Name of the public data set that it is; None for others, and where that was not recorded."""
        return self.imported.known_as if self.imported else None


@dataclass(frozen=True)
class Dataset:
    """Images with labels, groups and attributes.

    Attributes:
        frame: one row per image, columns CORE (label: class name or None; path: absolute), those of
            IDS that are known, and attributes.
        classes: class names, whose position is the label's number.
        priorities: the map from the dataset's own classes where `classes` are priorities.
    """

    name: str
    frame: pd.DataFrame
    classes: tuple[str, ...]
    info: DatasetInfo
    paths: DatasetPaths
    priorities: PriorityMap | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64: index into `classes`, −1 for no label."""
        return pd.Index(self.classes).get_indexer(self.frame["label"]).astype(np.int64)

    @cached_property
    def groups(self) -> np.ndarray:
        """(N,) int64 codes of the groups, numbered in order of first appearance."""
        return pd.factorize(self.frame["group"])[0].astype(np.int64)

    @property
    def attributes(self) -> list[str]:
        """Names of the columns beyond CORE and IDS."""
        return [column for column in self.frame.columns if column not in (*CORE, *IDS)]

    @property
    def fingerprint(self) -> str:
        """Hash of what results depend on: ids, labels, groups and content, in the rows' order."""
        return self.info.fingerprint

    def at(self, rows: np.ndarray) -> Dataset:
        """The images of some rows of the manifest as a dataset; its `info` stays that of all."""
        return replace(self, frame=self.frame.iloc[rows].reset_index(drop=True))


def manifest_hash(frame: pd.DataFrame, classes: tuple[str, ...]) -> str:
    """Hex SHA-256 over the classes and the columns HASHED, row by row."""
    digest = hashlib.sha256("\x1e".join(classes).encode())
    for column in HASHED:
        digest.update(f"\x1d{column}\x1e".encode())
        values = ("" if value is None else str(value) for value in frame[column].tolist())
        digest.update("\x1e".join(values).encode())
    return digest.hexdigest()


def save_dataset(
    workspace: Workspace, name: str, frame: pd.DataFrame, info: DatasetInfo
) -> Dataset:
    """Write manifest and description of dataset `name`; returns it as `load_dataset` would.

    Paths below the dataset's own folder are stored relative to it, so that the workspace can be
    moved.

    Args:
        workspace: where the dataset is written.
        name: of the dataset.
        frame: columns CORE, IDS and attributes, one row an image.
        info: its images, groups and fingerprint are those of `frame`.

    Raises:
        DataError: the manifest contradicts itself.
        ConfigError: the name is that of a dataset of the shared server.
    """
    paths = workspace.dataset(name)
    paths.require_own()
    frame = _checked(frame, info.classes, name)
    own = str(paths.root) + "/"
    stored = frame.assign(path=[p.removeprefix(own) for p in frame["path"]])
    groups, fingerprint = int(frame["group"].nunique()), manifest_hash(frame, info.classes)
    info = replace(info, images=len(frame), groups=groups, fingerprint=fingerprint)
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(paths.manifest, stored.to_parquet(index=False))
    write_json(paths.info, {"schema": SCHEMA, **to_json(info)})
    return Dataset(name, frame, info.classes, info, paths)


def _checked(frame: pd.DataFrame, classes: tuple[str, ...], name: str) -> pd.DataFrame:
    missing = [column for column in CORE if column not in frame]
    if missing:
        raise DataError(f"Dataset {name}: the manifest lacks {', '.join(missing)}.")
    if not len(frame):
        raise DataError(f"Dataset {name}: no image could be read.")
    if frame["image_id"].duplicated().any():
        twice = frame["image_id"][frame["image_id"].duplicated()].iloc[0]
        raise DataError(f"Dataset {name}: image_id {twice} appears twice; ids must be unique.")
    if len(set(classes)) != len(classes):
        raise DataError(f"Dataset {name}: a class name appears twice in {', '.join(classes)}.")
    labels = _text_or_none(frame["label"])
    unknown = sorted({label for label in labels if label is not None} - set(classes))
    if unknown:
        raise DataError(
            f"Dataset {name}: labels {', '.join(unknown[:5])} are not among the classes."
        )
    order = [*CORE, *(column for column in frame.columns if column not in CORE)]
    text = {column: frame[column].astype(str).astype(object) for column in TEXTS}
    return frame.assign(**text, label=labels)[order].reset_index(drop=True)


def _text_or_none(values: pd.Series) -> pd.Series:
    texts = [
        None if missing else str(value)
        for value, missing in zip(values.tolist(), values.isna(), strict=True)
    ]
    return pd.Series(texts, index=values.index, dtype=object)


def load_dataset(workspace: Workspace, name: str) -> Dataset:
    """The dataset `name` of this workspace. Raises NotFound, or DataError where it is damaged."""
    paths = workspace.dataset(name)
    info = read_info(paths)
    try:
        frame = pd.read_parquet(paths.manifest)
        for column in TEXTS:
            frame[column] = frame[column].astype(object)
        # An absolute path stays as it is; one below the dataset's own folder is relative to it.
        frame["path"] = pd.Series(
            [os.path.join(paths.root, path) for path in frame["path"]], dtype=object
        )
        frame["label"] = _text_or_none(frame["label"])
        fingerprint = manifest_hash(frame, info.classes)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"The manifest of dataset {name} cannot be read ({error}); import it again."
        ) from error
    if fingerprint != info.fingerprint:
        raise DataError(
            f"The manifest of dataset {name} does not belong to its dataset.json; import it again."
        )
    return Dataset(name, frame, info.classes, info, paths)


def read_info(paths: DatasetPaths) -> DatasetInfo:
    """dataset.json. Raises NotFound, or DataError where it cannot be read."""
    try:
        value = read_json(paths.info)
    except FileNotFoundError:
        unfinished = " Its import was interrupted: repeat it." if paths.root.exists() else ""
        raise NotFound(
            f"There is no dataset {paths.name} in this workspace.{unfinished} Make one with "
            f"`python -m derm_core data import PATH --name {paths.name}` or "
            "`python -m derm_core data synth`."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{paths.info} cannot be read ({error}); import dataset {paths.name} again."
        ) from error
    where = f"dataset.json of {paths.name}"
    require(isinstance(value, dict), where, value, "an object", DataError)
    schema = value.get("schema", SCHEMA)  # the first datasets have none
    if schema != SCHEMA:
        raise DataError(
            f"Dataset {paths.name} was written by a newer version of this program (schema {schema}, "
            f"this one knows {SCHEMA}); update the program."
        )
    for name in ("images", "classes", "groups"):
        require(name in value, f"{where}: {name}", None, "a value; import it again", DataError)
    return from_json(DatasetInfo, value, where, unknown="ignore", error=DataError)


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset in a list.

    Attributes:
        classes: their number.
        groups_known: false where no patient and no lesion of any image is known.
        known_as: name of the public data set that its import recognised.
        error: why a damaged one cannot be read.
        shared: whether it is a dataset of the shared server, which all its users read.
    """

    name: str
    images: int = 0
    classes: int = 0
    groups: int = 0
    layout: str = "unknown"
    error: str | None = optional()
    disk_bytes: int | None = optional()
    groups_known: bool = True
    known_as: str | None = optional()
    shared: bool = optional(False)


def list_datasets(workspace: Workspace, disk: bool = True) -> list[DatasetSummary]:
    """All datasets of a workspace, without reading their manifests.

    Args:
        workspace: with the datasets.
        disk: whether to add up `disk_bytes`, which walks every file.
    """
    summaries = []
    for name in workspace.dataset_names():
        paths = workspace.dataset(name)
        size = disk_bytes(paths.root) if disk else None
        try:
            info = read_info(paths)
            counts = (info.images, len(info.classes), info.groups, info.layout)
            known = set(info.group_kinds or {}) != {"image"}
            summary = DatasetSummary(name, *counts, groups_known=known, known_as=info.known_as)
        except (DataError, NotFound) as error:
            summary = DatasetSummary(name, error=str(error))
        summaries.append(replace(summary, disk_bytes=size, shared=paths.is_shared))
    return summaries


def delete_dataset(workspace: Workspace, name: str) -> int:
    """Delete a dataset and all that was derived from it (stores, cached features); bytes freed.

    Images that lie outside the workspace are the user's and stay. Raises NotFound, and ConfigError
    for a dataset of the shared server.
    """
    paths = workspace.dataset(name)
    paths.require_own()
    if not paths.root.exists():
        raise NotFound(f"There is no dataset {name} in this workspace; nothing was deleted.")
    freed = 0
    for cached in (workspace.cache / "features").glob(f"{name}--*"):
        if cached.is_dir():
            freed += workspace.remove(cached)
        else:
            freed += cached.stat().st_size
            cached.unlink()
    return freed + workspace.remove(paths.root)
