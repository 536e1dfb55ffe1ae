"""The identical two-layer head, and the classifier that joins it to a backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def make_head(d: int, hidden: int, classes: int, seed: int) -> nn.Sequential:
    """Linear(d, hidden) -> GELU -> Linear(hidden, classes); the same weights for the same d and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, classes))


class Classifier(nn.Module):
    """Normalised images (B, 3, S, S) -> logits (B, classes): pooled features, standardised, head.

    feature_mean, feature_std: (D,) statistics of the training split's features (0 and 1: as they are).
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Sequential,
        feature_mean: Tensor | None = None,
        feature_std: Tensor | None = None,
    ):
        super().__init__()
        d = backbone.width
        self.backbone, self.head = backbone, head
        mean = torch.zeros(d) if feature_mean is None else feature_mean
        std = torch.ones(d) if feature_std is None else feature_std
        self.register_buffer("feature_mean", torch.as_tensor(mean, dtype=torch.float32).clone())
        self.register_buffer("feature_std", torch.as_tensor(std, dtype=torch.float32).clone())
        if self.feature_mean.shape != (d,) or self.feature_std.shape != (d,):
            raise ValueError(f"feature statistics must have shape ({d},)")

    def forward(self, x_bchw: Tensor) -> Tensor:
        return self.classify(self.backbone.pooled(x_bchw))

    def classify(self, features_nd: Tensor) -> Tensor:
        """Pooled features (N, D) -> logits (N, classes)."""
        return self.head((features_nd - self.feature_mean) / self.feature_std)
