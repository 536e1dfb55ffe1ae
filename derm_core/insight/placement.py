"""Where an image falls: among a model's training images, or on a saved map."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from ..bundles.neighbours import project
from ..bundles.predictor import Predictor, compute_slot
from ..config import EmbedConfig, from_dict
from ..config.shared import ImageForm
from ..data.manifest import load_dataset
from ..data.store import open_store
from ..errors import RunError
from ..nets.backbone import Extractor
from ..stats.feature_space import LEAST_STD, SHOWN_NEIGHBOURS, standardise
from ..study.arms import build_extractors
from ..study.features import extract, finish
from ..workspace import Workspace
from .packed_map import read_space
from .saved_map import SavedMap, read_map


@dataclass(frozen=True)
class TrainingPlace:
    """An image among a model's training images.

    Attributes:
        training_n2, labels_n: positions and class indices of the training images in the bundle.
        image_2: the image's position.
    """

    training_n2: np.ndarray
    labels_n: np.ndarray
    image_2: np.ndarray


def place_in_training(predictor: Predictor, image_ssc: np.ndarray) -> TrainingPlace | None:
    """An image (uint8 (S, S, 3), the model's input size) on its training map, if the bundle has one."""
    reference = predictor.bundle.reference
    if reference is None or reference.points is None:
        return None
    features, _ = predictor.features_and_logits(image_ssc[None])
    return TrainingPlace(
        reference.points.positions[:, :2].astype(np.float32),
        reference.points.labels,
        project(reference.space, features, 2)[0],
    )


@dataclass(frozen=True)
class MapPlaces:
    """Where n images fall on a map: the mean of their nearest images' places, weighted by 1 / distance².

    Attributes:
        umap_n2: float32, NaN where the map has no UMAP yet.
        pca_n2: float32.
        rows: (n, 10) manifest rows of the nearest images, nearest first, -1 where there are fewer.
        distances: (n, 10) to them in the map's standardised feature space.
    """

    umap_n2: np.ndarray
    pca_n2: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Placer:
    """A map ready to place images on, with its extractor and features in memory.

    Attributes:
        saved: the map.
        form: how the images are decoded that were read for the map; of side S.
        extractor: of the map's features.
        space_nd: the map's standardised features.
        mean, std: (F,) of the features of the map's training images.
        axes: (F, k) of a published map, which has the standardised features on these axes only.
    """

    saved: SavedMap
    form: ImageForm
    extractor: Extractor
    space_nd: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    axes: np.ndarray | None = None

    @functools.cached_property
    def squares_n(self) -> np.ndarray:
        """(n,) squared lengths of the map's features: of 100,000 images their sum takes longer than the search."""
        return np.einsum("nd,nd->n", self.space_nd, self.space_nd)

    def place(self, images_nssc: np.ndarray) -> MapPlaces:
        """The places of images.

        Args:
            images_nssc: uint8 (n, S, S, 3), from data.decode.prepare, of `form`.

        Raises:
            ValueError: other images.
        """
        size = self.form.size
        expected = (size, size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 (n, {size}, {size}, 3), got {images_nssc.dtype} "
                f"{images_nssc.shape}"
            )
        with compute_slot(), torch.inference_mode():
            features = self.extractor.features(torch.from_numpy(np.array(images_nssc))).numpy()
        scaled = (features - self.mean) / np.maximum(self.std, LEAST_STD)
        query_nd = np.where(self.std > LEAST_STD, scaled, 0).astype(np.float32)
        if self.axes is not None:
            query_nd = query_nd @ self.axes
        return self._among(*_nearest(self.space_nd, self.squares_n, query_nd, SHOWN_NEIGHBOURS))

    def _among(self, positions: np.ndarray, distances: np.ndarray) -> MapPlaces:
        points, count = self.saved.points, positions.shape[1]
        weights = 1 / np.maximum(np.square(distances.astype(np.float64)), 1e-9)
        weights /= weights.sum(1, keepdims=True)
        places_n4 = points[["umap_x", "umap_y", "pca_x", "pca_y"]].to_numpy(np.float64)
        umap_pca = np.einsum("nk,nka->na", weights, places_n4[positions]).astype(np.float32)
        rows = np.full((len(positions), SHOWN_NEIGHBOURS), -1, np.int64)
        shown_distances = np.full(rows.shape, np.nan, np.float32)
        rows[:, :count] = points["row"].to_numpy()[positions]
        shown_distances[:, :count] = distances
        return MapPlaces(umap_pca[:, :2], umap_pca[:, 2:], rows, shown_distances)


def _nearest(
    space_nd: np.ndarray, squares_n: np.ndarray, query_md: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and Euclidean distances (m, count) of the nearest rows of `space`, nearest first."""
    count = min(count, len(space_nd))
    squared = squares_n - 2 * query_md @ space_nd.T  # less what is the same for all
    near = np.argpartition(squared, count - 1, axis=1)[:, :count]
    exact = np.linalg.norm(space_nd[near] - query_md[:, None], axis=2)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1), np.take_along_axis(exact, order, 1)


def open_placer(workspace: Workspace, run_id: str) -> Placer:
    """Extractor and features of a map; features that are not in the cache are computed.

    Raises:
        RunError: the dataset has changed since. Otherwise what reading the map or building the
            extractor raises.
    """
    saved = read_map(workspace, run_id)
    config = from_dict(saved.info.params, EmbedConfig)
    if workspace.run(run_id).packed_map.exists():
        return _published_placer(saved, config, workspace)
    dataset = load_dataset(workspace, config.dataset)
    rows = saved.points["row"].to_numpy()
    ids = dataset.frame["image_id"].to_numpy()
    if rows.max() >= len(dataset) or (ids[rows] != saved.points["image_id"]).any():
        raise RunError(
            f"The dataset {config.dataset} is no longer the one run {run_id} mapped; make the map again."
        )
    form, extractor = _as_mapped(saved, config, workspace)
    store = open_store(workspace, dataset, form.size, form.interpolation)
    chosen = None if len(rows) == len(dataset) else rows
    features = finish(extract(extractor, store, workspace, dataset.name, chosen))
    train = (saved.points["split"] == "train").to_numpy()
    mean, std = features[train].mean(0), features[train].std(0)
    return Placer(saved, form, extractor, standardise(features, train), mean, std)


def _as_mapped(
    saved: SavedMap, config: EmbedConfig, workspace: Workspace
) -> tuple[ImageForm, Extractor]:
    """How the images of a map were decoded, whatever form its network has by now, and the extractor."""
    extractor = build_extractors(config.arm, config, workspace)[0]
    return ImageForm(config.input_size, saved.info.interpolation), extractor


def _published_placer(saved: SavedMap, config: EmbedConfig, workspace: Workspace) -> Placer:
    """Of a published map, with its stored features: neither its images nor a cache is needed."""
    form, extractor = _as_mapped(saved, config, workspace)
    space = read_space(workspace.run(saved.run_id))
    mean, std = space.mean_d, space.std_d
    return Placer(saved, form, extractor, space.features_nk, mean, std, space.axes_dk)
