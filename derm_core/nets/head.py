"""The identical two-layer head, the classifier that joins it to a backbone, and the losses of both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..records import require
from .backbone import FeatureNetwork


def make_head(d: int, hidden: int, classes: int, seed: int) -> nn.Sequential:
    """Linear(d, hidden) -> GELU -> Linear(hidden, classes); the same weights for the same d and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, classes))


class Classifier(nn.Module):
    """Normalised images (B, 3, S, S) -> logits (B, classes): pooled features, standardised, head.

    feature_mean, feature_std: (D,) statistics of the training split's features (0 and 1: as they
    are).
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        backbone: FeatureNetwork,
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
        logits: Tensor = self.head((features_nd - self.feature_mean) / self.feature_std)
        return logits


def classification_loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss from logits (N, C, …) and labels (N, …) to one value per image (N, …).

    Args:
        name: "cross_entropy" in nats; "focal" with gamma 2 (Lin et al. 2017, eq. 4); "brier", the
            squared distance of the softmax from the one-hot label (Brier 1950), 0 to 2.

    Raises:
        ConfigError: for another name.
    """
    require(name in LOSSES, "loss", name, ", ".join(LOSSES))
    return LOSSES[name]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _focal(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = -_cross_entropy(logits, labels)
    return -((1 - log_p.exp()) ** 2) * log_p


def _brier(logits: Tensor, labels: Tensor) -> Tensor:
    target = F.one_hot(labels, logits.shape[1]).to(logits.dtype).movedim(-1, 1)
    return (logits.softmax(dim=1) - target).square().sum(dim=1)


LOSSES = {"cross_entropy": _cross_entropy, "focal": _focal, "brier": _brier}
