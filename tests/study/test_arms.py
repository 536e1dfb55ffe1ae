"""Arms: names and order, what extractors are built, and what happens where weights are missing."""

import dataclasses

import numpy as np
import pytest
import torch

from derm_core.arms import arm_file, arm_label, in_order
from derm_core.config import BackboneConfig, StudyConfig
from derm_core.errors import ConfigError, RunError, WeightsUnavailable
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import build_vae, save_vae
from derm_core.study.arms import build_extractors, resolve_arms

SMALL = BackboneConfig(architecture="resnet18", stage=1)


@pytest.fixture
def config(workspace):
    run = workspace.run("pretrain-1").create()
    save_vae(run.artefacts, build_vae(SMALL, 32, 8, 16, seed=3), {"dataset": "tiny"})
    return StudyConfig(
        dataset="tiny", backbone=SMALL, input_size=32, vae_run="pretrain-1", seeds=(0, 1)
    )


@pytest.fixture
def no_imagenet(monkeypatch):
    def load(config):
        raise WeightsUnavailable("Put the file into the weights folder.")

    monkeypatch.setattr("derm_core.study.arms.load_imagenet", load)


def images(count=4):
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    )


def test_names_and_order_are_those_of_every_table():
    mixed = ["random", "bundle:mole-net", "both", "majority", "imagenet", "vae"]
    assert in_order(mixed) == ["vae", "imagenet", "both", "bundle:mole-net", "random", "majority"]
    assert [arm_label(arm) for arm in in_order(mixed)] == [
        "VAE (from scratch)",
        "ImageNet",
        "VAE + ImageNet",
        "mole-net",
        "Random initialisation",
        "Majority class",
    ]
    assert arm_file("bundle:mole-net") == "bundle_mole-net"


@pytest.mark.slow
def test_the_control_has_one_initialisation_a_seed(workspace, config):
    built = build_extractors("random", config, workspace)
    again = build_extractors("random", config, workspace)
    assert len(built) == 2 and built[0].identity != built[1].identity
    assert [one.identity for one in built] == [one.identity for one in again]


@pytest.mark.slow
def test_the_vae_arm_is_the_encoder_of_its_run(workspace, config):
    [extractor] = build_extractors("vae", config, workspace)
    vae = build_vae(SMALL, 32, 8, 16, seed=3).eval()
    with torch.no_grad():
        expected = vae.backbone.pooled(extractor.normalise(images()))
    torch.testing.assert_close(extractor.features(images()), expected)


def test_mu_pooling_gives_the_posterior_mean(workspace, config):
    [extractor] = build_extractors("vae", dataclasses.replace(config, pooling="mu"), workspace)
    vae = build_vae(SMALL, 32, 8, 16, seed=3).eval()
    with torch.no_grad():
        expected = vae.encode(extractor.normalise(images()))[0]
    torch.testing.assert_close(extractor.features(images()), expected)


@pytest.mark.slow
def test_two_stages_are_read_from_every_network_alike(workspace, config):
    for arm, variants in (("vae", 1), ("random", 2)):
        multi = build_extractors(arm, dataclasses.replace(config, pooling="multi"), workspace)
        plain = build_extractors(arm, config, workspace)
        assert len(multi) == len(plain) == variants
        for two, one in zip(multi, plain):
            torch.testing.assert_close(
                two.features(images())[:, -one.backbone.width :], one.features(images())
            )
            assert two.identity != one.identity and two.info["pooling"] == "multi"


def test_another_backbone_than_the_studys_is_refused(workspace, config):
    other = dataclasses.replace(config, backbone=BackboneConfig(architecture="resnet18", stage=2))
    with pytest.raises(RunError, match="stage 1"):
        build_extractors("vae", other, workspace)


def test_a_vae_arm_without_a_run_says_what_is_missing(workspace, config):
    with pytest.raises(ConfigError, match="vae_run"):
        build_extractors("vae", dataclasses.replace(config, vae_run=None), workspace)


@pytest.mark.slow
def test_without_imagenet_weights_the_other_arms_go_on_and_a_note_says_so(
    workspace, config, no_imagenet
):
    arms, notes = resolve_arms(config, workspace)
    assert [arm.name for arm in arms] == ["vae", "random"]
    assert len(notes) == 1 and "left out" in notes[0] and "weights folder" in notes[0]


def test_where_no_arm_is_left_the_study_ends_with_that_message(workspace, config, no_imagenet):
    with pytest.raises(WeightsUnavailable, match="weights folder"):
        resolve_arms(dataclasses.replace(config, arms=("imagenet",)), workspace)


@pytest.mark.slow
def test_both_is_the_two_extractors_side_by_side(workspace, config, monkeypatch):
    fake = build_extractors("random", config, workspace)[0].backbone
    info = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr("derm_core.study.arms.load_imagenet", lambda config: (fake, info))
    arms, notes = resolve_arms(dataclasses.replace(config, arms=("both",)), workspace)
    assert [arm.name for arm in arms] == ["both"] and not notes
    assert [part.name for part in arms[0].variants[0]] == ["vae", "imagenet"]


@pytest.mark.slow
def test_the_demo_takes_a_shelf_models_backbone_in_imagenets_place(
    workspace, config, no_imagenet, monkeypatch
):
    _shelve(monkeypatch, SMALL)
    arms, notes = resolve_arms(dataclasses.replace(config, preset="demo"), workspace)
    assert [arm.name for arm in arms] == ["vae", "bundle:mole-net", "random"]
    assert arms[1].label == "mole-net" and "mole-net" in notes[0]


@pytest.mark.slow
def test_other_presets_and_other_backbones_get_no_stand_in(
    workspace, config, no_imagenet, monkeypatch
):
    _shelve(monkeypatch, SMALL)
    assert [arm.name for arm in resolve_arms(config, workspace)[0]] == ["vae", "random"]
    _shelve(monkeypatch, BackboneConfig(architecture="resnet18", stage=2))
    assert [
        arm.name for arm in resolve_arms(dataclasses.replace(config, preset="demo"), workspace)[0]
    ] == ["vae", "random"]


def _shelve(monkeypatch, backbone: BackboneConfig) -> None:
    """A shelf with one model, as far as arms look at it."""
    from derm_core.bundles.bundle import Bundle
    from derm_core.nets.backbone import build_backbone
    from tests.bundles.cards import make_card

    network = build_backbone(backbone, 0)
    classifier = Classifier(network, make_head(network.width, 8, 3, 0))
    card = make_card(
        name="mole-net",
        arm="imagenet",
        architecture=backbone.architecture,
        stage=backbone.stage,
        std=[0.5] * 3,
        sha256="0",
    )
    monkeypatch.setattr("derm_core.study.arms.list_cards", lambda workspace: [card])
    monkeypatch.setattr(
        "derm_core.study.arms.load_bundle",
        lambda name, workspace: Bundle(name, workspace.models / name, card, classifier, None),
    )
