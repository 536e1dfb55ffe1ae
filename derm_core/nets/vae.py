"""The variational autoencoder: any backbone as encoder, a small decoder, one learned noise scale.

ELBO: Kingma & Welling 2014 (arXiv 1312.6114). The Gaussian likelihood's scale is one learned
scalar: sigma-VAE, Rybkin, Daniilidis & Levine 2021 (arXiv 2006.13202), which balances
reconstruction and KL without a hand-set weight. Images are in normalised space, (x - 0.5) / 0.5 in
[-1, 1].
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from ..config import BackboneConfig
from ..errors import RunError
from ..files import read_json, write_atomic, write_json
from ..seeds import Share, stream_seed
from .backbone import Backbone, FeatureNetwork, build_backbone, normalise

VAE_MEAN = VAE_STD = (0.5, 0.5, 0.5)
MIN_LOG_SIGMA = (
    -4.0
)  # sigma 0.018 in [-1, 1]: finer than the 8-bit step, below it the likelihood runs away
ACTIVE_VARIANCE = 0.01
BATCH = 64  # images or latents at a time outside training


class PlaneNorm(nn.GroupNorm):
    """GroupNorm computed on contiguous planes, whatever the layout around it; the output has the input's layout.

    On a CPU, torch's kernels for few channels a group in channels_last take three to four times as
    long as its kernels for planes and both copies together.
    """

    def forward(self, x_bchw: Tensor) -> Tensor:
        last = (
            x_bchw.is_contiguous(memory_format=torch.channels_last) and not x_bchw.is_contiguous()
        )
        out_bchw = super().forward(x_bchw.contiguous())
        return out_bchw.contiguous(memory_format=torch.channels_last) if last else out_bchw


class _WithBias(torch.autograd.Function):
    """A map that has its bias already, with the bias's gradient: oneDNN's own takes longer than the convolution."""

    @staticmethod
    def forward(ctx, x_bchw: Tensor, bias: Tensor) -> Tensor:
        return x_bchw.view_as(x_bchw)

    @staticmethod
    def backward(ctx, gradient_bchw: Tensor):
        return gradient_bchw, gradient_bchw.sum(
            (0, 2, 3), dtype=torch.promote_types(gradient_bchw.dtype, torch.float32)
        )


class UpsampledConv(nn.Conv2d):
    """Nearest upsampling to `side`, then a 3 x 3 convolution.

    joined: where that doubles the side, both as one transposed convolution of the small map with a
    4 x 4 kernel, each of its taps a sum of those of the 3 x 3 one that meet the same small pixel.
    The same function up to rounding, in 4/9 of the multiplications; see `Precision.joined`.
    """

    joined = False

    def __init__(self, channels: int, out_channels: int, side: int):
        super().__init__(channels, out_channels, 3, padding=1)
        self.side = side

    def forward(self, x_bchw: Tensor) -> Tensor:
        if not self.joined or self.side != 2 * x_bchw.shape[-1]:
            return super().forward(
                F.interpolate(x_bchw, size=(self.side, self.side), mode="nearest")
            )
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            x_bchw = x_bchw.contiguous(
                memory_format=torch.channels_last
            )  # the layout comes from the input alone
        assert self.bias is not None  # as it is made
        y_bchw = F.conv_transpose2d(
            x_bchw, self.joined_weight(), self.bias.detach(), stride=2, padding=1
        )
        return _WithBias.apply(y_bchw, self.bias)

    def joined_weight(self) -> Tensor:
        """The weight of doubling and 3 × 3 convolution in one: (in, out, 4, 4), float32.

        An axis's taps 0, 1, 2 fall on the small pixels before, at and behind it: from an even pixel
        before, at, at; from an odd one at, at, behind.
        """
        w = self.weight.permute(1, 0, 2, 3)
        w = torch.stack(
            [w[:, :, 2], w[:, :, 1] + w[:, :, 2], w[:, :, 0] + w[:, :, 1], w[:, :, 0]], 2
        )
        return torch.stack([w[..., 2], w[..., 1] + w[..., 2], w[..., 0] + w[..., 1], w[..., 0]], 3)


class Decoder(nn.Module):
    """Latent (B, Z) -> image (B, 3, size, size): a linear map to a small grid, then doublings.

    Each block: nearest upsampling to the next side, 3 x 3 convolution, GroupNorm, SiLU; the width
    halves (not below 16). Sides double from size / 2^n in 4 to 7 up to `size`; any size works.
    """

    def __init__(self, latent_dim: int, size: int, width: int):
        super().__init__()
        self.size, self.width = size, width
        self.sides = [size]
        while self.sides[0] >= 8:
            self.sides.insert(0, self.sides[0] // 2)
        self.widths = [max(16, width >> i) if i else width for i in range(len(self.sides))]
        self.stem = nn.Linear(latent_dim, width * self.sides[0] ** 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(UpsampledConv(a, b, side), PlaneNorm(math.gcd(8, b), b), nn.SiLU())
            for a, b, side in zip(self.widths, self.widths[1:], self.sides[1:])
        )
        self.image = nn.Conv2d(self.widths[-1], 3, 3, padding=1)

    def forward(self, z_bz: Tensor) -> Tensor:
        x = F.silu(self.stem(z_bz)).view(-1, self.width, self.sides[0], self.sides[0])
        for block in self.blocks:
            x = block(x)
        return self.image(x)


class VAE(nn.Module):
    """Encoder, decoder and noise scale. forward is left to the task; use encode, decode, sample."""

    def __init__(self, backbone: Backbone, size: int, latent_dim: int, decoder_width: int):
        super().__init__()
        self.size, self.latent_dim, self.decoder_width = size, latent_dim, decoder_width
        self.backbone = backbone
        self.to_mu = nn.Linear(backbone.width, latent_dim)
        self.to_logvar = nn.Linear(backbone.width, latent_dim)
        nn.init.zeros_(self.to_logvar.bias)
        self.decoder = Decoder(latent_dim, size, decoder_width)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def encode(self, x_bchw: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images -> mu and log variance, (B, Z) each, float32; logvar is kept in [-10, 10]."""
        return self.posterior(self.backbone.pooled(x_bchw))

    def posterior(self, features_bd: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the encoder's pooled features (B, D)."""
        return self.to_mu(features_bd).float(), self.to_logvar(features_bd).float().clamp(-10, 10)

    def decode(self, z_bz: Tensor) -> Tensor:
        """Latents (B, Z) -> the mean image (B, 3, S, S) in normalised space."""
        return self.decoder(z_bz)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n images drawn from the prior, (n, 3, S, S) in [0, 1]; `generator` is a CPU one."""
        return decode_colours(self.decoder, torch.randn(n, self.latent_dim, generator=generator))


@torch.inference_mode()
def encode(vae: VAE, images_nssc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of images, in batches, computed where the VAE is.

    Args:
        vae: in eval mode.
        images_nssc: uint8 (N, S, S, 3), sRGB; may be memory-mapped.

    Returns:
        Mean and log variance, float32 (N, Z) each.
    """
    moments = in_batches(
        lambda batch: torch.stack(vae.encode(normalise(batch, VAE_MEAN, VAE_STD)), 1),
        images_nssc,
        (2, vae.latent_dim),
        vae.log_sigma.device,
    )
    return moments[:, 0], moments[:, 1]


@torch.inference_mode()
def decode(decoder: Decoder, latents_nz: np.ndarray) -> np.ndarray:
    """Mean images of latents, in batches, computed where the decoder is.

    Args:
        decoder: in eval mode.
        latents_nz: (N, Z), any float type.

    Returns:
        uint8 (N, S, S, 3), sRGB.
    """

    def draw(z_bz: Tensor) -> Tensor:
        x_bchw = (decoder(z_bz.float()).float().clamp(-1, 1) + 1) * 127.5
        return x_bchw.round().to(torch.uint8).permute(0, 2, 3, 1)

    side, device = decoder.size, decoder.stem.weight.device
    return in_batches(draw, latents_nz, (side, side, 3), device, np.uint8)


def in_batches(
    function: Callable[[Tensor], Tensor],
    rows: np.ndarray,
    shape: tuple[int, ...],
    device: torch.device,
    dtype: type[np.generic] = np.float32,
) -> np.ndarray:
    """`function` of all rows of an array, BATCH at a time on `device`: (N, *shape) of `dtype`."""
    out = np.empty((len(rows), *shape), dtype)
    for start in range(0, len(rows), BATCH):
        batch = torch.from_numpy(np.array(rows[start : start + BATCH])).to(device)
        out[start : start + BATCH] = function(batch).cpu().numpy()
    return out


def decode_colours(decoder: Decoder, z_bz: Tensor) -> Tensor:
    """The mean images of latents, (B, 3, S, S) in [0, 1], differentiable."""
    return to_colours(decoder(z_bz.to(decoder.stem.weight)))


def to_colours(images_bchw: Tensor) -> Tensor:
    """From the VAE's normalised space to colours in [0, 1], float32."""
    return (images_bchw.float() * VAE_STD[0] + VAE_MEAN[0]).clamp(0, 1)


def latents_like(mu_nz: Tensor, logvar_nz: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Latents (n, Z) from the Gaussian with the mean and covariance of the posterior over images.

    Where its KL weighs little, a VAE's images fill a small part of the prior (Ghosh et al. 2020,
    arXiv 1903.12436, section 4).
    """
    mean_z = mu_nz.mean(0)
    among = torch.randn(n, len(mu_nz), generator=generator) @ (mu_nz - mean_z) / len(mu_nz) ** 0.5
    return (
        mean_z
        + among
        + torch.randn(n, len(mean_z), generator=generator) * logvar_nz.exp().mean(0).sqrt()
    )


def build_vae(
    config: BackboneConfig, size: int, latent_dim: int, decoder_width: int, seed: int
) -> VAE:
    """A VAE with everything randomly initialised, the same for the same seed."""
    backbone = build_backbone(config, stream_seed(seed, "init", "encoder"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", "decoder"))
        return VAE(backbone, size, latent_dim, decoder_width)


def build_projector(width: int, dimensions: int, seed: int) -> nn.Sequential:
    """Pooled features (B, width) -> the space (B, dimensions) in which two views are compared.

    Two layers, as in Chen et al. 2020 (arXiv 2002.05709). Needed in training alone; features are
    taken before it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", "projector"))
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dimensions))


