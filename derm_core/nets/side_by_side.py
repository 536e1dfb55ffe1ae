"""Several extractors as one: their features side by side, in the place of a Backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .backbone import Extractor


class SideBySide(nn.Module):
    """The features of several extractors next to each other, in their order, each of which normalises for itself:
    images (B, 3, H, W) in [0, 1] -> features (B, D1 + D2 + …), float32."""

    def __init__(self, extractors: Sequence[Extractor]):
        super().__init__()
        self.backbones = nn.ModuleList(one.backbone for one in extractors)
        self.register_buffer("means", torch.tensor([one.mean for one in extractors]))
        self.register_buffer("stds", torch.tensor([one.std for one in extractors]))
        first = self.backbones[0]
        self.architecture, self.stage, self.model_args = (
            first.architecture,
            first.stage,
            first.model_args,
        )
        self.width = sum(backbone.width for backbone in self.backbones)

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """(B, D1 + D2 + …)."""
        return torch.cat(
            [
                backbone.pooled((x_bchw - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)).float()
                for backbone, mean, std in zip(self.backbones, self.means, self.stds, strict=True)
            ],
            dim=1,
        )
