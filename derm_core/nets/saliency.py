"""Where in an image the evidence for a class lies, from a classifier's maps of the image and their gradients.

Shape suffixes: n or b images, S pixels a side, hw the cells of a map.

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

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from .feature_maps import (
    Explained,
    fine_stage,
    first_patches,
    last_stage,
    patch_contributions,
    stage_gradients,
)

Normalise = Callable[[Tensor], Tensor]  # uint8 images (b, S, S, 3) -> (b, 3, S, S)


def contributions(
    classifier: Explained, normalise: Normalise, images_bssc: Tensor, targets_b: Tensor
) -> Tensor:
    """(b, h, w) what each cell of the last feature map adds to the class's logit, to first order (Grad-CAM)."""
    stage = last_stage(classifier.backbone)
    map_bdhw, gradient_bdhw = stage_gradients(classifier, stage, normalise(images_bssc), targets_b)
    alpha_bd = gradient_bdhw.mean(dim=(2, 3))  # the paper's alpha: the mean gradient over cells
    return torch.einsum("bd,bdhw->bhw", alpha_bd, map_bdhw)


def patch_evidence(
    classifier: Explained, normalise: Normalise, images_bssc: Tensor, targets_b: Tensor
) -> Tensor:
    """(b, h, w) integrated gradients of a transformer's patches. Raises ConfigError for other networks."""
    patches = first_patches(classifier.backbone, images_bssc.shape[1])
    if patches is None:
        raise ConfigError(
            f"architecture is {classifier.backbone.architecture!r}; allowed for integrated gradients of patches: "
            "transformers whose first attention block gets a square of patches."
        )
    return patch_contributions(classifier, patches, normalise(images_bssc), targets_b)


def layer_evidence(
    classifier: Explained, normalise: Normalise, images_bssc: Tensor, targets_b: Tensor
) -> Tensor:
    """(b, h, w) the mean of a stage's evidence over the places of the image on the next stage's grid, as one batch.

    The sum over channels of the stage's map times its rectified gradient: equations 6 to 8 of LayerCAM.
    """
    stage = fine_stage(classifier.backbone, images_bssc.shape[1])
    places = [(down, right) for down in range(stage.stride) for right in range(stage.stride)]
    moved = [_moved(images_bssc, stage.cell * down, stage.cell * right) for down, right in places]
    targets = targets_b.repeat(len(places))
    map_bdhw, gradient_bdhw = stage_gradients(
        classifier, stage, normalise(torch.cat(moved)), targets
    )
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


def density(cells_nhw: Tensor, size: int) -> np.ndarray:
    """(n, S, S): rectified, enlarged, and divided by its mean."""
    positive = F.interpolate(
        cells_nhw.relu()[:, None], (size, size), mode="bilinear", align_corners=False
    )[:, 0]
    return (positive / positive.mean(dim=(1, 2), keepdim=True).clamp_min(1e-12)).numpy()