def reparameterise(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None, share: Share | None = None
) -> Tensor:
    """z ~ N(mu, exp(logvar)), differentiable in both. share: which of a global batch these images are."""
    shape = mu.shape if share is None else (share.total, *mu.shape[1:])
    noise = torch.randn(shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + (noise if share is None else noise[share.of_batch]) * torch.exp(0.5 * logvar)


def elbo_terms(
    recon: Tensor, target: Tensor, mu: Tensor, logvar: Tensor, log_sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """The two terms of the negative ELBO, in nats and float32.

    Returns the Gaussian negative log likelihood (B,), summed over channels and pixels, and
    KL(N(mu, exp(logvar)) || N(0, 1)) per latent dimension (B, Z), by its closed form.
    log_sigma has a soft floor at MIN_LOG_SIGMA (Rybkin et al. 2021, their code), smooth so that its
    gradient stays.
    """
    log_sigma = floored(log_sigma.float())
    squared = (recon.float() - target.float()).square().sum((1, 2, 3))
    nll = 0.5 * squared * torch.exp(-2 * log_sigma) + recon[0].numel() * (
        log_sigma + 0.5 * math.log(2 * math.pi)
    )
    mu, logvar = mu.float(), logvar.float()
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
    return nll, kl


def floored(log_sigma: Tensor) -> Tensor:
    """log_sigma with its soft floor, MIN_LOG_SIGMA + softplus(log_sigma - MIN_LOG_SIGMA)."""
    return MIN_LOG_SIGMA + F.softplus(log_sigma - MIN_LOG_SIGMA)


def active_units(mu_nz: Tensor) -> int:
    """Latent dimensions whose posterior mean varies over data by more than 0.01 (Burda et al. 2016)."""
    return int((mu_nz.float().var(dim=0) > ACTIVE_VARIANCE).sum())


class MuEncoder(FeatureNetwork):
    """A VAE's encoder with mu as its feature: the option `pooling="mu"`, in the place of a Backbone."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.backbone, self.to_mu, self.width = vae.backbone, vae.to_mu, vae.latent_dim
        self.architecture, self.stage = vae.backbone.architecture, vae.backbone.stage
        self.model_args = vae.backbone.model_args

    def pooled(self, x_bchw: Tensor) -> Tensor:
        return self.to_mu(self.backbone.pooled(x_bchw)).float()


def save_vae(folder: Path, vae: VAE, meta: dict) -> dict:
    """Write vae.safetensors and vae.json (what rebuilds it, its SHA-256, and `meta`); returns the JSON."""
    data = save({key: value.detach().cpu().contiguous() for key, value in vae.state_dict().items()})
    card = {
        **meta,
        "architecture": vae.backbone.architecture,
        "stage": vae.backbone.stage,
        "model_args": vae.backbone.model_args,
        "size": vae.size,
        "latent_dim": vae.latent_dim,
        "decoder_width": vae.decoder_width,
        "mean": list(VAE_MEAN),
        "std": list(VAE_STD),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write_atomic(Path(folder) / "vae.safetensors", data)
    write_json(Path(folder) / "vae.json", card)
    return card


def load_vae(folder: Path) -> tuple[VAE, dict]:
    """The VAE of a run's artefacts, in eval mode, and its JSON. Raises RunError when it is not intact."""
    folder = Path(folder)
    try:
        card = read_json(folder / "vae.json")
        data = (folder / "vae.safetensors").read_bytes()
        if hashlib.sha256(data).hexdigest() != card["sha256"]:
            raise ValueError("vae.safetensors does not match the SHA-256 in vae.json")
        backbone = Backbone(
            BackboneConfig(architecture=card["architecture"], stage=card["stage"]),
            card["model_args"],
        )
        vae = VAE(backbone, card["size"], card["latent_dim"], card["decoder_width"])
        vae.load_state_dict(load(data), strict=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(
            f"The VAE in {folder.parent.name}/{folder.name} cannot be read ({error}); "
            "repeat the pretraining run."
        ) from error
    return vae.eval(), card


def load_encoder(folder: Path, pooling: str = "pooled") -> tuple[FeatureNetwork, dict]:
    """The encoder of a run's VAE: its Backbone, or a MuEncoder for pooling="mu"."""
    vae, card = load_vae(folder)
    return encoder_of(vae, pooling), card


def encoder_of(vae: VAE, pooling: str = "pooled") -> FeatureNetwork:
    """The part of a VAE that gives its features, in eval mode: its Backbone, or a MuEncoder for pooling="mu"."""
    encoder: FeatureNetwork = vae.backbone if pooling == "pooled" else MuEncoder(vae)
    return encoder.eval()
