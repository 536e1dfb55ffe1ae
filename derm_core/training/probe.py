"""The online probe: how well a linear classifier on frozen features tells the classes apart, meanwhile.

The only place of pretraining that reads labels; nothing of it flows back into the training.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from ..nets.backbone import Backbone
from .batches import ImageSource, normaliser
from .precision import Precision

EVALUATION_BATCH = 256


@torch.no_grad()
def pooled_features(
    backbone: Backbone,
    images: np.ndarray | Tensor,
    rows: Sequence[int] | np.ndarray,
    device: str,
    precision: Precision,
    mean: Sequence[float],
    std: Sequence[float],
) -> np.ndarray:
    """Pooled features (len(rows), D) float32 of rows of uint8 `images`, in eval mode."""
    training = backbone.training
    backbone.eval()
    source = ImageSource(images, rows, device, precision.memory_format)
    normalise = normaliser(mean, std, device)
    features = []
    for images_bchw in source.in_order(EVALUATION_BATCH):
        with precision.autocast(device):
            features.append(backbone.pooled(normalise(images_bchw)).float().cpu().numpy())
    backbone.train(training)
    return np.concatenate(features)


def probe_accuracy(
    train_nd: np.ndarray, train_labels: np.ndarray, val_nd: np.ndarray, val_labels: np.ndarray
) -> float | None:
    """Balanced accuracy on val of a class-weighted logistic regression on standardised train features.

    Mean recall over the classes present in val. None where train has fewer than two classes or val
    is empty.
    """
    if len(np.unique(train_labels)) < 2 or len(val_labels) == 0 or not np.isfinite(train_nd).all():
        return None
    mean, std = train_nd.mean(axis=0), train_nd.std(axis=0) + 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps rank epochs well enough
        warnings.simplefilter("ignore", UserWarning)  # classes absent from val are left out
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=100)
        model.fit((train_nd - mean) / std, train_labels)
        return float(balanced_accuracy_score(val_labels, model.predict((val_nd - mean) / std)))
