import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch.distributions import Normal, kl_divergence

from derm_core.errors import ConfigError
from derm_core.nets.head import classification_loss
from derm_core.nets.vae import elbo_terms
from derm_core.training.losses import (
    free_bits_kl,
    gradient_difference,
    nt_xent_loss,
    ssim_loss,
)
from derm_core.training.tasks import Batch, VAETask


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1,
        torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1,
        progress=0.1,
    )


def test_vae_loss_is_the_negative_elbo_of_torch_distributions(make_vae_task, batch):
    task = make_vae_task().eval()
    torch.manual_seed(5)
    said = task(batch)
    torch.manual_seed(5)
    mu, logvar = task.vae.encode(batch.view_bchw)
    posterior = Normal(mu, (0.5 * logvar).exp())
    recon = task.vae.decode(posterior.rsample())
    sigma = torch.exp(torch.nn.functional.softplus(task.vae.log_sigma + 4) - 4)  # its soft floor
    reconstruction = -Normal(recon, sigma).log_prob(batch.target_bchw).sum(dim=(1, 2, 3)).mean()
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1).mean()
    assert said["reconstruction"].item() == pytest.approx(reconstruction.item(), rel=1e-5)
    assert said["kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    assert said["loss"].item() == pytest.approx(
        (reconstruction + task.recipe.beta * kl).item(), rel=1e-5
    )


def test_kl_weight_warms_up_in_training_and_is_full_in_evaluation(make_vae_task):
    task = make_vae_task()
    share = task.recipe.kl_warmup_fraction
    weights = [task.train().kl_weight(p) for p in (0.0, share / 2, share, 1.0)]
    assert weights == pytest.approx([0.0, task.recipe.beta / 2, task.recipe.beta, task.recipe.beta])
    assert task.eval().kl_weight(0.0) == task.recipe.beta


def test_vae_loss_is_float32_under_autocast(make_vae_task, batch):
    task: VAETask = make_vae_task()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = task(batch)
    assert {said[name].dtype for name in ("loss", "reconstruction", "kl", "output")} == {
        torch.float32
    }


@pytest.fixture
def two_views(batch) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return dataclasses.replace(
        batch, second=tuple(torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    )


def test_the_loss_of_two_views_is_the_sum_of_its_weighted_terms(make_views_task, two_views):
    task = make_views_task()
    recipe = task.recipe
    torch.manual_seed(5)
    said = task(two_views)
    views = torch.cat(
        [two_views.view_bchw, two_views.second[0]]
    )  # the target of this recipe is the view itself
    features = task.vae.backbone.pooled(views)
    mu, logvar = task.vae.posterior(features)
    kl = free_bits_kl(elbo_terms(views, views, mu, logvar, task.vae.log_sigma)[1], recipe.free_bits)
    first, second = task.projector(features).chunk(2)
    agreement = nt_xent_loss(first, second, first, second, recipe.temperature)
    values = 3 * 16 * 16
    elbo = (
        said["reconstruction"]
        + task.kl_weight(0.1) * kl
        + 0.5 * values * gradient_difference(said["output"], views)
        + 0.5 * values * ssim_loss(said["output"], views)
    )
    assert said["consistency"].item() == pytest.approx(agreement.item(), rel=1e-4)
    assert said["loss"].item() == pytest.approx((1e-3 * elbo + agreement).item(), rel=1e-4)
    assert said["output"].shape == (8, 3, 16, 16)
    assert said["elbo"].item() == pytest.approx(
        (said["reconstruction"] + task.kl_weight(0.1) * said["kl"]).item()
    )


def test_in_evaluation_every_recipe_has_the_plain_elbo(make_views_task, batch):
    said = make_views_task().eval()(batch)
    assert said["loss"].item() == pytest.approx((said["reconstruction"] + said["kl"]).item())
    assert "consistency" not in said


def test_agreement_is_float32_under_autocast(make_views_task, two_views):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = make_views_task()(two_views)
    assert {
        said[name].dtype for name in ("loss", "consistency", "gradient_difference", "dissimilarity")
    } == {torch.float32}


def test_a_batch_moves_with_its_second_view(two_views):
    moved = two_views.to(dtype=torch.float64)
    assert {images.dtype for images in (moved.view_bchw, moved.target_bchw, *moved.second)} == {
        torch.float64
    }


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "brier"])
def test_classification_losses_against_a_slow_loop(name):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 2, (7, 4)), rng.integers(0, 4, 7)
    losses = classification_loss(name)(torch.tensor(logits), torch.tensor(labels)).numpy()
    for row, label, value in zip(logits, labels, losses):
        p = np.exp(row) / np.exp(row).sum()
        expected = {
            "cross_entropy": -np.log(p[label]),
            "focal": -((1 - p[label]) ** 2) * np.log(p[label]),
            "brier": sum((p[c] - (c == label)) ** 2 for c in range(4)),
        }[name]
        assert value == pytest.approx(expected, rel=1e-9)
    if name == "cross_entropy":
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert losses.mean() == pytest.approx(log_loss(labels, p, labels=range(4)))


def test_unknown_loss_is_named():
    with pytest.raises(ConfigError, match="cross_entropy, focal, brier"):
        classification_loss("hinge")
