"""What needs no network: an image's colour histogram and moments, in the place of a backbone."""

from __future__ import annotations

import torch
from torch import Tensor

from .backbone import FeatureNetwork

BINS = 8  # per channel of RGB


class ColourHistogram(FeatureNetwork):
    """Images (B, 3, H, W) in 0..1 -> (B, 521): where an extractor has a backbone, but nothing is learnt.

    512: square roots of the shares of pixels in 8 x 8 x 8 equal cells of RGB (distances between
    them are Hellinger's); 9: mean, standard deviation and cube root of the third central moment of
    each channel.
    """

    architecture, stage, width = "colour-histogram", 0, BINS**3 + 9

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """The features (B, 521), float32."""
        levels_bcn = (x_bchw.flatten(2) * 255).round().long().clamp(0, 255) * BINS // 256
        cell_bn = (levels_bcn[:, 0] * BINS + levels_bcn[:, 1]) * BINS + levels_bcn[:, 2]
        share_bk = torch.zeros(len(cell_bn), BINS**3, device=x_bchw.device)
        share_bk.scatter_add_(
            1, cell_bn, torch.full(cell_bn.shape, 1 / cell_bn.shape[1], device=x_bchw.device)
        )
        x_bcn = x_bchw.flatten(2).float()
        mean_bc1 = x_bcn.mean(2, keepdim=True)
        third_bc = (x_bcn - mean_bc1).pow(3).mean(2)
        moments = (
            mean_bc1.squeeze(2),
            x_bcn.std(2, correction=0),
            third_bc.sign() * third_bc.abs().pow(1 / 3),
        )
        return torch.cat([share_bk.sqrt(), *moments], 1)
