"""Where an image falls: among a model's training images, or on a saved map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..serve.predictor import Predictor
from ..workspace import Workspace
from .reference import project


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
    return Place(known.points.positions[:, :2].astype(np.float32), known.points.labels, project(known.space, features, 2)[0])


@dataclass(frozen=True)
class MapPlaces:
    """Where n images fall on a map, approximately: the weighted mean of their nearest images' places.

    umap_n2 (NaN where the map has no UMAP yet), pca_n2: float32. rows (n, 10): manifest rows of the nearest images in
    feature space, nearest first, -1 where there are fewer; distances (n, 10): in the map's standardised feature space.
    """

    umap_n2: np.ndarray
    pca_n2: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Placer:
    """A map ready to place images on: keep it warm (it holds the extractor and the map's features). size: S of the images."""

    size: int

    def place(self, images_nssc: np.ndarray) -> MapPlaces:
        """uint8 (n, S, S, 3) as data.decode.prepare gives them -> their places. Raises ValueError for another size."""
        raise NotImplementedError


def open_placer(workspace: Workspace, run_id: str) -> Placer:
    """Extractor, features and neighbours of a finished map. Raises what reading the map or building the extractor raises."""
    raise NotImplementedError


def place_on_map(workspace: Workspace, run_id: str, images_nssc: np.ndarray, placer: Placer | None = None) -> MapPlaces:
    """Where images (uint8 (n, S, S, 3), S the map's input size) fall on a saved map; `placer`: one kept warm."""
    return (placer or open_placer(workspace, run_id)).place(images_nssc)
