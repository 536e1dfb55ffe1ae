"""Saliency of a classifier: Grad-CAM, LayerCAM, integrated gradients of a transformer's patches, and occlusion.

Grad-CAM: Selvaraju et al. 2017 (arXiv 1610.02391). LayerCAM: Jiang et al. 2021 (IEEE TIP 30, 5875).
Occlusion: Zeiler & Fergus 2014 (arXiv 1311.2901). The shape suffixes: n images, S pixels a side, hw
the cells of a feature map.

A last map of 4 × 4 cells cannot say where a lesion is: on 300 of HAM10000's test images, 35 % of
whose area is lesion, Grad-CAM of the shipped ImageNet model has 35 % of its evidence inside,
LayerCAM one stage below (8 × 8) 47 %; of the shipped VAE model 42 and 54 %. Grad-CAM++ did not
differ from chance on the finer maps.

Below a stage that strides, gradients lie on a grid: a ResNet's 1 × 1 shortcut of stride 2 reads one
cell in four and no gradient passes it to the others, whatever is there to see (of the VAE model's
evidence 76 % lay on those cells; the known checkerboard of strided convolutions, Odena et al. 2016,
doi:10.23915/distill.00003). LayerCAM is therefore the mean over the four places of the image on
that grid: moved by 0 or 1 cell down and right, the map moved back. Evidence on those cells fell to
29 %, inside the lesion it rose from 49 to 54 % (ImageNet model 47 and 47 %). A binomial filter over
the map (1 2 1) takes the grid away as well but blurs over the lesion's edge: 47 % and 44 %.

In a transformer any token may know of every patch after a few blocks, and the place of a token says
little of the place in the image. Twelve tiny networks (ViTs of two and of four blocks, one with mean
pooling, DeiT III, EVA-02, Swin; two seeds each) learned the colour of a square of 6 % of the image:
LayerCAM of the patches before every attention block had on average 15 % of its evidence there,
gradient-weighted relevance (Chefer et al. 2021, arXiv 2103.15679; without Swin) 16 %, attention
roll-out (Abnar & Zuidema 2020, arXiv 2005.00928; without Swin) 11 %, and integrated gradients of the
patches (Sundararajan et al. 2017, arXiv 1703.01365) 35 %. Transformers therefore have the last,
whatever detail is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..bundles.predictor import BATCH, Predictor, compute_slot
from ..errors import ConfigError
from ..nets.backbone import normalise
from .feature_maps import (
    fine_stage,
    first_attention,
    last_stage,
    patch_contributions,
    stage_gradients,
)

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
    """

    density_nss: np.ndarray
    cells_nhw: np.ndarray
    targets: np.ndarray

    @property
    def peaks(self) -> np.ndarray:
        """(n,) the largest density of each image."""
        return self.density_nss.max(axis=(1, 2))


def is_transformer(predictor: Predictor) -> bool:
    """Whether a model's network has attention blocks, so that `integrated_gradients` explains it."""
    return first_attention(predictor.bundle.classifier.backbone) is not None


def saliency(
    predictor: Predictor,
    images_nssc: np.ndarray,
    targets: Sequence[int] | None = None,
    fine: bool = True,
) -> SaliencyMap:
    """The saliency map of a model: integrated gradients of a transformer, else LayerCAM, or Grad-CAM if not `fine`.

    Arguments and errors as in `grad_cam`.
    """
    if is_transformer(predictor):
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
    return _maps(_contributions, predictor, images_nssc, targets)


