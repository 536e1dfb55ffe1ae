"""Tasks: what is learned from a batch. One engine trains them all.

A task is an `nn.Module` whose forward takes a `Batch` and returns {"loss", "output", components…}:
"loss" a scalar to minimise, "output" what the network said (B, …); every other scalar is shown in
the run's curves. Losses are computed in float32 whatever the network computes in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Recipe, require
from ..nets.vae import VAE, elbo_terms, reparameterise
from ..seeds import Share


@dataclass(frozen=True)
class Batch:
    """What a task sees of one step.

    view_bchw: augmented and normalised images; target_bchw: the same geometric view, clean and
    normalised; labels_b: int64 class indices or None; progress: share of the training done, 0 to 1;
    share: which images of a global batch these are, where several processes compute it; what a task
    draws must be drawn for all of them.
    """

    view_bchw: Tensor
    target_bchw: Tensor
    labels_b: Tensor | None = None
    progress: float = 0.0
    share: Share | None = None

    def __len__(self) -> int:
        return len(self.view_bchw)

    def to(self, **arguments) -> Batch:
        """The batch with `Tensor.to` applied to its images (e.g. memory_format=…)."""
        return dataclasses.replace(self, view_bchw=self.view_bchw.to(**arguments),
                                   target_bchw=self.target_bchw.to(**arguments))


class Task(nn.Module):
    """Base of all tasks. loss_scale: the engine differentiates loss / loss_scale, so that gradient
    clipping sees gradients of the same size whatever unit the loss is shown in."""

    loss_scale: float = 1.0

    def networks(self) -> list[nn.Module]:
        """What `torch.compile` is worth: the modules that do the arithmetic, called as modules."""
        return []


class VAETask(Task):
    """Negative ELBO in nats per image: reconstruction (sum over pixels) + weight · KL.

    In training the KL's weight rises linearly from 0 to the recipe's beta over
    `kl_warmup_fraction` of the training (Bowman et al. 2016, Sønderby et al. 2016); in eval mode it
    is beta at once, so that validation losses of different epochs can be compared. Noise of the
    reparameterisation (Kingma & Welling 2014) comes from torch's global generator.
    """

    def __init__(self, vae: VAE, recipe: Recipe):
        super().__init__()
        self.vae, self.recipe = vae, recipe
        self.loss_scale = float(3 * vae.size * vae.size)

    def networks(self) -> list[nn.Module]:
        return [self.vae.backbone, self.vae.decoder]

    def kl_weight(self, progress: float) -> float:
        """beta times the warm-up's share at `progress` (0 to 1)."""
        if not self.training or self.recipe.kl_warmup_fraction == 0:
            return self.recipe.beta
        return self.recipe.beta * min(1.0, progress / self.recipe.kl_warmup_fraction)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """{"loss", "output" reconstruction (B,3,S,S) in normalised space, "mu" (B,Z),
        "reconstruction" and "kl" in nats per image}."""
        mu_bz, logvar_bz = self.vae.encode(batch.view_bchw)
        recon_bchw = self.vae.decode(reparameterise(mu_bz, logvar_bz, share=batch.share)).float()
        with torch.autocast(recon_bchw.device.type, enabled=False):
            nll_b, kl_bz = elbo_terms(recon_bchw, batch.target_bchw, mu_bz, logvar_bz, self.vae.log_sigma)
            reconstruction, kl = nll_b.mean(), kl_bz.sum(dim=1).mean()
            loss = reconstruction + self.kl_weight(batch.progress) * kl
        return {"loss": loss, "output": recon_bchw, "reconstruction": reconstruction, "kl": kl, "mu": mu_bz}


class ClassifyTask(Task):
    """Supervised classification of a `Classifier` (or any module from images to logits (B,C))."""

    def __init__(self, classifier: nn.Module, loss: str = "cross_entropy"):
        super().__init__()
        self.classifier = classifier
        self.criterion = classification_loss(loss)

    def networks(self) -> list[nn.Module]:
        return [self.classifier]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """{"loss" mean over the batch, "output" logits (B,C) float32, "accuracy"}."""
        logits_bc = self.classifier(batch.view_bchw).float()
        with torch.autocast(logits_bc.device.type, enabled=False):
            loss = self.criterion(logits_bc, batch.labels_b).mean()
        accuracy = (logits_bc.detach().argmax(dim=1) == batch.labels_b).float().mean()
        return {"loss": loss, "output": logits_bc, "accuracy": accuracy}


def classification_loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss from logits (…,C) and labels (…) to one value per image (…).

    cross_entropy in nats; focal with gamma 2 (Lin et al. 2017, eq. 4); brier, the squared distance
    of the softmax from the one-hot label (Brier 1950), 0 to 2.
    """
    losses = {"cross_entropy": _cross_entropy, "focal": _focal, "brier": _brier}
    require(name in losses, "loss", name, ", ".join(losses))
    return losses[name]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return -F.log_softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def _focal(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = -_cross_entropy(logits, labels)
    return -(1 - log_p.exp()) ** 2 * log_p


def _brier(logits: Tensor, labels: Tensor) -> Tensor:
    target = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return (logits.softmax(dim=-1) - target).square().sum(dim=-1)
