"""One map turned onto another of the same images, so that both can be read side by side."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError, NotFound
from ..workspace import Workspace
from .saved_map import SavedMap, read_map

LEAST_SHARED = 3


def turn_onto(places_n2: np.ndarray, fixed_n2: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """A map rotated or reflected, with one scale and one shift, to lie nearest to another.

    The orthogonal Procrustes transform (Gower 1975); distances keep their proportions.

    Args:
        places_n2: the map to turn.
        fixed_n2: the other map's places.
        shared: bool (n,), the rows that are compared.

    Returns:
        float32 (n, 2).
    """
    moving, target = places_n2[shared].astype(np.float64), fixed_n2[shared].astype(np.float64)
    centre, goal = moving.mean(0), target.mean(0)
    u, stretch, v = np.linalg.svd((moving - centre).T @ (target - goal))
    spread = np.square(moving - centre).sum()
    scale = stretch.sum() / spread if spread > 0 else 1.0
    return ((places_n2 - centre) @ (u @ v) * scale + goal).astype(np.float32)


def start_from(pca_n2: np.ndarray, fixed_n2: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """(n, 2) where UMAP begins: the other map's places of the shared images, the turned PCA's of all others."""
    turned = turn_onto(pca_n2, fixed_n2, shared)
    return np.where(shared[:, None], fixed_n2, turned).astype(np.float32)


def open_fixed_map(workspace: Workspace, run_id: str) -> SavedMap:
    """The map to align to. Raises NotFound where that run has no map with UMAP yet."""
    saved = read_map(workspace, run_id)
    if not np.isfinite(saved.points[["umap_x", "umap_y"]].to_numpy(float)).any():
        raise NotFound(
            f"The map of {run_id} has no UMAP yet; wait until it is done, or align to another map."
        )
    return saved


def fixed_places(
    saved: SavedMap, image_ids: np.ndarray, axes: str
) -> tuple[np.ndarray, np.ndarray]:
    """Places of images on a saved map.

    Args:
        saved: the map.
        image_ids: (n,) ids.
        axes: "umap" or "pca".

    Returns:
        (n, 2) places, NaN where the map has none, and bool (n,) which it has.

    Raises:
        ConfigError: the map has fewer than three of the images.
    """
    columns = [f"{axes}_x", f"{axes}_y"]
    places = saved.points.set_index("image_id")[columns].reindex(image_ids).to_numpy(np.float32)
    shared = np.isfinite(places).all(1)
    if shared.sum() < LEAST_SHARED:
        raise ConfigError(
            f"aligned_to is {saved.run_id}, which shows {shared.sum()} of these images; "
            "allowed: a map of the same dataset."
        )
    return places, shared