def layer_cam(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """LayerCAM: Grad-CAM with a weight for every cell, on the deepest stage of FINE_CELLS a side or more.

    The mean over the places of the image on the grid of the next stage's stride. Where no stage is
    so fine (or the architecture does not name its stages) the model's own last map is read. captum
    has no LayerCAM; for one place, on a map that is not negative, its rectified
    LayerGradientXActivation, summed over channels, is the same. Arguments and errors as in `grad_cam`.
    """
    return _maps(_layer_evidence, predictor, images_nssc, targets)


def integrated_gradients(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """Integrated gradients of a transformer's patches. Arguments and errors as in `grad_cam`."""
    return _maps(_patch_contributions, predictor, images_nssc, targets)


def _maps(
    method: Callable[[Predictor, Tensor, Tensor], Tensor],
    predictor: Predictor,
    images_nssc: np.ndarray,
    targets: Sequence[int] | None,
) -> SaliencyMap:
    """Maps of all images by batches; method: (predictor, images (b, S, S, 3), targets (b,)) -> cells (b, h, w)."""
    if targets is None:
        targets = predictor.logits(images_nssc).argmax(axis=1)
    targets_n = torch.as_tensor(np.asarray(targets, dtype=np.int64))
    parts = []
    with compute_slot():
        for start in range(0, len(images_nssc), BATCH):
            batch = torch.from_numpy(np.array(images_nssc[start : start + BATCH]))
            parts.append(method(predictor, batch, targets_n[start : start + BATCH]))
    if not parts:
        nothing = np.zeros((0, predictor.size, predictor.size), np.float32)
        return SaliencyMap(nothing, nothing, targets_n.numpy())
    cells_nhw = torch.cat(parts)
    return SaliencyMap(_density(cells_nhw, predictor.size), cells_nhw.numpy(), targets_n.numpy())


def _contributions(predictor: Predictor, images_bssc: Tensor, targets_b: Tensor) -> Tensor:
    """(b, h, w) what each cell of the last feature map adds to the class's logit, to first order."""
    classifier, card = predictor.bundle.classifier, predictor.card
    x_bchw = normalise(images_bssc, card.mean, card.std)
    stage = last_stage(classifier.backbone)
    map_bdhw, gradient_bdhw = stage_gradients(classifier, stage, x_bchw, targets_b)
    alpha_bd = gradient_bdhw.mean(dim=(2, 3))  # the paper's alpha: the mean gradient over cells
    return torch.einsum("bd,bdhw->bhw", alpha_bd, map_bdhw)


def _patch_contributions(predictor: Predictor, images_bssc: Tensor, targets_b: Tensor) -> Tensor:
    classifier, card = predictor.bundle.classifier, predictor.card
    block = first_attention(classifier.backbone)
    if block is None:
        raise ConfigError(
            f"architecture is {card.architecture!r}; allowed for integrated gradients of patches: transformers."
        )
    x_bchw = normalise(images_bssc, card.mean, card.std)
    return patch_contributions(classifier, block, x_bchw, targets_b)


def _layer_evidence(predictor: Predictor, images_bssc: Tensor, targets_b: Tensor) -> Tensor:
    """(b, h, w) the mean of a stage's evidence over the places of the image on the next stage's grid, as one batch.

    The sum over channels of the stage's map times its rectified gradient: the paper's equations 6 to 8.
    """
    classifier, card = predictor.bundle.classifier, predictor.card
    stage = fine_stage(classifier.backbone, predictor.size)
    places = [(down, right) for down in range(stage.stride) for right in range(stage.stride)]
    moved = [_moved(images_bssc, stage.cell * down, stage.cell * right) for down, right in places]
    x_bchw = normalise(torch.cat(moved), card.mean, card.std)
    targets = targets_b.repeat(len(places))
    map_bdhw, gradient_bdhw = stage_gradients(classifier, stage, x_bchw, targets)
    maps = (gradient_bdhw.relu() * map_bdhw).sum(1).relu().chunk(len(places))
    moved_back = [
        _moved(map_bhw, -down, -right) for map_bhw, (down, right) in zip(maps, places, strict=True)
    ]
    return torch.stack(moved_back).mean(0)


def _moved(x_bhw: Tensor, down: int, right: int) -> Tensor:
    """(b, h, w, …) moved by so many rows and columns (below 0: up and left); the edge is repeated."""
    height, width = x_bhw.shape[1:3]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return x_bhw[:, rows][:, :, columns]


def _density(cells_nhw: Tensor, size: int) -> np.ndarray:
    """(n, S, S): rectified, enlarged, and divided by its mean."""
    positive = F.interpolate(
        cells_nhw.relu()[:, None], (size, size), mode="bilinear", align_corners=False
    )[:, 0]
    return (positive / positive.mean(dim=(1, 2), keepdim=True).clamp_min(1e-12)).numpy()


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
