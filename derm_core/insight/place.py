"""Where an image falls among a model's training images: the first two principal axes of its own feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..serve.predictor import Predictor
from .reference import project


@dataclass(frozen=True)
class Place:
    """training_n2, labels_n: positions and class indices of the training images a bundle keeps; image_2: the image's."""

    training_n2: np.ndarray
    labels_n: np.ndarray
    image_2: np.ndarray


def place(predictor: Predictor, image_ssc: np.ndarray) -> Place | None:
    """The image (uint8 (S, S, 3), the model's input size) on its training map; None where the bundle keeps no reference."""
    known = predictor.bundle.reference
    if known is None or known.points is None:
        return None
    features, _ = predictor.features_and_logits(image_ssc[None])
    return Place(known.points.positions[:, :2].astype(np.float32), known.points.labels, project(known.space, features, 2)[0])
