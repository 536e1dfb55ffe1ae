"""Reconstruction by the decoder alone: it finds the latent of its own drawings, and says what it cannot draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from derm_core.insight.reconstruct import can_reconstruct, negative_log_posterior, reconstruct
from derm_core.nets.vae import Decoder
from derm_core.serve.bundle import Bundle


@pytest.fixture
def bundle() -> Bundle:
    torch.manual_seed(0)
    decoder = Decoder(latent_dim=3, size=16, width=16).eval().requires_grad_(False)
    decoder.stem.weight.mul_(3)   # enough contrast that its images differ
    return Bundle("own", Path("own"), {"decoder": {"latent_dim": 3, "size": 16, "width": 16}}, None, decoder)


@pytest.fixture
def drawn(bundle) -> np.ndarray:
    """Two images that the decoder itself draws."""
    with torch.no_grad():
        images = bundle.decoder(torch.randn(2, 3, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def test_what_the_decoder_draws_is_found_again_and_noise_is_not(bundle, drawn):
    noise = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    found = reconstruct(bundle, np.concatenate([drawn, noise]))
    assert found.rmse[:2].max() < 0.02 and found.rmse[2] > 0.2
    assert np.abs(found.images_nssc[:2].astype(int) - drawn).mean() < 4


def test_the_residual_is_the_difference_of_the_images(bundle, drawn):
    image = drawn[:1].copy()
    image[0, :4, :4] = 255 - image[0, :4, :4]
    found = reconstruct(bundle, image)
    expected = np.sqrt((((found.images_nssc[0] / 255.0) - image[0] / 255.0) ** 2).mean(axis=2))
    assert found.residual_nss[0] == pytest.approx(expected, abs=0.005)
    assert found.rmse[0] == pytest.approx(np.sqrt((found.residual_nss[0] ** 2).mean()), rel=1e-4)
    assert found.residual_nss[0, :4, :4].mean() > 2 * found.residual_nss[0, 8:, 8:].mean()


def test_the_latent_is_a_minimum_of_the_negative_log_posterior(bundle, drawn):
    z = torch.from_numpy(reconstruct(bundle, drawn[:1]).latents_nz)
    target = torch.from_numpy(drawn[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    found = negative_log_posterior(bundle.decoder, z, target)
    near = z + 0.1 * torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    assert (negative_log_posterior(bundle.decoder, near, target.expand(20, -1, -1, -1)) > found).all()


def test_the_likelihoods_variance_is_its_optimum(bundle, drawn):
    """With any other variance the Gaussian negative log likelihood of the same latent is larger."""
    z, target = torch.zeros(1, 3), torch.from_numpy(drawn[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    error = (bundle.decoder(z) - target).square().mean().item()
    found, pixels = negative_log_posterior(bundle.decoder, z, target).item(), target.numel()
    for variance in (0.5 * error, error, 2 * error):
        gaussian = 0.5 * pixels * (error / variance + np.log(variance)) - 0.5 * pixels
        assert gaussian >= found - 1e-2


def test_what_cannot_be_reconstructed_is_said(bundle, drawn):
    assert can_reconstruct(bundle.card) and not can_reconstruct({"decoder": None})
    with pytest.raises(ValueError, match="16, 16"):
        reconstruct(bundle, drawn[:, :8])
    bundle.decoder = None
    with pytest.raises(ValueError, match="no decoder"):
        reconstruct(bundle, drawn)
