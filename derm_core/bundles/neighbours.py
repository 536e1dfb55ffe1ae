"""Training images as points in a model's feature space: nearest lesions, and near-duplicates.

Points are standardised features along their first 96 principal axes, float16. Of the ten nearest training
images of HAM10000's validation images, that keeps 98 % (VAE) and 95 % (ImageNet) at 1.3 MB for 7,011 images;
a random 3,900 of them in all 256 dimensions, 2.0 MB, keeps 55 %. More images than fit are thinned by class.
Distances are Euclidean over √D: in standard deviations of a feature.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from ..seeds import stream_seed
from .outlier import Space

AXES = 96
MAX_POINT_BYTES = 1_500_000
FALSE_ALARMS = 0.005  # of images that are no copies, nearer to a training image than the threshold
NEIGHBOURS = 5


@dataclass(frozen=True)
class Points:
    """positions (n, k) float16, labels (n,) int32 class indices, ids: n names or None."""

    positions: np.ndarray
    labels: np.ndarray
    ids: list[str] | None

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and their squared lengths as float32, made once: images come one at a time."""
        positions = self.positions.astype(np.float32)
        return positions, (positions**2).sum(1)


def project(space: Space, features_nd: np.ndarray, axes: int) -> np.ndarray:
    """Features along the first `axes` principal axes (n, axes), float32."""
    return np.asarray(space.standardise(features_nd) @ space.axes[:, :axes])


def fit_points(
    space: Space, features_nd: np.ndarray, labels_n: np.ndarray, ids: list[str] | None, seed: int
) -> Points:
    """The training images a bundle keeps: all of them, or as many of each class's share as fit."""
    axes = min(AXES, space.axes.shape[1])
    rows = thin(labels_n, MAX_POINT_BYTES // (2 * axes), seed)
    positions = np.clip(project(space, features_nd[rows], axes), -6e4, 6e4).astype(np.float16)
    return Points(
        positions,
        labels_n[rows].astype(np.int32),
        [ids[i] for i in rows] if ids is not None else None,
    )


def thin(labels_n: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Sorted positions of at most `most` images, classes in proportion, at least one image of each."""
    if len(labels_n) <= most:
        return np.arange(len(labels_n))
    rng = np.random.default_rng(stream_seed(seed, "reference images"))
    chosen = []
    for c in np.unique(labels_n):
        members = rng.permutation(np.flatnonzero(labels_n == c))
        chosen.append(members[: max(1, int(most * len(members) / len(labels_n)))])
    return np.sort(np.concatenate(chosen))


def nearest(
    space: Space, points: Points, features_nd: np.ndarray, count: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `points` of the nearest training images, nearest first, and their distances: (n, count) each."""
    known, lengths = points.known
    asked = project(space, features_nd, known.shape[1])
    squared = lengths - 2 * asked @ known.T  # less the same for all
    count = min(count, len(known))
    near = np.argpartition(squared, count - 1, axis=1)[:, :count]
    exact = np.linalg.norm(known[near] - asked[:, None], axis=2) / np.sqrt(len(space.mean))
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1), np.take_along_axis(exact, order, 1)


def duplicate_threshold(nearest_n: np.ndarray) -> float:
    """The distance that FALSE_ALARMS of images fall below which are copies of no training image."""
    return float(np.quantile(nearest_n, FALSE_ALARMS))


def copies(image_ss3: np.ndarray) -> dict[str, np.ndarray]:
    """Near-duplicates as they arise: saved again, at another size, brighter, cut a little, and all of these."""
    picture, size = Image.fromarray(image_ss3), image_ss3.shape[0]
    inner = (size / 32, size / 32, size - size / 32, size - size / 32)
    cut = picture.resize((size, size), Image.Resampling.BICUBIC, box=inner)
    smaller = picture.resize((size * 3 // 4,) * 2, Image.Resampling.BICUBIC).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    return {
        "saved as JPEG again": _jpeg(picture, 75),
        "resampled": np.asarray(smaller),
        "brighter": np.clip(image_ss3 * 1.08, 0, 255).astype(np.uint8),
        "cut": np.asarray(cut),
        "cut, darker, saved again": np.clip(_jpeg(cut, 85) * 0.96, 0, 255).astype(np.uint8),
    }


def _jpeg(picture: Image.Image, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as again:
        return np.asarray(again)
