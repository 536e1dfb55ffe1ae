"""Traversal of a latent space: statistics against torch's KL, paths, and the encoder of a run."""

import shutil

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from derm_core.bundles.bundle import Bundle, load_extractor
from derm_core.bundles.predictor import Predictor
from derm_core.config import BackboneConfig, PretrainConfig, Recipe, to_dict
from derm_core.data.manifest import load_dataset
from derm_core.data.splits import SPLITS, split_dataset
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import BundleError, NotFound, RunError
from derm_core.insight import latents
from derm_core.insight.latents import LatentStatistics
from derm_core.insight.traversal_sources import open_traversal
from derm_core.insight.traverse import Traversal
from derm_core.nets.backbone import build_backbone, normalise
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import VAE_MEAN, VAE_STD, Decoder, build_vae, save_vae
from derm_core.workspace import REPOSITORY, Workspace
from tests.app.bundles import put_bundle, put_extractor
from tests.bundles.cards import make_card

SMALL = BackboneConfig(architecture="resnet18", stage=0)


@pytest.fixture
def pretraining(workspace):
    """A VAE as a finished run leaves it, two of its six dimensions made silent; and its validation images."""
    make_synth(workspace, "little", images=60, size=32)
    config = PretrainConfig(
        dataset="little",
        backbone=SMALL,
        input_size=16,
        recipe=Recipe(latent_dim=6, decoder_width=16),
    )
    vae = build_vae(SMALL, 16, 6, 16, seed=0).eval()
    with torch.no_grad():
        vae.to_mu.weight[4:] = vae.to_mu.bias[4:] = vae.to_logvar.weight[4:] = 0
        vae.to_mu.weight[:4] *= 40
    save_vae(workspace.run("pretrain-1").create().artefacts, vae, {"config": to_dict(config)})
    dataset = load_dataset(workspace, "little")
    split = split_dataset(dataset.labels, dataset.groups, config.split_seed)
    return vae, np.asarray(open_store(workspace, dataset, 16).images[split == SPLITS.index("val")])


@pytest.mark.slow
def test_kl_and_spread_are_those_of_the_validation_images_and_are_kept(
    workspace, pretraining, monkeypatch
):
    vae, images = pretraining
    with torch.no_grad():
        mu, logvar = vae.encode(normalise(torch.from_numpy(images), VAE_MEAN, VAE_STD))
    expected = (
        kl_divergence(Normal(mu.double(), (0.5 * logvar.double()).exp()), Normal(0.0, 1.0))
        .mean(0)
        .numpy()
    )
    traversal = open_traversal(workspace, "pretrain-1")
    assert (
        traversal.statistics.kl_d == pytest.approx(expected, rel=1e-3, abs=1e-6)
        and not traversal.estimated
    )
    assert traversal.statistics.mean_d == pytest.approx(mu.numpy().mean(0), abs=1e-5)
    assert traversal.statistics.active_d.tolist() == [
        i for i in np.argsort(-expected) if expected[i] > 0.01
    ]
    assert not {4, 5} & set(traversal.statistics.active_d)
    assert traversal.encode(images[:3]) == pytest.approx(mu[:3].numpy(), abs=1e-5)
    monkeypatch.setattr(latents, "validation_images", None)
    assert (
        open_traversal(workspace, "pretrain-1").statistics.kl_d == traversal.statistics.kl_d
    ).all(), "read again, not computed again"


