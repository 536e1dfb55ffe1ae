"""Features of a backbone's last two stages side by side: the option `pooling="multi"`, in the place of a Backbone.

An earlier map holds finer texture than the last one, which a probe on frozen features can use
(Caron et al. 2021, DINO, arXiv 2104.14294, join the last blocks of a transformer in the same way).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .backbone import Backbone, FeatureNetwork, feature_list, keeps_all_blocks


class MultiStage(FeatureNetwork):
    """The stage of `backbone` and the one below it, with its weights: images (B, 3, H, W) -> features (B, D1 + D2).

    Raises ConfigError for stage 0, which has none below it.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.architecture, self.stage = backbone.architecture, backbone.stage
        self.model_args = backbone.model_args
        if self.stage == 0:
            raise ConfigError("stage is 0; allowed: 1 or more for the features of two stages.")
        stages = (self.stage - 1, self.stage)
        self.body = feature_list(self.architecture, stages, self.model_args)
        if keeps_all_blocks(self.body):  # as Backbone drops the blocks behind its stage
            blocks = list(self.body.blocks)[: len(backbone.body.blocks)]
            self.body.blocks = nn.Sequential(*blocks)
        self.body.load_state_dict(backbone.body.state_dict(), strict=True)
        self.channels_last = backbone.channels_last
        self.width = sum(self.body.feature_info.channels())

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """Global averages of both maps in float32, the earlier stage's first: (B, D1 + D2)."""
        over = (1, 2) if self.channels_last else (2, 3)
        return torch.cat([map_.float().mean(dim=over) for map_ in self.body(x_bchw)], dim=1)
