"""The reconstruction of an image by a VAE's decoder, and the residual.

A published classifier has its VAE's decoder; the encoder was perhaps fine-tuned since and no longer
fits. The latents are therefore those that the bundle's linear map makes of its features
(`bundles.outlier.fit_latents`). The outlier score reads the same ones: the error shown beside a
reconstruction is the one that is compared with the card's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bundles.card import Card
from ..bundles.predictor import Predictor, root_mean_square


@dataclass(frozen=True)
class Reconstruction:
    """Reconstructed images and how far they are from their originals.

    Attributes:
        images_nssc: uint8 (n, S, S, 3), S the decoder's size.
        residual_nss: float32 (n, S, S), difference to the original in [0, 1], root mean square over
            colours.
        rmse: (n,) that of each whole image.
        latents_nz: float32.
    """

    images_nssc: np.ndarray
    residual_nss: np.ndarray
    rmse: np.ndarray
    latents_nz: np.ndarray


def can_reconstruct(card: Card) -> bool:
    """Whether a bundle has a decoder and the map from its features to the decoder's latents."""
    tensors = card.reference.tensors if card.reference else {}
    return bool(card.decoder) and "latents.weight" in tensors


def reconstruct(predictor: Predictor, images_nssc: np.ndarray) -> Reconstruction:
    """The images as the bundle's decoder draws them from the latents of their features.

    Args:
        predictor: the model.
        images_nssc: uint8 (n, S, S, 3), S the predictor's size.

    Raises:
        ValueError: the bundle cannot reconstruct.
    """
    if not can_reconstruct(predictor.card):
        raise ValueError(f"{predictor.name} has no decoder, or no map to its latents")
    latents_nz = predictor.latents(predictor.features_and_logits(images_nssc)[0])
    drawn_nssc = predictor.draw(latents_nz)
    residual_nss = predictor.residuals(drawn_nssc, images_nssc)
    return Reconstruction(
        (drawn_nssc * 255).round().astype(np.uint8),
        residual_nss,
        root_mean_square(residual_nss),
        latents_nz,
    )
