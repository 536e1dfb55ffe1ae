"""Several extractors as one: their features side by side, in the place of a Backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .backbone import Extractor, FeatureNetwork


class SideBySide(FeatureNetwork):
    """The features of several extractors next to each other, in their order.

    Images (B, 3, H, W) in [0, 1] -> features (B, D1 + D2 + …), float32; each extractor normalises
    for itself.
    """

    means: Tensor
    stds: Tensor

    def __init__(self, extractors: Sequence[Extractor]):
        super().__init__()
        self.backbones = nn.ModuleList(one.backbone for one in extractors)
        self.register_buffer("means", torch.tensor([one.mean for one in extractors]))
        self.register_buffer("stds", torch.tensor([one.std for one in extractors]))
        networks = [one.backbone for one in extractors]
        self.architecture, self.stage = networks[0].architecture, networks[0].stage
        self.model_args = networks[0].model_args
        self.width = sum(network.width for network in networks)

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """(B, D1 + D2 + …)."""
        features = []
        for network, mean, std in zip(self.backbones, self.means, self.stds, strict=True):
            assert isinstance(network, FeatureNetwork)
            x_normalised = (x_bchw - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
            features.append(network.pooled(x_normalised).float())
        return torch.cat(features, dim=1)
