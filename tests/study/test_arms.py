"""Arms: names and order, what extractors are built, and what happens where weights are missing."""

import dataclasses

import numpy as np
import pytest
import torch

from derm_core.arms import arm_file, arm_kind, arm_label, arm_parts, in_order
from derm_core.config import BackboneConfig, PretrainConfig, StudyConfig, to_dict
from derm_core.config.labels import study_labels
from derm_core.config.recipes import recipe
from derm_core.data.store import open_store
from derm_core.errors import ConfigError, RunError, WeightsUnavailable
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import build_vae, save_vae
from derm_core.study.arms import build_extractors, resolve_arms
from derm_core.study.fitting_arms import fitting_arms
from derm_core.study.frozen import arm_features
from derm_core.study.study_data import prepare
from tests.app.bundles import put_bundle, put_whole_bundle
from tests.steps import finish

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
    more = [
        "imagenet+random",
        "imagenet@best",
        "imagenet@96",
        "vae",
        "imagenet@128",
        "recipe:masked",
    ]
    assert in_order({*more, "recipe:paper", "imagenet", "imagenet+imagenet@96", "both"}) == [
        "recipe:paper",
        "recipe:masked",
        "vae",
        "imagenet",
        "imagenet@96",
        "imagenet@128",
        "imagenet@best",
        "both",
        "imagenet+random",
        "imagenet+imagenet@96",
    ]


def test_arms_are_named_after_their_recipes_and_sizes():
    arms = ("recipe:paper", "vae", "imagenet", "imagenet@96", "imagenet@best", "both")
    controls = ("imagenet+random", "imagenet+imagenet@96")
    labels = study_labels([*arms, *controls], 64, "VAE + SimCLR")
    assert list(labels.values()) == [
        "VAE (plain)",
        "VAE + SimCLR",
        "ImageNet at 64 px",
        "ImageNet at 96 px",
        "ImageNet (best input size)",
        "VAE + SimCLR + ImageNet",
        "ImageNet + random initialisation",
        "ImageNet at 64 and 96 px",
    ]
    assert study_labels(("imagenet", "both"), 64) == {
        "imagenet": "ImageNet",
        "both": "VAE + ImageNet",
    }
    same = study_labels(("vae", "recipe:paper"), 64, "VAE (plain)")
    assert len(set(same.values())) == 2


def test_networks_of_their_own_are_written_in_one_way():
    given = (
        "timm:vit_tiny_patch16_224.x@96@both",
        "hf-hub:owner/name@32",
        "file:a.safetensors+resnet18",
    )
    assert [arm_kind(arm) for arm in given] == ["timm", "hf-hub", "file"]
    assert [arm_label(arm) for arm in given] == [
        "vit_tiny_patch16_224.x at 96 px, class token and mean of patches",
        "owner/name at 32 px",
        "resnet18 of a.safetensors",
    ]
    assert all(arm_parts(arm) == (arm,) for arm in given)
    assert [arm_file(arm) for arm in given][1:] == [
        "hf-hub_owner~name@32",
        "file_a.safetensors+resnet18",
    ]
    mixed = ["random", *given, "vae", "bundle:net"]
    assert in_order(mixed) == [
        "vae",
        *given,
        "bundle:net",
        "random",
    ]  # in the order in which they are given
    assert StudyConfig(dataset="tiny", arms=given).arms == given
    refused = (
        "timm:../x",
        "timm:a/b",
        "hf-hub:a",
        "hf-hub:a/b/c",
        "file:a.pt+resnet18",
        "timm:x@8",
    )
    for arm in (
        *refused,
        "file:../a.safetensors+resnet18",
        "timm:a+random",
        "timm:x@96@96",
        "timm:x@cls",
    ):
        with pytest.raises(ConfigError, match="arms"):
            StudyConfig(dataset="tiny", arms=("vae", arm))


def test_fine_tuning_takes_networks_of_their_own_and_leaves_joined_arms_out():
    config = StudyConfig(
        dataset="tiny", arms=("random", "timm:resnet18", "both"), regime="finetune"
    )
    left, notes = fitting_arms(config)
    assert left.arms == ("random", "timm:resnet18") and len(notes) == 1


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
def test_an_extractor_of_the_library_is_named_after_what_it_was_pretrained_on(workspace):
    shipped = StudyConfig(dataset="tiny", arms=("bundle:skin-vae-resnet18-64",))
    [arm], notes = resolve_arms(shipped, workspace)
    assert arm.label == "VAE pretrained on HAM10000 earlier" and not notes


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


