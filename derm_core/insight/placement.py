"""Where an image falls: among a model's training images, or on a saved map."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundles.neighbours import project
from ..bundles.predictor import Predictor, compute_slot
from ..errors import RunError
from ..stats.feature_space import LEAST_STD, SHOWN_NEIGHBOURS, standardise
from ..workspace import Workspace
from .saved_map import SavedMap, read_map


@dataclass(frozen=True)
class Place:
    """training_n2, labels_n: positions and class indices of the training images a bundle keeps; image_2: the image's."""

    training_n2: np.ndarray
    labels_n: np.ndarray
    image_2: np.ndarray


def place(predictor: Predictor, image_ssc: np.ndarray) -> Place | None:
    """The image (uint8 (S, S, 3), the model's input size) on its training map; None where the bundle keeps no reference."""
    known = predictor.bundle.reference
    if known is None or known.points is None:
        return None
    features, _ = predictor.features_and_logits(image_ssc[None])
    return Place(
        known.points.positions[:, :2].astype(np.float32),
        known.points.labels,
        project(known.space, features, 2)[0],
    )


@dataclass(frozen=True)
class MapPlaces:
    """Where n images fall on a map, approximately: the mean of their nearest images' places, weighted by 1 / distance².

    umap_n2 (NaN where the map has no UMAP yet), pca_n2: float32. rows (n, 10): manifest rows of the nearest images in
    feature space, nearest first, -1 where there are fewer; distances (n, 10): in the map's standardised feature space.
    """

    umap_n2: np.ndarray
    pca_n2: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Placer:
    """A map ready to place images on; keep it warm: it holds the extractor and the map's features (n, D).

    size: S of the images; extractor: a nets.backbone.Extractor; mean, std (D,): of the map's training images.
    """

    saved: SavedMap
    size: int
    extractor: Any
    space_nd: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @functools.cached_property
    def squares_n(self) -> np.ndarray:
        """(n,) squared lengths of the map's features: of 100,000 images their sum takes longer than the search."""
        return np.einsum("nd,nd->n", self.space_nd, self.space_nd)

    def place(self, images_nssc: np.ndarray) -> MapPlaces:
        """uint8 (n, S, S, 3) as data.decode.prepare gives them -> their places. Raises ValueError for other images."""
        import torch

        expected = (self.size, self.size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 (n, {self.size}, {self.size}, 3), got {images_nssc.dtype} "
                f"{images_nssc.shape}"
            )
        with compute_slot(), torch.inference_mode():
            features = self.extractor.features(torch.from_numpy(np.array(images_nssc))).numpy()
        asked = np.where(
            self.std > LEAST_STD, (features - self.mean) / np.maximum(self.std, LEAST_STD), 0
        )
        return self._among(
            *_nearest(self.space_nd, self.squares_n, asked.astype(np.float32), SHOWN_NEIGHBOURS)
        )

    def _among(self, positions: np.ndarray, distances: np.ndarray) -> MapPlaces:
        points = self.saved.points
        weights = 1 / np.maximum(np.square(distances.astype(np.float64)), 1e-9)
        weights /= weights.sum(1, keepdims=True)
        umap, pca = (
            (
                points[[f"{axes}_x", f"{axes}_y"]].to_numpy(float)[positions] * weights[..., None]
            ).sum(1)
            for axes in ("umap", "pca")
        )
        rows = np.full((len(positions), SHOWN_NEIGHBOURS), -1, np.int64)
        far = np.full(rows.shape, np.nan, np.float32)
        rows[:, : positions.shape[1]] = points["row"].to_numpy()[positions]
        far[:, : positions.shape[1]] = distances
        return MapPlaces(umap.astype(np.float32), pca.astype(np.float32), rows, far)


def _nearest(
    space_nd: np.ndarray, squares_n: np.ndarray, asked_md: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and Euclidean distances (m, count) of the nearest rows of `space`, nearest first."""
    count = min(count, len(space_nd))
    squared = squares_n - 2 * asked_md @ space_nd.T  # less what is the same for all
    near = np.argpartition(squared, count - 1, axis=1)[:, :count]
    exact = np.linalg.norm(space_nd[near] - asked_md[:, None], axis=2)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1), np.take_along_axis(exact, order, 1)


def open_placer(workspace: Workspace, run_id: str) -> Placer:
    """Extractor and features of a map, the features from the workspace's cache, or computed where it was emptied.

    Raises what reading the map or building the extractor raises, and RunError where the dataset has changed since.
    """
    from ..config import EmbedConfig, from_dict
    from ..data.manifest import load_dataset
    from ..data.store import open_store
    from ..study.arms import build_extractors
    from ..study.features import extract, finish

    saved = read_map(workspace, run_id)
    config = from_dict(saved.about["params"], EmbedConfig)
    dataset = load_dataset(workspace, config.dataset)
    rows = saved.points["row"].to_numpy()
    if (
        rows.max() >= len(dataset)
        or (dataset.frame["image_id"].to_numpy()[rows] != saved.points["image_id"]).any()
    ):
        raise RunError(
            f"The dataset {config.dataset} is no longer the one run {run_id} mapped; make the map again."
        )
    extractor = build_extractors(config.arm, config, workspace)[0]
    chosen = None if len(rows) == len(dataset) else rows
    features = finish(
        extract(
            extractor,
            open_store(workspace, dataset, config.input_size),
            workspace,
            dataset.name,
            chosen,
        )
    )
    train = (saved.points["split"] == "train").to_numpy()
    return Placer(
        saved,
        config.input_size,
        extractor,
        standardise(features, train),
        features[train].mean(0),
        features[train].std(0),
    )


def place_on_map(
    workspace: Workspace, run_id: str, images_nssc: np.ndarray, placer: Placer | None = None
) -> MapPlaces:
    """Where images (uint8 (n, S, S, 3), S the map's input size) fall on a saved map; `placer`: one kept warm."""
    return (placer or open_placer(workspace, run_id)).place(images_nssc)
