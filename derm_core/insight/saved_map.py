"""Saved maps: written by an embedding run, read by the pages.

A map's folder holds map.json, map.parquet, neighbours.npy, distances.npy and, where they were
computed, trouble.parquet and factors.parquet. Maps of versions before those existed are read alike:
what they lack is None or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NotFound, RunError
from ..files import read_json, write_atomic, write_json, writing
from ..records import from_json, optional, to_json
from ..stats.feature_space import SHOWN_NEIGHBOURS
from ..workspace import RunFiles, Workspace
from .packed_map import unpack


@dataclass(frozen=True)
class PredictionSlot:
    """A published model whose predictions stand in a map's columns that end in its slot's letter."""

    slot: str
    name: str
    arm: str


@dataclass(frozen=True)
class IssueCounts:
    """How many data issues of each kind there are.

    Attributes:
        across_splits: near-duplicates in two splits.
        confused_labels, random_labels: see label_errors.LabelErrors; None without labels.
        known_pairs, found: pairs that the dataset lists, and how many of them were found by their
            pictures; None where it lists none, and before all pairs were compared.
        pairs_left: pairs that were not compared yet.
    """

    near_duplicate: int = 0
    label_error: int = 0
    outlier: int = 0
    across_splits: int = 0
    confused_labels: int | None = None
    random_labels: int | None = None
    known_pairs: int | None = None
    found: int | None = None
    pairs_left: int = optional(0)


@dataclass(frozen=True, kw_only=True)
class MapInfo:
    """The description of a map, as map.json holds it.

    Attributes:
        params: the run's EmbedConfig, with the input size that its extractor read.
        interpolation: filter that resized these images, see `ImageForm`.
        approximate_neighbours: whether neighbours are those of an approximate index; those of earlier
            versions are exact.
        space: "pooled" features or "mu", posterior means.
        images: on the map.
        expected: how many it will show; None where these are all.
        pca_explained: share of the variance on each of the two axes.
        quality: measures of space and map by name; None where there is none yet.
        opinions: models whose predictions stand in the map's table.
        trouble: counts of data issues; None before they were looked for.
        marks: what was trained with marks of the dataset's images: "mole-vae with 12 exclusions". These
            images are on the map all the same.
    """

    params: dict[str, Any]
    arm: str
    label: str | None = None
    dataset: str = ""
    space: str | None = None
    aligned_to: str | None = None
    images: int = 0
    expected: int | None = None
    pca_explained: tuple[float, ...] = ()
    quality: dict[str, float | None]
    opinions: tuple[PredictionSlot, ...] = ()
    trouble: IssueCounts | None = None
    marks: tuple[str, ...] = optional(())
    interpolation: str = optional("bicubic")
    approximate_neighbours: bool = optional(False)


@dataclass(frozen=True)
class SavedMap:
    """A map as it is read again.

    Attributes:
        points: map.parquet, one row an image.
        neighbours: (n, 10) manifest rows of the nearest images, -1 for none (and while they are
            not there yet).
        distances: (n, 10) to them in the standardised feature space, NaN for none.
    """

    run_id: str
    info: MapInfo
    points: pd.DataFrame
    neighbours: np.ndarray
    distances: np.ndarray

    @property
    def space(self) -> str:
        """Either "pooled" or "mu"; maps of older versions have it in their parameters or not at all."""
        params = self.info.params
        return self.info.space or params.get("space") or params.get("pooling") or "pooled"

    @cached_property
    def known(self) -> frozenset[str]:
        """Columns of `points` that have a value anywhere."""
        return frozenset(column for column in self.points if self.points[column].notna().any())


def save_info(run: RunFiles, info: MapInfo) -> None:
    """Write map.json."""
    write_json(run.map_info, to_json(info))


def save_map(run: RunFiles, info: MapInfo, points: pd.DataFrame) -> None:
    """Write map.json and map.parquet."""
    save_info(run, info)
    write_atomic(run.map_points, points.to_parquet(index=False))


def save_neighbours(
    run: RunFiles, rows: np.ndarray, positions: np.ndarray, distances: np.ndarray
) -> None:
    """Write neighbours.npy and distances.npy.

    Args:
        run: the map's.
        rows: (n,) manifest rows of the images.
        positions: (n, k) of the nearest, nearest first.
        distances: (n, k) to them.
    """
    count = min(SHOWN_NEIGHBOURS, positions.shape[1])
    nearest_rows = np.full((len(rows), SHOWN_NEIGHBOURS), -1, np.int64)
    shown_distances = np.full((len(rows), SHOWN_NEIGHBOURS), np.nan, np.float32)
    nearest_rows[:, :count] = rows[positions[:, :count]]
    shown_distances[:, :count] = distances[:, :count]
    for path, array in ((run.neighbours, nearest_rows), (run.distances, shown_distances)):
        with writing(path) as handle:
            np.save(handle, array, allow_pickle=False)


def read_map(workspace: Workspace, run_id: str) -> SavedMap:
    """A finished map, a published one, or what there is of one that is being made.

    Raises:
        NotFound: there is no map yet.
        RunError: it is damaged.
    """
    run = workspace.run(run_id)
    try:
        description = {"params": {}, "quality": {}, **_without_none(read_json(run.map_info))}
        info = from_json(MapInfo, description, unknown="ignore", error=RunError)
        if run.packed_map.exists():
            packed = unpack(run)
            return SavedMap(run_id, info, packed.points, packed.neighbours, packed.distances)
        points = pd.read_parquet(run.map_points)
        neighbours, distances = _read_neighbours(run, len(points))
    except FileNotFoundError:
        raise NotFound(
            f"Run {run_id} has no map; wait until it is done, or make one with `embed`."
        ) from None
    except (OSError, ValueError, KeyError, RunError) as error:
        raise RunError(
            f"The map of run {run_id} cannot be read ({error}); make it again."
        ) from error
    if len(points) != len(neighbours) or neighbours.shape != distances.shape:
        raise RunError(f"The map of run {run_id} does not belong to its neighbours; make it again.")
    return SavedMap(run_id, info, points, neighbours, distances)


def _read_neighbours(run: RunFiles, images: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        neighbours = np.load(run.neighbours, allow_pickle=False)
        return neighbours, np.load(run.distances, allow_pickle=False)
    except FileNotFoundError:  # PCA is there before them
        shape = images, SHOWN_NEIGHBOURS
        return np.full(shape, -1, np.int64), np.full(shape, np.nan, np.float32)


def _without_none(description: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if value is not None}


def neighbours_in(saved: SavedMap, image_id: str, count: int = 10) -> pd.DataFrame:
    """The nearest images of `image_id` in a map's feature space, nearest first.

    Returns:
        Columns image_id, row and distance; empty where the map does not show the image.
    """
    position = np.flatnonzero((saved.points["image_id"] == image_id).to_numpy())
    if not len(position):
        return pd.DataFrame({"image_id": [], "row": [], "distance": []})
    rows, distances = (array[position[0], :count] for array in (saved.neighbours, saved.distances))
    rows, distances = rows[rows >= 0], distances[rows >= 0]
    names = saved.points.set_index("row")["image_id"].reindex(rows).to_numpy()
    return pd.DataFrame({"image_id": names, "row": rows, "distance": distances})
