"""The VAE: ELBO terms against torch.distributions, shapes over families, and files that are checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from derm_core.config import BackboneConfig
from derm_core.errors import RunError
from derm_core.nets.vae import (
    MIN_LOG_SIGMA,
    PlaneNorm,
    UpsampledConv,
    active_units,
    build_vae,
    decode,
    elbo_terms,
    encode,
    floored,
    latents_like,
    load_encoder,
    load_vae,
    reparameterise,
    save_vae,
)

FAMILIES = {
    "resnet18": 3,
    "mobilenetv2_100": 2,
    "convnext_atto": 1,
    "regnety_002": 3,
    "vit_tiny_patch16_224": 1,
}
SMALL = BackboneConfig(architecture="resnet18", stage=1)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_reconstruction_is_the_gaussian_log_likelihood_summed_over_pixels():
    recon, target, log_sigma = draw(3, 3, 8, 8), draw(3, 3, 8, 8, seed=1), torch.tensor(-0.7)
    nll, _ = elbo_terms(recon, target, draw(3, 5), draw(3, 5), log_sigma)
    sigma = floored(log_sigma).exp().double()
    expected = -Normal(recon.double(), sigma).log_prob(target.double()).sum(dim=(1, 2, 3))
    assert torch.allclose(nll.double(), expected, rtol=1e-5)


def test_kl_is_that_of_torch_distributions_per_dimension():
    mu, logvar = draw(4, 6), draw(4, 6, seed=2)
    _, kl = elbo_terms(draw(4, 3, 4, 4), draw(4, 3, 4, 4), mu, logvar, torch.tensor(0.0))
    expected = kl_divergence(Normal(mu.double(), (0.5 * logvar.double()).exp()), Normal(0.0, 1.0))
    assert kl.shape == (4, 6) and torch.allclose(kl.double(), expected, rtol=1e-5, atol=1e-6)


def test_kl_is_zero_at_the_prior_and_terms_are_float32_under_autocast_types():
    zero = torch.zeros(2, 3, dtype=torch.bfloat16)
    nll, kl = elbo_terms(
        draw(2, 3, 4, 4).bfloat16(), draw(2, 3, 4, 4), zero, zero, torch.tensor(0.0)
    )
    assert nll.dtype == kl.dtype == torch.float32 and torch.equal(kl, torch.zeros(2, 3))


def test_the_best_log_sigma_is_the_root_mean_square_error():
    """Sigma-VAE's closed form (Rybkin et al., eq. 6): the optimum sigma^2 is the mean squared error."""
    recon, target = draw(4, 3, 8, 8), draw(4, 3, 8, 8, seed=3)
    best = (recon - target).square().mean().sqrt().log()
    log_sigma = (MIN_LOG_SIGMA + torch.log(torch.expm1(best - MIN_LOG_SIGMA))).requires_grad_()
    elbo_terms(recon, target, draw(4, 2), draw(4, 2), log_sigma)[0].sum().backward()
    assert abs(log_sigma.grad.item()) < 1e-2
    assert floored(torch.tensor(-50.0)).item() >= MIN_LOG_SIGMA


def test_reparameterised_draws_have_the_posteriors_moments():
    mu, logvar = (
        torch.tensor([[1.0, -2.0]]).expand(20000, 2),
        torch.tensor([[0.0, -2.0]]).expand(20000, 2),
    )
    z = reparameterise(mu, logvar, torch.Generator().manual_seed(0))
    assert torch.allclose(z.mean(0), torch.tensor([1.0, -2.0]), atol=0.03)
    assert torch.allclose(z.std(0), (0.5 * logvar[0]).exp(), rtol=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "stage"), FAMILIES.items())
def test_shapes_and_gradients_for_every_family(architecture, stage):
    vae = build_vae(BackboneConfig(architecture=architecture, stage=stage), 64, 16, 32, seed=0)
    x = draw(2, 3, 64, 64)
    mu, logvar = vae.encode(x)
    recon = vae.decode(reparameterise(mu, logvar))
    assert mu.shape == logvar.shape == (2, 16) and recon.shape == x.shape
    nll, kl = elbo_terms(recon, x, mu, logvar, vae.log_sigma)
    (nll.mean() + kl.sum(1).mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in vae.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 28, 64, 100, 224])
def test_the_decoder_meets_any_size(size):
    vae = build_vae(SMALL, size, 8, 16, seed=0)
    images = vae.sample(2, torch.Generator().manual_seed(0))
    assert images.shape == (2, 3, size, size) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, vae.sample(2, torch.Generator().manual_seed(0)))


