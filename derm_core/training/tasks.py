"""Tasks: what is learned from a batch. One engine trains them all.

A task is an `nn.Module` whose forward takes a `Batch` and returns {"loss", "output", components…}:
"loss" a scalar to minimise, "output" what the network said (B, …); every other scalar is shown in
the run's curves. Losses are computed in float32 whatever the network computes in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config import PretrainConfig, Recipe
from ..nets.head import classification_loss
from ..nets.vae import VAE, build_projector, build_vae, elbo_terms, reparameterise
from ..seeds import Share
from .distributed import gather_with_gradient
from .losses import free_bits_kl, gradient_difference, nt_xent_loss, ssim_loss


@dataclass(frozen=True)
class Batch:
    """What a task sees of one step.

    view_bchw: augmented and normalised images; target_bchw: the same geometric view, clean and
    normalised; labels_b: int64 class indices or None; progress: share of the training done, 0 to 1;
    share: which images of a global batch these are, where several processes compute it; what a task
    draws must be drawn for all of them. second: (view, target) of another, independent view of each image.
    """

    view_bchw: Tensor
    target_bchw: Tensor
    labels_b: Tensor | None = None
    progress: float = 0.0
    share: Share | None = None
    second: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.view_bchw)

    def to(self, **arguments: Any) -> Batch:
        """The batch with `Tensor.to` applied to its images (e.g. memory_format=…)."""
        second = self.second
        if second is not None:
            second = second[0].to(**arguments), second[1].to(**arguments)
        return dataclasses.replace(
            self,
            view_bchw=self.view_bchw.to(**arguments),
            target_bchw=self.target_bchw.to(**arguments),
            second=second,
        )


class Task(nn.Module):
    """Base of all tasks.

    Attributes:
        loss_scale: the engine differentiates loss / loss_scale, so that gradient clipping sees gradients
            of the same size whatever unit the loss is reported in.
    """

    loss_scale: float = 1.0

    def networks(self) -> list[nn.Module]:
        """What `torch.compile` is worth: the modules that do the arithmetic, called as modules."""
        return []


class VAETask(Task):
    """Negative ELBO in nats per image, reconstruction (sum over pixels) + weight · KL, and what the recipe adds to it.

    In training the KL's weight rises linearly from 0 to the recipe's beta over `kl_warmup_fraction` of the
    training (Bowman et al. 2016, Sønderby et al. 2016), the ELBO, with the recipe's edge and structure terms,
    counts `elbo_weight`, and a batch with a second view adds `consistency` times the agreement of both views'
    projected features, reconstructing both. In eval mode the loss is the ELBO with all of beta and nothing else,
    so that validation losses of all epochs and recipes can be compared. Noise of the reparameterisation (Kingma &
    Welling 2014) comes from torch's global generator. seed: of the projector's initial weights.
    """

    def __init__(self, vae: VAE, recipe: Recipe, seed: int = 0):
        super().__init__()
        self.vae, self.recipe = vae, recipe
        self.values = float(3 * vae.size * vae.size)
        self.loss_scale = recipe.elbo_weight * self.values + recipe.consistency
        self.projector = (
            build_projector(vae.backbone.width, recipe.projection_dim, seed)
            if recipe.consistency
            else None
        )

    def networks(self) -> list[nn.Module]:
        return [self.vae.backbone, self.vae.decoder]

    def kl_weight(self, progress: float) -> float:
        """beta times the warm-up's share at `progress` (0 to 1)."""
        if not self.training or self.recipe.kl_warmup_fraction == 0:
            return self.recipe.beta
        return self.recipe.beta * min(1.0, progress / self.recipe.kl_warmup_fraction)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its terms; with two views B counts both, one after the other.

        Returns:
            "loss"; "output", the reconstruction (B, 3, S, S) in normalised space; "mu" (B, Z);
            "reconstruction" and "kl" in nats per image; in training each further term of the recipe,
            unweighted.
        """
        views, targets = [batch.view_bchw], [batch.target_bchw]
        if batch.second is not None:
            views.append(batch.second[0])
            targets.append(batch.second[1])
        features_bd = self.vae.backbone.pooled(concatenated(views))
        mu_bz, logvar_bz = self.vae.posterior(features_bd)
        z_bz = torch.cat(
            [
                reparameterise(mu, logvar, share=batch.share)
                for mu, logvar in zip(mu_bz.chunk(len(views)), logvar_bz.chunk(len(views)))
            ]
        )
        recon_bchw = self.vae.decode(z_bz).float()
        projected_bd = (
            self.projector(features_bd) if self.training and self.projector is not None else None
        )
        with torch.autocast(recon_bchw.device.type, enabled=False):
            target_bchw = concatenated(
                views if self.recipe.target == "view" and self.training else targets
            )
            nll_b, kl_bz = elbo_terms(recon_bchw, target_bchw, mu_bz, logvar_bz, self.vae.log_sigma)
            terms = {"reconstruction": nll_b.mean(), "kl": kl_bz.sum(dim=1).mean()}
            if self.training:
                loss, more = self._objective(
                    terms, recon_bchw, target_bchw, kl_bz, projected_bd, batch
                )
                terms |= more
            else:
                loss = terms["reconstruction"] + self.recipe.beta * terms["kl"]
        return {"loss": loss, "output": recon_bchw, "mu": mu_bz, **terms}

    def _objective(
        self,
        terms: dict[str, Tensor],
        recon_bchw: Tensor,
        target_bchw: Tensor,
        kl_bz: Tensor,
        projected_bd: Tensor | None,
        batch: Batch,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The training's loss and the recipe's further terms."""
        recipe, more = self.recipe, {}
        elbo = terms["reconstruction"] + self.kl_weight(batch.progress) * terms["kl"]
        if self.loss_scale != self.values:  # the loss shown is another than the ELBO
            more["elbo"] = elbo
        if recipe.free_bits:
            elbo = terms["reconstruction"] + self.kl_weight(batch.progress) * free_bits_kl(
                whole(kl_bz, batch), recipe.free_bits
            )
        if recipe.gradient_weight:
            more["gradient_difference"] = gradient_difference(recon_bchw, target_bchw)
            elbo = elbo + recipe.gradient_weight * self.values * more["gradient_difference"]
        if recipe.ssim_weight:
            more["dissimilarity"] = ssim_loss(recon_bchw, target_bchw)
            elbo = elbo + recipe.ssim_weight * self.values * more["dissimilarity"]
        loss = recipe.elbo_weight * elbo
        if projected_bd is not None and batch.second is not None:
            first_bd, second_bd = projected_bd.float().chunk(2)
            more["consistency"] = nt_xent_loss(
                first_bd,
                second_bd,
                whole(first_bd, batch),
                whole(second_bd, batch),
                recipe.temperature,
                batch.share.begin if batch.share else 0,
            )
            loss = loss + recipe.consistency * more["consistency"]
        return loss, more


def vae_task(config: PretrainConfig) -> VAETask:
    """The task of a pretraining, with its initial weights."""
    recipe = config.recipe
    vae = build_vae(
        config.backbone, config.input_size, recipe.latent_dim, recipe.decoder_width, config.seed
    )
    return VAETask(vae, recipe, config.seed)


def concatenated(parts: list[Tensor]) -> Tensor:
    """`torch.cat` without a copy where there is one part."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def whole(rows_nd: Tensor, batch: Batch) -> Tensor:
    """The rows of the global batch that `batch` is a share of; of each view by itself where there are two."""
    if batch.share is None:
        return rows_nd
    return torch.cat([gather_with_gradient(part) for part in rows_nd.split(len(batch))])


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
        if batch.labels_b is None:
            raise ValueError("a batch for classification has labels")
        logits_bc = self.classifier(batch.view_bchw).float()
        with torch.autocast(logits_bc.device.type, enabled=False):
            loss = self.criterion(logits_bc, batch.labels_b).mean()
        accuracy = (logits_bc.detach().argmax(dim=1) == batch.labels_b).float().mean()
        return {"loss": loss, "output": logits_bc, "accuracy": accuracy}