@pytest.mark.slow
def test_decoded_images_are_the_decoder_s_means(workspace, pretraining):
    vae, images = pretraining
    traversal = open_traversal(workspace, "pretrain-1")
    z = traversal.encode(images[:2])
    with torch.no_grad():
        drawn = (vae.decode(torch.from_numpy(z)).clamp(-1, 1) + 1) / 2 * 255
    pictures = traversal.decode(z)
    assert pictures.shape == (2, 16, 16, 3) and pictures.dtype == np.uint8
    assert np.abs(pictures - drawn.permute(0, 2, 3, 1).numpy()).max() <= 0.51
    assert traversal.decode(z[:0]).shape == (0, 16, 16, 3)
    path = traversal.between(*z, steps=5)
    assert (
        path[0] == pytest.approx(z[0])
        and path[-1] == pytest.approx(z[1])
        and path[2] == pytest.approx(traversal.mean_of(z))
    )
    with pytest.raises(ValueError, match="16, 16, 3"):
        traversal.encode(np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.slow
def test_unknown_sources_and_lost_data_are_said(workspace, pretraining):
    with pytest.raises(NotFound):
        open_traversal(workspace, "nobody")
    workspace.dataset("little").info.unlink()
    with pytest.raises(RunError, match="little"):
        open_traversal(workspace, "pretrain-1")


@pytest.fixture
def shelf(workspace, monkeypatch):
    """A shelf of its own with the shipped classifier that was made from the shipped extractor."""
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    shutil.copytree(REPOSITORY / "models" / "vae-resnet18-64", workspace.models / "vae-resnet18-64")
    return workspace.models


@pytest.mark.slow
def test_a_model_made_from_an_extractor_of_the_shelf_has_its_encoder_and_statistics(
    workspace, shelf
):
    shutil.copytree(REPOSITORY / "models" / "skin-vae-resnet18-64", shelf / "skin-vae-resnet18-64")
    traversal, origin = (
        open_traversal(workspace, "vae-resnet18-64"),
        load_extractor("skin-vae-resnet18-64", workspace),
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert not traversal.estimated and traversal.source == "vae-resnet18-64"
    assert traversal.statistics.kl_d == pytest.approx(np.array(origin.card.latent.kl, np.float32))
    assert traversal.encode(images) == pytest.approx(origin.latents(images), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "there", ["nothing", "another extractor of that name", "a classifier of that name"]
)
def test_without_that_very_extractor_the_way_is_estimated(workspace, shelf, there):
    if there.startswith("another"):
        put_extractor(workspace, "skin-vae-resnet18-64")
    elif there.startswith("a classifier"):
        put_bundle(workspace, "skin-vae-resnet18-64", "vae")
    assert open_traversal(workspace, "vae-resnet18-64").estimated


def predictor(size: int) -> Predictor:
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=0), 1)
    torch.manual_seed(3)
    card = make_card(
        classes=["a", "b", "c"],
        input_size=size,
        features=64,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        temperature={"value": 1.5},
    )
    return Predictor(
        Bundle("own", None, card, Classifier(backbone, make_head(64, 8, 3, 1)).eval(), None)
    )


@pytest.mark.parametrize("size", [16, 24])
def test_a_path_towards_a_class_raises_its_probability_step_by_step(size):
    torch.manual_seed(0)
    decoder = Decoder(4, 16, 16).eval().requires_grad_(False)
    traversal = Traversal(
        "own",
        16,
        LatentStatistics.of(np.ones(4), np.zeros(4), np.ones(4)),
        False,
        decoder,
        None,
    )
    start, judge = np.array([0.1, -0.2, 0.3, 0], np.float32), predictor(size)
    latents, probabilities = traversal.towards(start, "b", judge, steps=4)
    assert (
        latents.shape == (4, 4)
        and (latents[0] == start).all()
        and probabilities.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    )
    assert (np.diff(probabilities[:, 1]) >= 0).all() and probabilities[-1, 1] > probabilities[0, 1]
    if size == 16:
        assert judge.predict(traversal.decode(latents)) == pytest.approx(probabilities, abs=0.02), (
            "what the predictor itself says"
        )
    with pytest.raises(ValueError, match="a, b, c, not d"):
        traversal.towards(start, "d", judge)
    with pytest.raises(BundleError, match="pretraining"):
        traversal.encode(np.zeros((1, 16, 16, 3), np.uint8))
