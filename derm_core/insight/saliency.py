"""Saliency of a classifier: Grad-CAM on its last feature map, LayerCAM on a finer one, and occlusion.

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
that
grid: moved by 0 or 1 cell down and right, the map moved back. Evidence on those cells fell to 29 %,
inside the lesion it rose from 49 to 54 % (ImageNet model 47 and 47 %). A binomial filter over the
map (1 2 1) takes the grid away as well but blurs over the lesion's edge: 47 % and 44 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.predictor import BATCH, Predictor, compute_slot
from ..nets.backbone import FeatureNetwork, normalise

Progress = Callable[[int, int], None]
PATCH, STEPS = 4, 4  # a hidden patch is 1/4 of the side wide and moves by 1/4 of its own width
FINE_CELLS = 8  # a side of the map that LayerCAM reads has at least so many, where a stage has them


@dataclass(frozen=True)
class SaliencyMap:
    """Grad-CAM or LayerCAM of n images for one class each.

    Attributes:
        density_nss: (n, S, S) float32, how densely the evidence for the class lies at a pixel: its
            share of all positive evidence over its share of the image's area. 1 everywhere is an
            even spread, 4 is four times as much; the mean over an image is 1 (0 where nothing
            speaks for the class). It has no unit of the model, so maps of different models may have
            one colour scale.
        cells_nhw: (n, h, w) float32. Of Grad-CAM: signed contributions to the class's logit before
            the ReLU, which sum to the logit's derivative along the pooled features: the first-order
            part of the logit that the features explain. Of LayerCAM: what remains after the ReLU.
        targets: (n,) the class of each map.
    """

    density_nss: np.ndarray
    cells_nhw: np.ndarray
    targets: np.ndarray

    @property
    def peaks(self) -> np.ndarray:
        """(n,) the largest density of each image."""
        return self.density_nss.max(axis=(1, 2))


def grad_cam(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """Grad-CAM; cells become pixels by bilinear interpolation.

    Args:
        predictor: the model.
        images_nssc: uint8 (n, S, S, 3), S the model's input size.
        targets: a class index for each image; by default its most probable one.
    """
    return _maps(_contributions, predictor, images_nssc, targets)


def layer_cam(
    predictor: Predictor, images_nssc: np.ndarray, targets: Sequence[int] | None = None
) -> SaliencyMap:
    """LayerCAM: Grad-CAM with a weight for every cell, on the deepest stage of FINE_CELLS a side or more.

    The mean over the places of the image on the grid of the next stage's stride. Where no stage is
    so fine (or the architecture does not name its stages) the model's own last map is read. captum
    has no LayerCAM; for one place, on a map that is not negative, its rectified
    LayerGradientXActivation, summed over channels, is the same. Arguments as in `grad_cam`.
    """
    return _maps(_layer_evidence, predictor, images_nssc, targets)


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
    with torch.no_grad():
        map_bdhw = classifier.backbone(normalise(images_bssc, card.mean, card.std)).float()
    with torch.enable_grad():
        map_bdhw = map_bdhw.detach().requires_grad_()
        scores_b = classifier.classify(map_bdhw.mean(dim=(2, 3))).gather(1, targets_b[:, None])
        (gradient_bdhw,) = torch.autograd.grad(scores_b.sum(), map_bdhw)
    alpha_bd = gradient_bdhw.mean(dim=(2, 3))  # the paper's alpha: the mean gradient over cells
    return torch.einsum("bd,bdhw->bhw", alpha_bd, map_bdhw.detach())


def _layer_evidence(predictor: Predictor, images_bssc: Tensor, targets_b: Tensor) -> Tensor:
    """(b, h, w) the mean of `_evidence_at` over the places of the image on the next stage's grid, as one batch."""
    stage, cell, stride = _fine_stage(predictor.bundle.classifier.backbone, predictor.size)
    places = [(down, right) for down in range(stride) for right in range(stride)]
    moved = torch.cat([_moved(images_bssc, cell * down, cell * right) for down, right in places])
    maps = _evidence_at(predictor, stage, moved, targets_b.repeat(len(places))).chunk(len(places))
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


def _evidence_at(
    predictor: Predictor, stage: nn.Module, images_bssc: Tensor, targets_b: Tensor
) -> Tensor:
    """(b, h, w) the sum over channels of the stage's map times its rectified gradient: the paper's equations 6 to 8.

    The map starts a new graph, since what lies before it needs no gradient.
    """
    classifier, card = predictor.bundle.classifier, predictor.card
    maps: list[Tensor] = []

    def start_graph(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        maps.append(output.detach().requires_grad_())
        return maps[-1]

    hook = stage.register_forward_hook(start_graph)
    try:
        with torch.enable_grad():
            logits_bc = classifier(normalise(images_bssc, card.mean, card.std))
            scores = logits_bc.gather(1, targets_b[:, None]).sum()
            (gradient,) = torch.autograd.grad(scores, maps[-1])
    finally:
        hook.remove()
    evidence = (gradient.relu() * maps[-1].detach()).float()
    # The backbone gives channels first, whatever its stages do.
    channels_last = stage is not classifier.backbone and classifier.backbone.channels_last
    return evidence.sum(dim=-1 if channels_last else 1).relu()


def _fine_stage(backbone: FeatureNetwork, size: int) -> tuple[nn.Module, int, int]:
    """The module whose output LayerCAM reads, pixels a cell of it, and the stride of the stage behind it.

    The deepest stage with FINE_CELLS a side, or the backbone itself (1 and 1).
    """
    body: Any = getattr(backbone, "body", None)  # timm's network of features
    info = getattr(body, "feature_info", None)
    stages = info.info[: backbone.stage + 1] if info else []
    fine = [stage for stage in stages if size // stage["reduction"] >= FINE_CELLS]
    if not fine or len(fine) == len(stages):
        return backbone, 1, 1
    modules, name = dict(body.named_modules()), fine[-1]["module"]
    # timm's feature networks name a module stages_0 for stages.0.
    stage = modules.get(name, modules.get(name.replace(".", "_")))
    if stage is None:
        return backbone, 1, 1
    cell = fine[-1]["reduction"]
    return stage, cell, stages[len(fine)]["reduction"] // cell


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
