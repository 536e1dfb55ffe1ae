"""Published maps: what the pages need of a finished map, small enough to ship, without an image.

Maps of the same images share, in studies/NAME/maps:
    images.parquet        one row an image: image_id, split, label, group and attributes
    predictions.parquet   the columns of map_predictions
    latents.npz           posterior means of a VAE, 8 bits a value (`Quantised`)
and each has in MAP/artefacts map.json (a MapInfo), trouble.parquet (see data_issues) and map.npz:
    places                uint16 (4, n) of COORDINATES, with `places_low` and `places_step` (4,)
    neighbours            uint16 (n, 10), rows of the nearest images; NONE for none
    features              8 bits (k, n): standardised features on their first k principal axes
    mean, std, axes       (D,), (D,), (D, k): what leads from new features to those
Rows count the images in the order of images.parquet, whatever the manifest they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..published import PublishedStudy
from ..workspace import RunFiles

COORDINATES = ("umap_x", "umap_y", "pca_x", "pca_y")  # columns of a map's table
MOST_IMAGES = NONE = 2**16 - 1
IMAGES, PREDICTIONS, LATENTS = "images.parquet", "predictions.parquet", "latents.npz"
# All latents have one step, this part of the largest standard deviation of a dimension: with a prior of
# standard deviation 1 an error of 0.06, far below the posterior's own.
LATENT_STEPS = 6
# Of the features: axes that are stored, and steps in a standard deviation of the first of them.
AXES, FEATURE_STEPS = 48, 12


@dataclass(frozen=True)
class Quantised:
    """Numbers in 8 bits with a step and an offset for each dimension.

    Attributes:
        values_dn: int8, dimension by dimension, which packs better.
        step_d, mean_d: float32; a value stands for value * step + mean.
    """

    values_dn: np.ndarray
    step_d: np.ndarray
    mean_d: np.ndarray

    def restore(self) -> np.ndarray:
        """float32 (n, D)."""
        return self.values_dn.T.astype(np.float32) * self.step_d + self.mean_d


def quantise(values_nd: np.ndarray, step_d: np.ndarray | float) -> Quantised:
    """Numbers in 8 bits. step_d: of each dimension, made coarser where the range asks for it."""
    mean_d = values_nd.mean(0, dtype=np.float64)
    reach_d = np.abs(values_nd - mean_d).max(0)
    steps_d = np.maximum(np.broadcast_to(step_d, mean_d.shape), reach_d / 127).astype(np.float32)
    steps_d[steps_d == 0] = 1
    values = np.round((values_nd - mean_d) / steps_d).astype(np.int8)
    return Quantised(np.ascontiguousarray(values.T), steps_d, mean_d.astype(np.float32))


def quantise_latents(mu_nd: np.ndarray) -> Quantised:
    """Posterior means in steps of a sixth of the largest standard deviation of a dimension."""
    return quantise(mu_nd, float(mu_nd.std(0).max()) / LATENT_STEPS)


def quantise_features(space_nd: np.ndarray) -> tuple[Quantised, np.ndarray]:
    """Standardised features on their first principal axes (D, k), all in the same step.

    Distances weigh every axis alike, so one step serves all; an axis that hardly varies then takes
    few bits.
    """
    covariance = np.cov(space_nd.astype(np.float64), rowvar=False)
    variances, axes = np.linalg.eigh(covariance)
    axes = axes[:, ::-1][:, :AXES].astype(np.float32)
    step = float(np.sqrt(max(variances[-1], 1e-12))) / FEATURE_STEPS
    return quantise(space_nd @ axes, step), axes


# ---- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PackedSpace:
    """The stored features of a published map, and the way of new ones to them.

    Attributes:
        features_nk: float32, on the axes.
        mean_d, std_d: of the features of the map's training images.
        axes_dk: the principal axes of the standardised features.
    """

    features_nk: np.ndarray
    mean_d: np.ndarray
    std_d: np.ndarray
    axes_dk: np.ndarray


@dataclass(frozen=True)
class UnpackedMap:
    """A published map's table and neighbours, as a run's own map has them.

    Attributes:
        points: one row an image, with its row, COORDINATES, split, label, group, attributes and
            predictions.
        neighbours: int64 (n, 10) rows, -1 for none.
        distances: (n, 10) to them among the stored features: approximate.
    """

    points: pd.DataFrame
    neighbours: np.ndarray
    distances: np.ndarray


def unpack(run: RunFiles) -> UnpackedMap:
    """A published map. Raises OSError, ValueError or KeyError where it cannot be read."""
    arrays, folder = _arrays(run.packed_map), run.root.parent
    images, predictions = (pd.read_parquet(folder / name) for name in (IMAGES, PREDICTIONS))
    places = arrays["places"].T * arrays["places_step"] + arrays["places_low"]
    points = images.assign(row=np.arange(len(images)))
    points[list(COORDINATES)] = places.astype(np.float32)
    space_nk = _space(arrays).features_nk
    near = arrays["neighbours"].astype(np.int64)
    missing = near == NONE
    near[missing] = 0
    to_each = [np.linalg.norm(space_nk[column] - space_nk, axis=1) for column in near.T]
    distances = np.where(missing, np.nan, np.stack(to_each, axis=1)).astype(np.float32)
    near[missing] = -1
    return UnpackedMap(pd.concat([points, predictions], axis=1), near, distances)


def read_space(run: RunFiles) -> PackedSpace:
    """The stored features of a published map."""
    return _space(_arrays(run.packed_map))


def read_latents(study: PublishedStudy) -> np.ndarray | None:
    """float32 (n, D): the stored posterior means of the images; None where there are none."""
    path = study.root / "maps" / LATENTS
    if study.about.vae is None or not path.exists():
        return None
    arrays = _arrays(path)
    return Quantised(arrays["values"], arrays["step"], arrays["mean"]).restore()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _space(arrays: dict[str, np.ndarray]) -> PackedSpace:
    stored = Quantised(arrays["features"], arrays["features_step"], arrays["features_mean"])
    return PackedSpace(stored.restore(), arrays["mean"], arrays["std"], arrays["axes"])
