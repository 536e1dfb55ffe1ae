"""Where an image falls among the training images: a training image falls on its own point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from derm_core.bundles import neighbours
from derm_core.bundles.bundle import Bundle
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference, without_points
from derm_core.config import BackboneConfig, EmbedConfig
from derm_core.config.shared import ImageForm
from derm_core.data.manifest import load_dataset
from derm_core.data.splits import SPLITS, split_dataset
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.files import read_json
from derm_core.insight.embed import draw_pca
from derm_core.insight.map_data import MapData, map_data
from derm_core.insight.placement import open_placer, place_in_training
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.publish.statistics import fit_space
from derm_core.study.arms import build_extractors
from derm_core.study.features import extract, finish
from tests.app.bundles import put_whole_bundle
from tests.builders import write_dataset
from tests.bundles.cards import make_card


@pytest.fixture
def predictor() -> Predictor:
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 1)
    card = make_card(classes=["a", "b"], input_size=32, features=64, mean=[0.5] * 3, std=[0.25] * 3)
    return Predictor(
        Bundle("own", Path("own"), card, Classifier(backbone, make_head(64, 8, 2, 1)).eval(), None)
    )


def test_a_training_image_falls_on_its_own_point(predictor):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    assert place_in_training(predictor, images[0]) is None
    features, _ = predictor.features_and_logits(images)
    space = fit_space(features)
    known = Reference(
        space, neighbours.fit_points(space, features, np.arange(12) % 2, None, 0), None
    )
    predictor.bundle.reference = known
    for row in (0, 7):
        places = place_in_training(predictor, images[row])
        assert (
            places.image_2 == pytest.approx(places.training_n2[row], abs=0.02)
            and places.labels_n[row] == row % 2
        )
    predictor.bundle.reference = without_points(known)
    assert place_in_training(predictor, images[0]) is None


@pytest.mark.slow
def test_images_of_a_map_fall_on_their_own_places_and_others_between_their_neighbours(workspace):
    make_synth(workspace, "little", images=60, size=32)
    config = EmbedConfig(
        dataset="little",
        arm="random",
        input_size=32,
        device="cpu",
        backbone=BackboneConfig(architecture="resnet18", stage=0),
    )
    run = workspace.run("embed-1").create()
    dataset = load_dataset(workspace, "little")
    images = np.asarray(open_store(workspace, dataset, 32).images)
    features = finish(
        extract(
            build_extractors("random", config, workspace)[0],
            open_store(workspace, dataset, 32),
            workspace,
            "little",
        )
    )
    split = split_dataset(dataset.labels, dataset.groups, 0)
    maps = draw_pca(config, MapData(dataset, np.arange(60), split, features, "ImageNet"), run)
    list(maps)  # the map with its PCA stands; UMAP is left out
    placer = open_placer(workspace, "embed-1")
    places = placer.place(images[[4, 30]])
    assert places.rows[:, 0].tolist() == [4, 30] and places.distances[:, 0] == pytest.approx(
        [0, 0], abs=1e-3
    )
    assert places.pca_n2 == pytest.approx(
        placer.saved.points[["pca_x", "pca_y"]].to_numpy()[[4, 30]], abs=1e-3
    )
    assert np.isnan(places.umap_n2).all()
    mixed = images[[7]] // 2 + images[[8]] // 2
    places = placer.place(mixed)
    with torch.no_grad():
        query = placer.extractor.features(torch.from_numpy(mixed)).numpy()
    train = split == SPLITS.index("train")
    scale = features[train].std(0)
    far = np.linalg.norm(((features - query) / np.where(scale > 1e-6, scale, np.inf)), axis=1)
    assert places.rows[0].tolist() == np.argsort(far)[:10].tolist() and places.distances[
        0
    ] == pytest.approx(np.sort(far)[:10], rel=1e-4)
    weights = 1 / np.sort(far)[:10] ** 2
    own = placer.saved.points[["pca_x", "pca_y"]].to_numpy()[np.argsort(far)[:10]]
    assert places.pca_n2[0] == pytest.approx(
        (own * weights[:, None]).sum(0) / weights.sum(), rel=1e-3, abs=1e-4
    )
    with pytest.raises(ValueError, match="32, 32, 3"):
        placer.place(np.zeros((1, 16, 16, 3), np.uint8))


@pytest.mark.slow
def test_a_map_of_a_network_with_a_form_of_its_own_reads_and_places_images_of_that_form(workspace):
    dataset = write_dataset(workspace, images=60)
    put_whole_bundle(workspace, "my-vit")
    config = EmbedConfig(dataset="tiny", arm="bundle:my-vit", input_size=32, device="cpu")
    run = workspace.run("embed-1").create()
    data = finish(map_data(config, workspace))
    images = open_store(workspace, dataset, 48, "bilinear").images
    [extractor] = build_extractors("bundle:my-vit", config, workspace)
    expected = extractor.features(torch.from_numpy(np.array(images))).numpy()
    np.testing.assert_allclose(data.features, expected, atol=1e-5)
    list(draw_pca(config, data, run))
    placer = open_placer(workspace, "embed-1")
    assert placer.form == ImageForm(48, "bilinear") and placer.saved.info.params["input_size"] == 48
    assert placer.place(np.array(images[[4]])).rows[0, 0] == 4


@pytest.mark.slow
def test_a_map_of_an_earlier_version_places_images_as_it_read_them(workspace):
    """It read images of its config's size, resized by a bicubic filter, whatever its network was made for."""
    dataset = write_dataset(workspace, images=60)
    put_whole_bundle(workspace, "my-vit")
    config = EmbedConfig(dataset="tiny", arm="bundle:my-vit", input_size=32, device="cpu")
    images = np.array(open_store(workspace, dataset, 32).images)
    [extractor] = build_extractors("bundle:my-vit", config, workspace)
    features = extractor.features(torch.from_numpy(images)).numpy()
    split = split_dataset(dataset.labels, dataset.groups, 0)
    run = workspace.run("embed-1").create()
    list(draw_pca(config, MapData(dataset, np.arange(60), split, features, "my-vit"), run))
    assert "interpolation" not in read_json(run.map_info)
    placer = open_placer(workspace, "embed-1")
    assert placer.form == ImageForm(32)
    places = placer.place(images[[4]])
    assert places.rows[0, 0] == 4 and places.distances[0, 0] == pytest.approx(0, abs=1e-3)
