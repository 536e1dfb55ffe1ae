"""Datasets on disk: a manifest (one row per image) and a small JSON file that describes it.

The manifest is `manifest.parquet` with the columns of CORE, then attributes. `dataset.json` is
written last: a folder without it is an unfinished import. Images stay where the user has them.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..errors import DataError, NotFound
from ..files import disk_bytes, read_json, write_atomic, write_json
from ..seeds import stream_seed
from ..workspace import DatasetPaths, Workspace

SCHEMA = 1  # of dataset.json and manifest.parquet
CORE = ("image_id", "path", "label", "group", "sha256", "width", "height")
HASHED = ("image_id", "label", "group", "sha256")


@dataclass(frozen=True)
class Dataset:
    """Images with labels, groups and attributes.

    frame: one row per image, columns CORE (label: class name or None; path: absolute) and then
    attributes; classes: class names, whose position is the label's number; info: dataset.json.
    """

    name: str
    frame: pd.DataFrame
    classes: tuple[str, ...]
    info: dict
    paths: DatasetPaths

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
        return [column for column in self.frame.columns if column not in CORE]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what results depend on: ids, labels, groups and content, in the rows' order."""
        return manifest_hash(self.frame, self.classes)

    def subset(self, max_images: int | None, seed: int) -> np.ndarray:
        """Sorted rows of at most `max_images` images: whole groups, classes in proportion.

        Rare classes keep a few images where there is room. All rows where `max_images` is None.
        """
        if max_images is None or max_images >= len(self):
            return np.arange(len(self))
        return _draw_groups(self.labels, self.groups, max_images, seed)


def _draw_groups(labels: np.ndarray, groups: np.ndarray, max_images: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(stream_seed(seed, "subset"))
    values, counts = np.unique(labels, return_counts=True)
    rank = {
        value: position for position, value in enumerate(values[np.argsort(counts, kind="stable")])
    }
    ranks = np.array([rank[label] for label in labels])
    rarest = np.full(groups.max() + 1, len(values))
    np.minimum.at(rarest, groups, ranks)
    sizes = np.bincount(groups)
    kept, taken = np.zeros(len(sizes), bool), 0
    for position in range(len(values)):
        members = np.flatnonzero(rarest == position)
        share = sizes[members].sum() / len(labels)
        quota = max(round(max_images * share), min(3, max_images // len(values)))
        room = max_images - taken if position == len(values) - 1 else min(quota, max_images - taken)
        for group in generator.permutation(members):
            if sizes[group] <= room:
                kept[group] = True
                room -= sizes[group]
                taken += sizes[group]
    return np.flatnonzero(kept[groups])


def manifest_hash(frame: pd.DataFrame, classes: tuple[str, ...]) -> str:
    """Hex SHA-256 over the classes and the columns HASHED, row by row."""
    digest = hashlib.sha256("\x1e".join(classes).encode())
    for column in HASHED:
        digest.update(f"\x1d{column}\x1e".encode())
        values = ("" if value is None else str(value) for value in frame[column].tolist())
        digest.update("\x1e".join(values).encode())
    return digest.hexdigest()


def save_dataset(workspace: Workspace, name: str, frame: pd.DataFrame, info: dict) -> Dataset:
    """Write manifest and description of dataset `name`; returns it as `load_dataset` would.

    frame: columns CORE and attributes; paths below the dataset's own folder are stored relative
    to it, so that the workspace can be moved. info: {layout, source, classes, skipped, …}.
    Raises DataError where the manifest contradicts itself.
    """
    paths = workspace.dataset(name)
    classes = tuple(info["classes"])
    frame = _checked(frame, classes, name)
    own = str(paths.root) + "/"
    stored = frame.assign(path=[p.removeprefix(own) for p in frame["path"]])
    summary = {
        "schema": SCHEMA,
        **info,
        "classes": list(classes),
        "images": len(frame),
        "groups": int(frame["group"].nunique()),
        "fingerprint": manifest_hash(frame, classes),
    }
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(paths.manifest, stored.to_parquet(index=False))
    write_json(paths.info, summary)
    return Dataset(name, frame, classes, summary, paths)


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
    text = {
        column: frame[column].astype(str).astype(object)
        for column in ("image_id", "path", "group", "sha256")
    }
    return frame.assign(**text, label=labels)[order].reset_index(drop=True)


def _text_or_none(values: pd.Series) -> pd.Series:
    texts = [
        None if value is None or value != value or value is pd.NA else str(value)
        for value in values.tolist()
    ]
    return pd.Series(texts, index=values.index, dtype=object)


def load_dataset(workspace: Workspace, name: str) -> Dataset:
    """The dataset `name` of this workspace. Raises NotFound, or DataError where it is damaged."""
    paths = workspace.dataset(name)
    info = read_info(paths)
    try:
        frame = pd.read_parquet(paths.manifest)
        classes = tuple(info["classes"])
        for column in ("image_id", "path", "group", "sha256"):
            frame[column] = frame[column].astype(object)
        # An absolute path stays as it is; one below the dataset's own folder is relative to it.
        frame["path"] = pd.Series(
            [os.path.join(paths.root, path) for path in frame["path"]], dtype=object
        )
        frame["label"] = _text_or_none(frame["label"])
        dataset = Dataset(name, frame, classes, info, paths)
        whole = dataset.fingerprint == info["fingerprint"]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"The manifest of dataset {name} cannot be read ({error}); import it again."
        ) from error
    if not whole:
        raise DataError(
            f"The manifest of dataset {name} does not belong to its dataset.json; import it again."
        )
    return dataset


def read_info(paths: DatasetPaths) -> dict:
    """dataset.json. Raises NotFound, or DataError where it cannot be read."""
    try:
        info = read_json(paths.info)
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
    if (
        isinstance(info, dict) and info.get("schema", SCHEMA) != SCHEMA
    ):  # the first datasets carried none
        raise DataError(
            f"Dataset {paths.name} was written by a newer version of this program (schema {info['schema']}, "
            f"this one knows {SCHEMA}); update the program."
        )
    return info


def list_datasets(workspace: Workspace, disk: bool = True) -> list[dict]:
    """One {name, images, classes, groups, layout, disk_bytes} per dataset; reads no manifest.

    classes is their number; disk: whether to add up disk_bytes, which walks every file. A damaged dataset carries its `error` and can still be deleted.
    """
    rows = []
    for name in workspace.dataset_names():
        paths = workspace.dataset(name)
        row = {"name": name, "images": 0, "classes": 0, "groups": 0, "layout": "unknown"}
        try:
            info = read_info(paths)
            row |= {
                "images": info["images"],
                "classes": len(info["classes"]),
                "groups": info["groups"],
                "layout": info.get("layout", "unknown"),
            }
        except (DataError, NotFound, KeyError, TypeError) as error:
            row["error"] = str(error)
        rows.append(row | ({"disk_bytes": disk_bytes(paths.root)} if disk else {}))
    return rows


def delete_dataset(workspace: Workspace, name: str) -> int:
    """Delete a dataset and all that was derived from it (stores, cached features); bytes freed.

    Images that lie outside the workspace are the user's and stay. Raises NotFound.
    """
    paths = workspace.dataset(name)
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
