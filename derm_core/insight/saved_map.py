"""Saved maps as they are read again: points, neighbours, and the same image in two spaces.

A map's folder holds map.json, map.parquet, neighbours.npy, distances.npy and, where they were asked for,
trouble.parquet and factors.parquet. Maps made before those existed are read alike: what they lack is None or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..errors import NotFound, RunError
from ..files import read_json
from ..workspace import Workspace

TROUBLE = ("kind", "row", "other", "score", "suggestion", "reason", "across_splits")
FACTORS = ("latent", "factor", "information", "kl")


@dataclass(frozen=True)
class SavedMap:
    """about: map.json; points: map.parquet; neighbours (n, 10): manifest rows, -1 for none; distances (n, 10)."""

    run_id: str
    about: dict
    points: pd.DataFrame
    neighbours: np.ndarray
    distances: np.ndarray

    @property
    def space(self) -> str:
        """ "pooled" or "mu"; maps of older versions say it in their parameters or not at all."""
        params = self.about.get("params", {})
        return self.about.get("space") or params.get("space") or params.get("pooling") or "pooled"

    @property
    def opinions(self) -> list[dict]:
        """[{"slot", "name", "arm"}] of the models whose columns stand in `points`; empty for older maps."""
        return self.about.get("opinions") or []

    @cached_property
    def known(self) -> frozenset[str]:
        """Columns of `points` in which anything stands."""
        return frozenset(column for column in self.points if self.points[column].notna().any())


def read_map(workspace: Workspace, run_id: str) -> SavedMap:
    """A finished (or PCA-only) map. Raises NotFound where there is none yet, RunError where it is damaged."""
    folder = workspace.run(run_id).artefacts
    try:
        arrays = [
            np.load(folder / name, allow_pickle=False)
            for name in ("neighbours.npy", "distances.npy")
        ]
        found = SavedMap(
            run_id, read_json(folder / "map.json"), pd.read_parquet(folder / "map.parquet"), *arrays
        )
    except FileNotFoundError:
        raise NotFound(
            f"Run {run_id} has no map; wait until it is done, or make one with `embed`."
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"The map of run {run_id} cannot be read ({error}); make it again."
        ) from error
    if (
        len(found.points) != len(found.neighbours)
        or found.neighbours.shape != found.distances.shape
    ):
        raise RunError(f"The map of run {run_id} does not belong to its neighbours; make it again.")
    return found


def read_trouble(workspace: Workspace, run_id: str) -> pd.DataFrame:
    """trouble.parquet of a map, columns TROUBLE, the worst of each kind first; empty for older maps."""
    return _table(workspace, run_id, "trouble.parquet", TROUBLE)


def read_factors(workspace: Workspace, run_id: str) -> pd.DataFrame:
    """factors.parquet of a map, columns FACTORS; empty where the data has no known factors."""
    return _table(workspace, run_id, "factors.parquet", FACTORS)


def _table(workspace: Workspace, run_id: str, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    path = workspace.run(run_id).artefacts / name
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        return pd.DataFrame({column: [] for column in columns})
    except (OSError, ValueError) as error:
        raise RunError(
            f"{name} of run {run_id} cannot be read ({error}); make the map again."
        ) from error


def neighbours_in(saved: SavedMap, image_id: str, count: int = 10) -> pd.DataFrame:
    """The nearest images of `image_id` in a map's feature space: columns image_id, row, distance, nearest first.

    Empty where the map does not show the image. For "nearest in both spaces" ask both maps for the same image_id.
    """
    position = np.flatnonzero((saved.points["image_id"] == image_id).to_numpy())
    if not len(position):
        return pd.DataFrame({"image_id": [], "row": [], "distance": []})
    rows, distances = (array[position[0], :count] for array in (saved.neighbours, saved.distances))
    kept = rows >= 0
    names = saved.points.set_index("row")["image_id"].reindex(rows[kept]).to_numpy()
    return pd.DataFrame({"image_id": names, "row": rows[kept], "distance": distances[kept]})
