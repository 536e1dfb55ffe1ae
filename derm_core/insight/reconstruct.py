"""What a VAE's decoder can make of an image, and what it cannot: reconstruction and residual.

A published classifier keeps its VAE's decoder; its encoder was perhaps fine-tuned since and no longer
fits. The latent is therefore found by inference in the generative model itself: the maximum a posteriori
z of a Gaussian likelihood whose variance takes its best value for the image, as in the optimal sigma-VAE
(Rybkin, Daniilidis & Levine 2021, arXiv 2006.13202, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..serve.bundle import Bundle
from ..serve.predictor import two_threads

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 40   # of L-BFGS, each with a line search


@dataclass(frozen=True)
class Reconstruction:
    """images_nssc: uint8 (n, S, S, 3), S the decoder's size. residual_nss: float32 (n, S, S), the difference to the
    original in [0, 1], root mean square over colours. rmse: (n,) that of each whole image. latents_nz: float32."""

    images_nssc: np.ndarray
    residual_nss: np.ndarray
    rmse: np.ndarray
    latents_nz: np.ndarray


def can_reconstruct(card: dict) -> bool:
    """Whether a bundle carries a decoder."""
    return bool(card.get("decoder"))


def reconstruct(bundle: Bundle, images_nssc: np.ndarray) -> Reconstruction:
    """The images as the bundle's decoder draws them from their most probable latents.

    images_nssc: uint8 (n, S, S, 3), S = card["decoder"]["size"]. Deterministic: starts at z = 0.
    Raises ValueError for a bundle without a decoder, or images of another size.
    """
    import torch

    from ..nets.backbone import normalise
    from ..nets.vae import VAE_MEAN, VAE_STD
    if bundle.decoder is None:
        raise ValueError(f"{bundle.name} carries no decoder")
    size = bundle.decoder.size
    if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != (size, size, 3):
        raise ValueError(f"images must be uint8 (n, {size}, {size}, 3), got {images_nssc.dtype} {images_nssc.shape}")
    target = normalise(torch.from_numpy(np.array(images_nssc)), VAE_MEAN, VAE_STD)
    with two_threads():
        latents = [_most_probable(bundle.decoder, image[None], bundle.card["decoder"]["latent_dim"]) for image in target]
        latents_nz = torch.cat(latents) if latents else torch.zeros(0, bundle.card["decoder"]["latent_dim"])
        with torch.no_grad():
            drawn = bundle.decoder(latents_nz).clamp(-1, 1)
    difference = ((drawn - target) / 2).square().mean(dim=1)
    pixels = ((drawn + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return Reconstruction(pixels.numpy(), difference.sqrt().numpy(), difference.mean(dim=(1, 2)).sqrt().numpy(),
                          latents_nz.numpy())


def negative_log_posterior(decoder, z_bz: Tensor, target_bchw: Tensor) -> Tensor:
    """(b,) -log p(x | z) p(z) in nats up to a constant, the likelihood's variance at its optimum, the mean squared error."""
    error_b = (decoder(z_bz) - target_bchw).square().mean(dim=(1, 2, 3))
    return 0.5 * target_bchw[0].numel() * error_b.clamp_min(1e-8).log() + 0.5 * z_bz.square().sum(dim=1)


def _most_probable(decoder, target_1chw: Tensor, latent_dim: int) -> Tensor:
    """(1, Z) by L-BFGS from the prior's mean."""
    import torch

    with torch.enable_grad():
        z = torch.zeros(1, latent_dim, requires_grad=True)
        optimiser = torch.optim.LBFGS([z], max_iter=STEPS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = negative_log_posterior(decoder, z, target_1chw).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
    return z.detach()
