"""Writing a finished map in the form of published ones (see packed_map)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError
from ..files import write_atomic
from ..workspace import RunFiles
from .packed_map import (
    COORDINATES,
    IMAGES,
    LATENTS,
    MOST_IMAGES,
    NONE,
    PREDICTIONS,
    Quantised,
    quantise_features,
)
from .saved_map import MapInfo, SavedMap


@dataclass(frozen=True)
class MapParts:
    """A finished map with what places new images on it.

    Attributes:
        saved: the map.
        issues: its trouble.parquet; None where there is none.
        space_nd: standardised features of its images.
        mean_d, std_d: of the features of its training images.
    """

    saved: SavedMap
    issues: pd.DataFrame | None
    space_nd: np.ndarray
    mean_d: np.ndarray
    std_d: np.ndarray


def save_images(folder: Path, saved: SavedMap) -> None:
    """Write what maps of the same images share, but the latents.

    Args:
        folder: studies/NAME/maps.
        saved: any of the maps.
    """
    points = saved.points.drop(columns=["row", *COORDINATES])
    answers = [name for name in points if name in _prediction_columns(saved.info)]
    predictions = points[answers].copy()
    for name in predictions.select_dtypes("float"):
        predictions[name] = predictions[name].round(3).astype(np.float32)
    for name, table in ((IMAGES, points.drop(columns=answers)), (PREDICTIONS, predictions)):
        write_atomic(folder / name, _parquet(table))


def _prediction_columns(info: MapInfo) -> set[str]:
    kinds = ("prediction", "confidence", "correct", "adjusted", "adjusted_correct", "outlier")
    return {f"{kind}_{slot.slot}" for kind in kinds for slot in info.opinions} | {"disagree"}


def save_latents(folder: Path, latents: Quantised) -> None:
    """Write the latents of the images, in their order."""
    write_atomic(
        folder / LATENTS,
        _npz(values=latents.values_dn, step=latents.step_d, mean=latents.mean_d),
    )


def save_packed(run: RunFiles, parts: MapParts) -> None:
    """Write map.npz and the data issues of a map; its config and map.json are the caller's.

    Raises:
        RunError: the map has no UMAP yet, or too many images.
    """
    points, rows = parts.saved.points, parts.saved.points["row"].to_numpy()
    places_n4 = points[list(COORDINATES)].to_numpy(np.float64)
    if not np.isfinite(places_n4).all():
        raise RunError(f"The map of {parts.saved.run_id} has no UMAP yet; wait until it is done.")
    if len(rows) >= MOST_IMAGES:
        raise RunError(f"A published map has fewer than {MOST_IMAGES:,} images, not {len(rows):,}.")
    position = np.full(int(rows.max()) + 2, -1, np.int64)  # the last stands for no image
    position[rows] = np.arange(len(rows))
    low = places_n4.min(0)
    step = np.maximum((places_n4.max(0) - low) / (2**16 - 1), 1e-12)
    features, axes = quantise_features(parts.space_nd)
    near = position[parts.saved.neighbours]
    arrays = {
        "places": np.round((places_n4 - low) / step).T.astype(np.uint16),
        "places_low": low,
        "places_step": step,
        "neighbours": np.where(near < 0, NONE, near).astype(np.uint16),
        "features": features.values_dn,
        "features_step": features.step_d,
        "features_mean": features.mean_d,
        "axes": axes,
        "mean": parts.mean_d.astype(np.float32),
        "std": parts.std_d.astype(np.float32),
    }
    write_atomic(run.packed_map, _npz(**arrays))
    if parts.issues is not None:
        issues = parts.issues.assign(
            row=position[parts.issues["row"]], other=position[parts.issues["other"]]
        )
        write_atomic(run.data_issues, _parquet(issues[issues["row"] >= 0]))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _parquet(table: pd.DataFrame) -> bytes:
    return table.to_parquet(index=False, compression="zstd", compression_level=19)