@pytest.fixture
def planted_imagenet(monkeypatch):
    """In place of ImageNet's weights those of a network that nobody trained."""
    network = build_backbone(SMALL, 11)
    info = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr("derm_core.study.arms.load_imagenet", lambda config: (network, info))


@pytest.mark.slow
def test_a_joined_control_has_the_parts_of_each_seed(workspace, config, planted_imagenet):
    arms, _ = resolve_arms(
        dataclasses.replace(config, arms=("random", "imagenet+random")), workspace
    )
    joined, control = arms
    assert joined.name == "imagenet+random" and len(joined.variants) == len(config.seeds)
    first = [[part.identity for part in parts] for parts in joined.variants]
    assert first[0][0] == first[1][0], "one ImageNet"
    assert [ids[1] for ids in first] == [parts[0].identity for parts in control.variants]


@pytest.mark.slow
def test_an_arm_of_another_size_has_the_features_of_images_of_that_size(
    workspace, tiny, config, planted_imagenet
):
    wanted = dataclasses.replace(config, arms=("imagenet", "imagenet@48", "imagenet+imagenet@48"))
    _, data = finish(prepare(wanted, workspace))
    arms, _ = resolve_arms(wanted, workspace)
    features = {arm.name: finish(arm_features(arm, workspace, data, "cpu"))[1] for arm in arms}
    store = open_store(workspace, tiny, 48)
    [extractor] = arms[1].parts
    images = torch.from_numpy(np.array(store.images[data.rows[:5]]))
    np.testing.assert_allclose(
        features["imagenet@48"][:5], extractor.features(images).numpy(), atol=1e-5
    )
    assert np.abs(features["imagenet"] - features["imagenet@48"]).max() > 1e-3
    both = np.concatenate([features["imagenet"], features["imagenet@48"]], 1)
    np.testing.assert_array_equal(features["imagenet+imagenet@48"], both)
    assert arms[1].extractor["variants"][0][0]["input_size"] == 48


@pytest.mark.slow
def test_arms_of_recipes_are_the_encoders_of_their_runs_and_named_after_them(workspace, config):
    for run_id, name, seed in (("main", "views", 4), ("plain", "paper", 5)):
        run = workspace.run(run_id).create()
        pretraining = to_dict(PretrainConfig(dataset="tiny", recipe=recipe(name)))
        vae = build_vae(SMALL, 32, 8, 16, seed=seed)
        save_vae(run.artefacts, vae, {"dataset": "tiny", "config": pretraining})
    wanted = dataclasses.replace(
        config,
        arms=("vae", "recipe:paper", "recipe:paper+random"),
        pretrain=PretrainConfig(dataset="tiny", recipe=recipe("views")),
        vae_run="main",
        recipe_runs=("plain",),
    )
    plain, vae, joined = resolve_arms(wanted, workspace)[0]
    assert (plain.parts[0].info["run"], vae.parts[0].info["run"]) == ("plain", "main")
    assert (plain.label, vae.label) == ("VAE (plain)", "VAE + SimCLR")
    assert joined.variants[0][0].identity == plain.parts[0].identity


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({"initial_weights": {"kind": "pretrained"}}, "48"),
        ({"interpolation": "bilinear"}, "48-bilinear"),
        ({"config": {"input_size": 32}}, "48"),  # its study read other images than it did
        ({"config": {"input_size": 48}}, None),
    ],
)
def test_a_bundle_that_ends_at_a_stage_reads_what_its_network_brought(workspace, fields, form):
    put_bundle(workspace, "mole-net", "timm:resnet18", input_size=48, **fields)
    config = StudyConfig(dataset="tiny", arms=("bundle:mole-net",), backbone=SMALL, input_size=32)
    for pooling in ("pooled", "multi"):
        pooled = dataclasses.replace(config, pooling=pooling)
        [arm], notes = resolve_arms(pooled, workspace)
        assert str(arm.parts[0].form) == str(form)
        assert [note.split(",")[0] for note in notes] == (
            [f"mole-net reads images of 48 px ({(form.partition('-')[2] or 'bicubic')})"]
            if form
            else []
        )


@pytest.mark.slow
def test_two_stages_of_a_whole_network_are_its_own_pooling(workspace):
    put_whole_bundle(workspace, "my-vit")
    config = StudyConfig(dataset="tiny", arms=("bundle:my-vit",), pooling="multi", input_size=48)
    [arm], notes = resolve_arms(config, workspace)
    assert str(arm.parts[0].form) == "48-bilinear" and arm.parts[0].backbone.width == 16
    assert not notes
