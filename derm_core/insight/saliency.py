"""Saliency of a classifier: Grad-CAM, LayerCAM, integrated gradients of a transformer's patches, and occlusion.

Grad-CAM: Selvaraju et al. 2017 (arXiv 1610.02391). LayerCAM: Jiang et al. 2021 (IEEE TIP 30, 5875).
Occlusion: Zeiler & Fergus 2014 (arXiv 1311.2901). The shape suffixes: n images, S pixels a side, hw
the cells of a feature map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bundles.predictor import BATCH, Predictor, compute_slot
from ..nets.backbone import normalise
from ..nets.feature_maps import first_patches
from ..nets.head import Classifier
from ..nets.saliency import (
    Normalise,
    contributions,
    density,
    layer_evidence,
    patch_evidence,
)
from ..stats.inside_share import inside_share

Progress = Callable[[int, int], None]
PATCH, STEPS = 4, 4  # a hidden patch is 1/4 of the side wide and moves by 1/4 of its own width


@dataclass(frozen=True)
class SaliencyMap:
    """Grad-CAM, LayerCAM or integrated gradients of n images for one class each.

    Attributes:
        density_nss: (n, S, S) float32, how densely the evidence for the class lies at a pixel: its
            share of all positive evidence over its share of the image's area. 1 everywhere is an
            even spread, 4 is four times as much; the mean over an image is 1 (0 where nothing
            speaks for the class). It has no unit of the model, so maps of different models may have
            one colour scale.
        cells_nhw: (n, h, w) float32. Of Grad-CAM: signed contributions to the class's logit before
            the ReLU, which sum to the logit's derivative along the pooled features: the first-order
            part of the logit that the features explain. Of LayerCAM: what remains after the ReLU. Of
            integrated gradients: signed contributions of the patches to the class's logit.
        targets: (n,) the class of each map.
        of_patches: whether it is integrated gradients of a transformer's patches.
    """

    density_nss: np.ndarray
    cells_nhw: np.ndarray
    targets: np.ndarray
    of_patches: bool = False

    @property
    def peaks(self) -> np.ndarray:
        """(n,) the largest density of each image."""
        return self.density_nss.max(axis=(1, 2))

    def inside(self, masks_nss: np.ndarray) -> np.ndarray:
        """(n,) the share of each map inside its mask, see `inside_share`. masks_nss: (n, S, S) bool."""
        return inside_share(self.density_nss, masks_nss)


def saliency(
    predictor: Predictor,
    images_nssc: np.ndarray,
    targets: Sequence[int] | None = None,
    fine: bool = True,
) -> SaliencyMap:
    """The saliency map of a model: integrated gradients of a transformer, else LayerCAM, or Grad-CAM if not `fine`.

    Arguments and errors as in `grad_cam`.
    """
    with compute_slot():
        patches = first_patches(predictor.bundle.classifier.backbone, predictor.size)
    if patches:
        return integrated_gradients(predictor, images_nssc, targets)
    return (layer_cam if fine else grad_cam)(predictor, images_nssc, targets)


def grad_cam(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """Grad-CAM; cells become pixels by bilinear interpolation.

    Args:
        predictor: the model.
        images_nssc: uint8 (n, S, S, 3), S the model's input size.
        targets: a class index for each image; by default its most probable one.

    Raises:
        ConfigError: the network has no map of the image that is known.
    """
    return _maps(contributions, predictor, images_nssc, targets)


def layer_cam(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """LayerCAM: Grad-CAM with a weight for every cell, on the deepest stage of FINE_CELLS a side or more.

    The mean over the places of the image on the grid of the next stage's stride. Where no stage is
    so fine (or the architecture does not name its stages) the model's own last map is read. captum
    has no LayerCAM; for one place, on a map that is not negative, its rectified
    LayerGradientXActivation, summed over channels, is the same. Arguments and errors as in `grad_cam`.
    """
    return _maps(layer_evidence, predictor, images_nssc, targets)


def integrated_gradients(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """Integrated gradients of a transformer's patches. Arguments and errors as in `grad_cam`."""
    maps = _maps(patch_evidence, predictor, images_nssc, targets)
    return dataclasses.replace(maps, of_patches=True)


def _maps(
    method: Callable[[Classifier, Normalise, Tensor, Tensor], Tensor],
    predictor: Predictor,
    images_nssc: np.ndarray,
    targets: Sequence[int] | None,
) -> SaliencyMap:
    """Maps of all images by batches; method: of nets.saliency."""
    if targets is None:
        targets = predictor.logits(images_nssc).argmax(axis=1)
    targets_n = torch.as_tensor(np.asarray(targets, dtype=np.int64))
    card, parts = predictor.card, []

    def normalised(images_bssc: Tensor) -> Tensor:
        return normalise(images_bssc, card.mean, card.std)

    with compute_slot():
        for start in range(0, len(images_nssc), BATCH):
            batch = torch.from_numpy(np.array(images_nssc[start : start + BATCH]))
            targets_b = targets_n[start : start + BATCH]
            parts.append(method(predictor.bundle.classifier, normalised, batch, targets_b))
    if not parts:
        nothing = np.zeros((0, predictor.size, predictor.size), np.float32)
        return SaliencyMap(nothing, nothing, targets_n.numpy())
    cells_nhw = torch.cat(parts)
    return SaliencyMap(density(cells_nhw, predictor.size), cells_nhw.numpy(), targets_n.numpy())


def occlusion(
    predictor: Predictor, image_ssc: np.ndarray, target: int, progress: Progress | None = None
) -> np.ndarray:
    """float32 (S, S): how much the class's probability falls when a patch around a pixel is hidden.

    A square of a quarter of the side, in the image's mean colour, moves over the image and over its
    edges; a pixel gets the mean over the patches that hid it. captum's Occlusion is the same where
    its windows are, which start at the image's edge and move by whole strides.

    Args:
        predictor: the model.
        image_ssc: uint8 (S, S, 3).
        target: class index.
        progress: called with (done, all) patches.
    """
    places = occlusion_places(len(image_ssc))
    grey = image_ssc.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    whole = predictor.predict(image_ssc[None])[0, target]
    total, count = np.zeros(image_ssc.shape[:2]), np.zeros(image_ssc.shape[:2])
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        hidden = np.repeat(image_ssc[None], len(part), axis=0)
        for image, place in zip(hidden, part, strict=True):
            image[place] = grey
        probabilities = predictor.predict(hidden)[:, target]
        for place, probability in zip(part, probabilities, strict=True):
            total[place] += whole - probability
            count[place] += 1
        if progress:
            progress(start + len(part), len(places))
    return (total / count).astype(np.float32)


def occlusion_places(size: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the patches that are hidden one after the other."""
    patch = max(1, size // PATCH)
    starts = np.linspace(-patch // 2, size - patch // 2 - 1, PATCH * STEPS).round().astype(int)
    spans = [
        slice(max(start, 0), min(start + patch, size))
        for start in np.unique(starts).tolist()
        if min(start + patch, size) > max(start, 0)
    ]
    return [(rows, columns) for rows in spans for columns in spans]
