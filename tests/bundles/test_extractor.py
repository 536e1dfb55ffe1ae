"""A pretrained VAE in the library: published from its run, read as it was written, usable as an arm and from Python."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from derm_core import cli
from derm_core.bundles.archive import export_bundle, import_bundle
from derm_core.bundles.bundle import load_classifier, load_extractor
from derm_core.bundles.model_library import list_bundles, verify_bundle
from derm_core.config import BackboneConfig, PretrainConfig, StudyConfig, to_dict
from derm_core.config.recipes import recipe
from derm_core.data.synth.generator import generate
from derm_core.errors import BundleError, ConfigError, NotFound, RunError
from derm_core.files import read_json, write_json
from derm_core.insight.traversal_sources import open_traversal
from derm_core.jobs import preflight
from derm_core.jobs.dependencies import needs_vae
from derm_core.nets.backbone import normalise
from derm_core.nets.vae import VAE_MEAN, VAE_STD, load_vae
from derm_core.publish.extractor import publish_extractor
from derm_core.study.arms import Arm, build_extractors
from derm_core.study.features import finish
from derm_core.study.study_data import prepare
from derm_core.study.weight_sources import check_sources
from derm_core.training.pretrain import pretrain
from derm_core.workspace import Workspace

RUN, NAME = "pretrain-1", "skin-vae"
BACKBONE = BackboneConfig(stage=1)
CONFIG = PretrainConfig(
    dataset="synth-60",
    backbone=BACKBONE,
    input_size=32,
    device="cpu",
    recipe=recipe("views", epochs=1, batch_size=16, latent_dim=4, decoder_width=16),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A workspace with a finished pretraining whose VAE is in the library."""
    workspace = Workspace.open(tmp_path_factory.mktemp("home"))
    run = workspace.run(RUN).create()
    write_json(run.config, to_dict(CONFIG))
    for _ in pretrain(CONFIG, workspace, run):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "shelves", lambda self: [self.models])
        publish_extractor(workspace, RUN, NAME)
    return workspace


@pytest.fixture
def home(published, monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    monkeypatch.setenv("DERM_HOME", str(published.root))
    return published


def pictures(count: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.slow
def test_the_two_lines_give_the_features_of_the_pretraining(home):
    images = pictures()
    features = load_extractor("skin-vae").features(images)
    vae, _ = load_vae(home.run(RUN).artefacts)
    with torch.no_grad():
        x_bchw = normalise(torch.from_numpy(images), VAE_MEAN, VAE_STD)
        exact, mu = vae.backbone.pooled(x_bchw).numpy(), vae.encode(x_bchw)[0]
        drawn = (vae.decode(mu).clamp(-1, 1) + 1) * 127.5
    assert features.shape == (70, 64) and features.dtype == np.float32
    np.testing.assert_allclose(features, exact, atol=0.02 * exact.std())
    found = load_extractor(home.models / NAME)
    np.testing.assert_allclose(found.latents(images), mu.numpy(), atol=0.02)
    close = np.abs(found.decode(mu.numpy()).astype(float) - drawn.permute(0, 2, 3, 1).numpy())
    assert close.max() <= 3 and found.decode(np.empty((0, 4))).shape == (0, 32, 32, 3)
    assert isinstance(found.vae.backbone, torch.nn.Module) and not found.vae.training
    with pytest.raises(ValueError, match="uint8"):
        found.features(images.astype(np.float32))


def test_the_shipped_one_reconstructs_drawn_lesions_from_features_of_its_own():
    skin = load_extractor("skin-vae-resnet18-64")
    drawn = np.stack([image for image, _, _ in generate(4, 64)])
    features, made = skin.features(drawn), skin.decode(skin.latents(drawn))
    assert features.shape == (4, 256) and np.isfinite(features).all() and made.shape == drawn.shape
    error = [[np.abs(one.astype(float) - other).mean() for other in drawn] for one in made]
    assert np.argmin(error, 1).tolist() == [0, 1, 2, 3], (
        "each image's reconstruction is nearest to that image"
    )


@pytest.mark.slow
def test_its_card_says_what_it_is_and_what_was_measured(home):
    card = verify_bundle(home.models / NAME)
    assert card.kind == "extractor" and card.labels_used is False and "synthetic" in card.license
    assert card.config == json.loads(json.dumps(to_dict(CONFIG))) and "NT-Xent" in card.recipe
    assert card.record["split_fingerprint"] == read_json(home.run(RUN).vae)["split_fingerprint"]
    assert len(card.latent.kl) == 4 and card.reconstruction.kl == pytest.approx(sum(card.latent.kl))
    assert 0 < card.reconstruction.pixel_mse < 1 and 0 <= card.knn.balanced_accuracy <= 1
    assert card.memorisation.samples == 64
    assert card.memorisation.training_images == card.record["images"]["train"]
    assert {spec.dtype for spec in card.tensors.values() if len(spec.shape) > 1} == {"F16"}
    assert (
        any("--recipe views --epochs 1" in line for line in card.commands)
        and "Not for diagnosis" in card.limits[0]
    )
    assert str(home.root) not in (home.models / NAME / "card.json").read_text()


def test_it_stands_on_the_shelf_apart_from_classifiers(home, capsys):
    assert list_bundles(home) == [] and [
        bundle.name for bundle in list_bundles(home, "extractor")
    ] == [NAME]
    with pytest.raises(BundleError, match="no classifier"):
        load_classifier(home.models / NAME)
    for command in (["models", "list"], ["models", "verify"]):
        assert cli.main([*command, "--workspace", str(home.root)]) == 0
        assert NAME in capsys.readouterr().out


def test_it_travels_as_a_file_and_a_changed_one_is_refused(home, tmp_path):
    other = Workspace.open(tmp_path / "other")
    archive = export_bundle(home, NAME)
    folder = import_bundle(other, archive)
    assert verify_bundle(folder) == verify_bundle(home.models / NAME)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(BundleError, match="SHA-256"):
        verify_bundle(folder)
    assert [(entry.name, entry.card) for entry in list_bundles(other, "extractor")] == [
        (NAME, None)
    ]
    with pytest.raises(BundleError, match="already in the library"):
        import_bundle(other, archive)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "virus"}, "kind"),
        ({"latent": {"kl": [1.0], "mean": [0.0], "std": [1.0]}}, "latent.kl"),
        ({"memorisation": {}}, "memorisation"),
        ({"decoder": {"latent_dim": 4096, "size": 32, "width": 4096}}, "latent"),
        ({"features": 65}, "65"),
        ({"knn": {"accuracy": "x"}}, "knn"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "model_args"),
        ({"reference": {"file_bytes": 1}}, "reference"),
        ({"label": "[x](javascript:alert(1))"}, "label"),
        ({"stage": 3}, "architecture|features"),
    ],
)
def test_a_card_that_none_of_ours_would_be_is_refused(home, tmp_path, change, why):
    folder = tmp_path / NAME
    folder.mkdir()
    for path in (home.models / NAME).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "card.json").write_text(json.dumps({**read_json(folder / "card.json"), **change}))
    with pytest.raises(BundleError, match=why):
        load_extractor(folder)