def test_latents_like_those_of_images_have_their_mean_and_covariance():
    mixing = draw(5, 5, seed=4)
    mu, logvar = draw(400, 5, seed=5) @ mixing + 2, torch.full((400, 5), -2.0)
    results = latents_like(mu, logvar, 20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(results.mean(0), mu.mean(0), atol=0.1)
    assert torch.allclose(
        torch.cov(results.T), torch.cov(mu.T) + torch.eye(5) * math.exp(-2), atol=0.2
    )
    few = latents_like(
        mu[:2], logvar[:2] - 20, 3, torch.Generator().manual_seed(0)
    )  # two images span one line
    assert torch.linalg.matrix_rank(few - few.mean(0), atol=1e-2) == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_decoders_norm_is_torchs_group_norm_in_every_layout(layout):
    ours, torchs = PlaneNorm(4, 8), torch.nn.GroupNorm(4, 8)
    results = []
    for norm in (ours, torchs):
        norm.load_state_dict({"weight": draw(8, seed=1), "bias": draw(8, seed=2)})
        x = (3 * draw(3, 8, 5, 5) + 1).contiguous(memory_format=layout).requires_grad_()
        y = norm(x)
        y.mul(draw(3, 8, 5, 5, seed=3)).sum().backward()
        assert y.is_contiguous(memory_format=layout)
        results.append((y, x.grad, norm.weight.grad, norm.bias.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_doublings_joined_with_their_convolutions_are_the_same_function(layout):
    x, wanted = draw(3, 6, 5, 5), draw(3, 4, 10, 10, seed=1)
    results = []
    for joined in (False, True):
        layer = UpsampledConv(6, 4, 10).double()
        layer.load_state_dict({"weight": draw(4, 6, 3, 3, seed=2), "bias": draw(4, seed=3)})
        layer, layer.joined = layer.to(memory_format=layout), joined
        given = x.double().contiguous(memory_format=layout).requires_grad_()
        y = layer(given)
        (y * wanted).sum().backward()
        assert y.is_contiguous(memory_format=layout)
        results.append((y, given.grad, layer.weight.grad, layer.bias.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [64, 100])
def test_a_joined_decoder_keeps_its_names_and_its_layout(size):
    decoder = build_vae(SMALL, size, 8, 16, seed=0).decoder.to(memory_format=torch.channels_last)
    names, plain = list(decoder.state_dict()), decoder(draw(2, 8))
    for layer in decoder.modules():
        if isinstance(layer, UpsampledConv):
            layer.joined = True
    maps = []
    for block in decoder.blocks:
        block.register_forward_hook(lambda module, given, out: maps.append(out))
    torch.testing.assert_close(decoder(draw(2, 8)), plain, rtol=1e-4, atol=1e-5)
    assert list(decoder.state_dict()) == names
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in maps)


def test_the_default_decoder_ships_in_two_megabytes_of_float16():
    vae = build_vae(SMALL, 64, 128, 256, seed=0)
    assert 2 * sum(p.numel() for p in vae.decoder.parameters()) <= 2 * 2**20


def test_active_units_counts_dimensions_that_move():
    mu = torch.zeros(200, 4)
    mu[:, 0], mu[:, 1] = draw(200), 0.05 * draw(200, seed=1)
    assert active_units(mu) == 1


@pytest.mark.slow
def test_saved_and_loaded_alike_and_refused_when_changed(tmp_path):
    vae = build_vae(SMALL, 16, 8, 16, seed=4).eval()
    save_vae(tmp_path, vae, {"run_id": "pretrain-1"})
    again, meta = load_vae(tmp_path)
    x = draw(2, 3, 16, 16)
    assert torch.equal(vae.encode(x)[0], again.encode(x)[0]) and meta["run_id"] == "pretrain-1"
    encoder, _ = load_encoder(tmp_path)
    assert torch.equal(encoder.pooled(x), vae.backbone.pooled(x))
    assert torch.equal(load_encoder(tmp_path, "mu")[0].pooled(x), vae.encode(x)[0])
    data = bytearray((tmp_path / "vae.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "vae.safetensors").write_bytes(bytes(data))
    with pytest.raises(RunError, match="SHA-256"):
        load_vae(tmp_path)


def test_encode_and_decode_in_batches_equal_one_pass(monkeypatch):
    vae = build_vae(BackboneConfig(stage=0), 16, 4, 16, seed=0).eval()
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    x_bchw = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        expected = vae.encode(x_bchw)
        drawn = (vae.decode(expected[0]).clamp(-1, 1) + 1) * 127.5
    monkeypatch.setattr("derm_core.nets.vae.BATCH", 3)
    mu, logvar = encode(vae, images)
    np.testing.assert_allclose(mu, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logvar, expected[1], rtol=1e-4, atol=1e-5)
    pictures = decode(vae.decoder, mu.astype(np.float64))
    assert pictures.dtype == np.uint8
    np.testing.assert_allclose(pictures, drawn.permute(0, 2, 3, 1), atol=0.51)
    assert encode(vae, images[:0])[0].shape == (0, 4)
    assert decode(vae.decoder, mu[:0]).shape == (0, 16, 16, 3)