@pytest.mark.slow
def test_it_is_the_vae_of_a_comparison_like_the_run_it_came_from(home):
    config = StudyConfig(
        dataset=CONFIG.dataset, backbone=BACKBONE, input_size=32, arms=("vae", "random"), vae=NAME
    )
    preflight.check(home, config)
    assert not needs_vae(config)
    images = torch.from_numpy(pictures(4))
    for pooling in ("pooled", "mu", "multi"):
        asked = dataclasses.replace(config, pooling=pooling)
        [ours] = build_extractors("vae", asked, home)
        [theirs] = build_extractors("vae", dataclasses.replace(asked, vae=None, vae_run=RUN), home)
        torch.testing.assert_close(
            ours.features(images), theirs.features(images), atol=0.02, rtol=0.02
        )
        [named] = build_extractors(f"bundle:{NAME}", asked, home)
        torch.testing.assert_close(named.features(images), ours.features(images))
    with pytest.raises(RunError, match=f"stage 1.*bundle:{NAME}"):
        build_extractors("vae", dataclasses.replace(config, backbone=BackboneConfig(stage=2)), home)


def test_its_split_is_held_against_that_of_the_comparison(home):
    def notes(**changes):
        config = StudyConfig(
            dataset=CONFIG.dataset,
            backbone=BACKBONE,
            input_size=32,
            arms=("vae",),
            vae=NAME,
            **changes,
        )
        arm = Arm("vae", [build_extractors("vae", config, home)])
        return check_sources(config, home, finish(prepare(config, home)), [arm])

    assert notes() == []
    with pytest.raises(RunError, match=f"extractor {NAME} was pretrained on another split"):
        notes(split_seed=1)


@pytest.mark.slow
def test_its_latent_space_can_be_travelled_in_without_its_run(home, tmp_path):
    other = Workspace.open(tmp_path / "other")
    import_bundle(other, export_bundle(home, NAME))
    traversal, card = open_traversal(other, NAME), verify_bundle(home.models / NAME)
    images = pictures(3)
    assert traversal.can_encode and not traversal.estimated and traversal.size == 32
    np.testing.assert_allclose(traversal.statistics.kl_d, card.latent.kl, rtol=1e-6)
    np.testing.assert_allclose(
        traversal.encode(images), load_extractor(home.models / NAME).latents(images), atol=1e-5
    )
    assert traversal.decode(traversal.encode(images)).shape == images.shape


def test_what_cannot_be_published_or_used_is_named(home, shelf_of_a_classifier):
    with pytest.raises(BundleError, match="already in the library"):
        publish_extractor(home, RUN, NAME)
    with pytest.raises(NotFound, match="pretrain-9"):
        publish_extractor(home, "pretrain-9", "other")
    with pytest.raises(NotFound, match="no-such"):
        preflight.check(home, StudyConfig(dataset=CONFIG.dataset, vae="no-such"))
    with pytest.raises(ConfigError, match="vae"):
        StudyConfig(dataset="d", vae=NAME, vae_run=RUN)
    with pytest.raises(BundleError, match="classifier, not an extractor"):
        preflight.check(home, StudyConfig(dataset=CONFIG.dataset, vae=shelf_of_a_classifier))


@pytest.fixture
def shelf_of_a_classifier(home, classifier, card):
    """The name of a classifier on the same shelf."""
    import shutil

    from tests.bundles.cards import save_bundle

    save_bundle(home.models / card["name"], classifier, card)
    yield card["name"]
    shutil.rmtree(home.models / card["name"])


def test_a_dataset_that_changed_since_is_refused(home):
    sidecar = home.run(RUN).vae
    before = read_json(sidecar)
    write_json(sidecar, {**before, "dataset_fingerprint": "another"})
    try:
        with pytest.raises(BundleError, match="not the one pretrain-1 saw"):
            publish_extractor(home, RUN, "other")
    finally:
        write_json(sidecar, before)
    assert not (home.models / "other").exists()
