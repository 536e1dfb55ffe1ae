"""An embedding run, from dataset to artefacts, with a random extractor on a few synthetic images."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.model_library import find_bundle
from derm_core.config import BackboneConfig, EmbedConfig, PretrainConfig, Recipe, to_dict
from derm_core.data.manifest import load_dataset
from derm_core.data.splits import SPLITS, split_dataset
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import BundleError, ConfigError, DataError, RunError
from derm_core.files import read_json, write_json
from derm_core.insight import embed as module
from derm_core.insight import map_data as images_module
from derm_core.insight import umap_layout as umap_module
from derm_core.insight.embed import draw_pca, embed
from derm_core.insight.factors import factor_table
from derm_core.insight.map_data import MapData, map_data
from derm_core.insight.saved_map import read_map
from derm_core.insight.traversal_sources import open_traversal
from derm_core.insight.umap_layout import EpochFile, ready_for_umap, umap_layout
from derm_core.nets.vae import build_vae, save_vae
from derm_core.stats import neighbours
from derm_core.stats.feature_space import FeatureSpace
from derm_core.study import arms
from derm_core.study.arms import build_extractors
from tests.app.bundles import put_extractor
from tests.builders import name_parts, noise, save_images
from tests.steps import finish

CONFIG = {"dataset": "little", "arm": "random", "input_size": 32, "device": "cpu", "neighbours": 8}


@pytest.fixture
def run(workspace):
    make_synth(workspace, "little", images=60, size=32)
    return workspace.run("embed-1").create()


@pytest.mark.slow
def test_both_are_the_two_extractors_features_side_by_side(workspace, run, monkeypatch):
    other = build_extractors("random", EmbedConfig(**CONFIG), workspace)[0]
    parts = {
        "vae": dataclasses.replace(other, mean=(0.1, 0.2, 0.3)),
        "imagenet": dataclasses.replace(other, std=(0.2, 0.3, 0.4)),
    }
    monkeypatch.setattr(arms, "build_extractors", lambda arm, config, workspace: [parts[arm]])
    both = arms._both_extractor(EmbedConfig(**CONFIG | {"arm": "both", "vae": "skin"}), workspace)
    images = torch.randint(
        0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(
        both.features(images), torch.cat([parts[arm].features(images) for arm in parts], 1)
    )
    assert both.backbone.width == 2 * other.backbone.width and both.identity not in {
        part.identity for part in parts.values()
    }


def test_a_map_of_both_needs_an_encoder_once():
    with pytest.raises(ConfigError, match="vae is 'skin'"):
        EmbedConfig(**CONFIG | {"vae": "skin"})
    with pytest.raises(ConfigError, match="vae is 'skin'"):
        EmbedConfig(**CONFIG | {"arm": "both", "vae": "skin", "vae_run": "pretrain-1"})
    with pytest.raises(ConfigError, match="space is 'mu'"):
        EmbedConfig(**CONFIG | {"arm": "both", "vae": "skin", "space": "mu"})


@pytest.mark.slow
def test_umap_and_pca_of_a_dataset(workspace, run):
    """The one test that pays for importing UMAP: PCA stands first, then the whole map."""
    config, first, summary, epochs = EmbedConfig(**CONFIG), None, None, []
    for event in embed(config, workspace, run):
        if event.kind == "log" and "PCA" in event.value:
            first = pd.read_parquet(run.map_points)
            assert read_json(run.map_info)["quality"]["trustworthiness"] is None
        if event.kind == "progress" and event.series == "UMAP":
            epochs.append((event.value.done, event.value.total))
        summary = event
    assert epochs[-1][0] == epochs[-1][1] > 0, "the layout's epochs are progress"
    assert first["umap_x"].isna().all() and first["pca_x"].notna().all()
    points, dataset = (
        pd.read_parquet(run.map_points),
        load_dataset(workspace, "little"),
    )
    assert points["image_id"].tolist() == dataset.frame["image_id"].tolist()
    assert np.isfinite(points[["umap_x", "umap_y", "pca_x", "pca_y"]]).all(axis=None)
    assert points["umap_x"].std() > 0.1 and {"label", "group", "factor_network"} <= set(points)
    expected = split_dataset(dataset.labels, dataset.groups, 0)
    assert points["split"].tolist() == [SPLITS[i] for i in expected]
    about = read_json(run.map_info)
    assert (
        0.5 < about["quality"]["trustworthiness"] <= 1
        and 0 <= about["quality"]["knn_accuracy"] <= 1
    )
    assert (
        about["arm"] == "random"
        and about["label"]
        and about["params"]["neighbours"] == 8
        and about["space"] == "pooled"
    )
    assert (
        0 < about["quality"]["neighbourhood_preservation"] <= 1
        and -1 <= about["quality"]["silhouette"] <= 1
    )
    trouble = pd.read_parquet(run.data_issues)
    assert trouble["kind"].value_counts().to_dict() == {
        kind: about["trouble"][kind] for kind in trouble["kind"].unique()
    }
    assert (
        summary.kind == "result"
        and summary.value["images"] == 60
        and summary.value["quality"] == about["quality"]
    )
    again = workspace.run("embed-2").create()
    list(embed(config, workspace, again))
    assert pd.read_parquet(again.map_points).equals(points), "the seed decides the map"


@pytest.fixture
def without_umap(monkeypatch):
    monkeypatch.setattr(module, "umap_layout", lambda space, start, config, report: start)


@pytest.mark.slow
def test_each_part_is_there_as_soon_as_it_is_ready(workspace, run, without_umap, monkeypatch):
    monkeypatch.setattr(images_module, "FIRST_LOOK", 12)
    config = EmbedConfig(**CONFIG, opinions=("vae-resnet18-64",))
    logs = [
        (event.value.split()[0:2], read_map(workspace, run.id))
        for event in embed(config, workspace, run)
        if event.kind == "log"
    ]
    assert [words for words, _ in logs] == [
        ["A", "first"],
        ["The", "PCA"],
        ["UMAP", "is"],
        ["The", "models'"],
    ]
    first, pca, umap, predictions = (saved for _, saved in logs)
    assert len(first.points) == first.info.images == 12 and first.info.expected == 60
    assert first.points["pca_x"].std() > 0 and (first.neighbours == -1).all()
    assert len(pca.points) == 60 and pca.info.expected is None and (pca.neighbours >= 0).any()
    assert pca.points["umap_x"].isna().all() and pca.info.quality["trustworthiness_pca"] > 0
    assert umap.points["umap_x"].notna().all() and not umap.info.opinions
    assert "prediction_a" in predictions.points and predictions.info.trouble is None
    assert read_map(workspace, run.id).info.trouble is not None and run.data_issues.exists()


@pytest.mark.slow
def test_an_interrupted_map_starts_afresh(workspace, run, without_umap, monkeypatch):
    """Neighbours that an earlier try has left are not those of the first look."""
    list(embed(EmbedConfig(**CONFIG), workspace, run))
    monkeypatch.setattr(images_module, "FIRST_LOOK", 12)
    for path in (workspace.cache / "features").glob("*.npy"):
        path.unlink()
    steps = embed(EmbedConfig(**CONFIG), workspace, run)
    while next(steps).kind != "log":
        pass
    steps.close()
    assert len(read_map(workspace, run.id).points) == 12


@pytest.mark.slow
def test_the_end_of_umap_s_process_is_said(monkeypatch):
    monkeypatch.setattr(umap_module.os, "getpid", lambda: -1)  # it ends, as its parent is gone
    space = FeatureSpace(np.zeros((12, 2)), np.zeros((12, 3), int), np.zeros((12, 3)))
    with pytest.raises(RunError, match="ended early"):
        umap_layout(space, np.zeros((12, 2)), EmbedConfig(**CONFIG), lambda *done: None)


@pytest.fixture
def processes(monkeypatch):
    """The processes for UMAP that were started; they compute nothing."""
    started = []

    class Pretended:
        def __init__(self):
            self.closed = False
            started.append(self)

        def layout(self, space, start_n2, config, report):
            assert not self.closed
            return start_n2

        def close(self):
            self.closed = True

    monkeypatch.setattr(umap_module, "UmapProcess", Pretended)
    return started


def test_umap_is_computed_in_the_process_that_started_early(processes):
    with ready_for_umap():
        assert len(processes) == 1
        umap_layout(None, 1, None, None)
        assert len(processes) == 1 and processes[0].closed
        umap_layout(None, 1, None, None)
        assert len(processes) == 2 and processes[1].closed


def test_a_process_that_is_not_wanted_ends(processes):
    with pytest.raises(DataError), ready_for_umap():
        raise DataError("no images")
    assert processes[0].closed
    umap_layout(None, 1, None, None)
    assert len(processes) == 2


@pytest.mark.slow
def test_neighbours_are_rows_of_the_manifest(workspace, run, without_umap):
    list(embed(EmbedConfig(**CONFIG, max_images=30), workspace, run))
    points = pd.read_parquet(run.map_points)
    near, far = (np.load(run.artefacts / name) for name in ("neighbours.npy", "distances.npy"))
    assert near.shape == far.shape == (len(points), 10) and len(points) <= 30
    assert set(near.ravel()) <= set(points["row"]) and (np.diff(far, axis=1) >= 0).all()
    assert all(row not in others for row, others in zip(points["row"], near))
    frame = load_dataset(workspace, "little").frame
    assert points["image_id"].tolist() == frame["image_id"].iloc[points["row"]].tolist()


@pytest.mark.slow
def test_a_map_is_turned_onto_another_and_shows_what_a_model_says(workspace, run, monkeypatch):
    started = []
    monkeypatch.setattr(
        module,
        "umap_layout",
        lambda space, start, *rest: started.append(start) or start[:, ::-1] * 3 + 1,
    )
    list(embed(EmbedConfig(**CONFIG), workspace, run))
    first, other = pd.read_parquet(run.map_points), workspace.run("embed-2").create()
    list(
        embed(
            EmbedConfig(**CONFIG, aligned_to="embed-1", opinions=("vae-resnet18-64",)),
            workspace,
            other,
        )
    )
    second, about = (
        pd.read_parquet(other.map_points),
        read_json(other.map_info),
    )
    places = ["umap_x", "umap_y", "pca_x", "pca_y"]
    assert started[1] == pytest.approx(first[places[:2]].to_numpy()), (
        "UMAP begins where the other map's images are"
    )
    assert (
        second[places].to_numpy() == pytest.approx(first[places].to_numpy(), abs=1e-3)
        and about["aligned_to"] == "embed-1"
    )
    assert (
        about["opinions"] == [{"slot": "a", "name": "vae-resnet18-64", "arm": "vae"}]
        and "disagree" not in second
    )
    assert second["confidence_a"].between(0, 1).all() and set(second["prediction_a"]) <= set(
        load_bundle(find_bundle(workspace, "vae-resnet18-64")).card.classes
    )


@pytest.fixture
def vae_arm(request, workspace) -> dict:
    """Fields of a map of μ, of a pretraining as it leaves its folder or of an extractor in the library."""
    backbone = BackboneConfig(architecture="resnet18", stage=1)
    if request.param == "extractor":
        put_extractor(workspace, "skin")
        return {"arm": "bundle:skin"}
    config = PretrainConfig(
        dataset="little",
        backbone=backbone,
        input_size=32,
        recipe=Recipe(latent_dim=4, decoder_width=16),
    )
    vae = build_vae(backbone, 32, 4, 16, seed=0)
    torch.nn.init.normal_(vae.to_mu.weight)
    save_vae(
        workspace.run("pretrain-1").create().artefacts, vae.eval(), {"config": to_dict(config)}
    )
    write_json(workspace.run("pretrain-1").config, to_dict(config))
    return {"arm": "vae", "vae_run": "pretrain-1", "backbone": backbone}


@pytest.mark.slow
@pytest.mark.parametrize("vae_arm", ["pretraining", "extractor"], indirect=True)
def test_a_map_of_mu_tells_which_latent_follows_which_factor(workspace, run, without_umap, vae_arm):
    list(embed(EmbedConfig(**{**CONFIG, **vae_arm}, space="mu"), workspace, run))
    about, points = (
        read_json(run.map_info),
        pd.read_parquet(run.map_points),
    )
    factors = pd.read_parquet(run.factors)
    traversal = open_traversal(workspace, vae_arm.get("vae_run", "skin"))
    held_out = (points["split"] != "train").to_numpy()
    dataset = load_dataset(workspace, "little")
    mu = traversal.encode(np.asarray(open_store(workspace, dataset, 32).images))
    names = [name for name in dataset.frame if name.startswith("factor_")]
    expected = factor_table(
        mu[held_out],
        {name: dataset.frame.loc[held_out, name] for name in names},
        traversal.statistics.kl_d,
        traversal.statistics.active_d,
    )
    assert about["space"] == "mu" and len(factors) and set(factors["latent"]) <= set(range(4))
    assert set(factors["factor"]) <= {name.removeprefix("factor_") for name in names}
    assert factors["information"].to_numpy() == pytest.approx(
        expected["information"].to_numpy(), abs=0.05
    )


@pytest.mark.parametrize("vae_arm", ["pretraining"], indirect=True)
def test_a_map_calls_training_what_its_pretraining_was_trained_on(workspace, run, vae_arm):
    dataset = load_dataset(workspace, "little")
    parts = ("train", "test", "train", "val")
    named = name_parts(workspace, dataset, parts).frame["official_split"]
    config = EmbedConfig(**CONFIG | vae_arm)
    split = finish(map_data(config, workspace))[1].split
    assert np.array_equal(split, split_dataset(dataset.labels, dataset.groups, 0))
    path = workspace.run("pretrain-1").config
    write_json(path, {**read_json(path), "splits": "official"})
    split = finish(map_data(config, workspace))[1].split
    assert [SPLITS[part] for part in split] == named.tolist()
    # Of fewer images, those that the pretraining calls training are still training images.
    part = finish(map_data(dataclasses.replace(config, max_images=30), workspace))[1]
    assert [SPLITS[i] for i in part.split] == named.iloc[part.rows].tolist()
    write_json(path, {**read_json(path), "dataset": "another"})
    split = finish(map_data(config, workspace))[1].split
    assert np.array_equal(split, split_dataset(dataset.labels, dataset.groups, 0))


def test_a_classifier_has_no_posterior_means_to_map(workspace, run):
    with pytest.raises(BundleError, match="vae-resnet18-64 is a classifier"):
        list(
            embed(
                EmbedConfig(**{**CONFIG, "arm": "bundle:vae-resnet18-64", "space": "mu"}),
                workspace,
                run,
            )
        )


@pytest.mark.slow
def test_a_map_of_equal_images_is_refused_in_one_sentence(workspace, run):
    save_images(workspace, "equal", [noise(32)] * 40, ["a", "b"] * 20)
    with pytest.raises(DataError, match=r"All features of .* on equal are equal: no map"):
        list(embed(EmbedConfig(**{**CONFIG, "dataset": "equal"}), workspace, run))


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (lambda rng: np.full((60, 8), 7.0), "are equal"),
        (lambda rng: 7 * (1 + 1e-7 * rng.normal(size=(60, 8))), "are equal"),
        (lambda rng: np.where(rng.random((60, 8)) < 0.01, np.nan, 1.0), "not finite"),
        (lambda rng: np.where(rng.random((60, 8)) < 0.01, np.inf, 1.0), "not finite"),
    ],
)
def test_features_of_which_no_map_can_be_drawn_are_refused(workspace, run, features, reason):
    dataset = load_dataset(workspace, "little")
    split = split_dataset(dataset.labels, dataset.groups, 0)
    values = features(np.random.default_rng(0)).astype(np.float32)
    data = MapData(dataset, np.arange(60), split, values, "ImageNet")
    with pytest.raises(DataError, match=reason):
        list(draw_pca(EmbedConfig(**CONFIG), data, run))
    assert not run.map_info.exists()


def test_a_map_says_whether_its_neighbours_are_approximate(workspace, run, monkeypatch):
    dataset = load_dataset(workspace, "little")
    split = split_dataset(dataset.labels, dataset.groups, 0)
    features = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    data = MapData(dataset, np.arange(60), split, features, "ImageNet")
    list(draw_pca(EmbedConfig(**CONFIG), data, run))
    exact = read_map(workspace, run.id)
    assert not exact.info.approximate_neighbours

    seeds = []

    def approximate(spaces, count, seed):
        seeds.append(seed)
        return [neighbours.exact_neighbours(space, count) for space in spaces]

    monkeypatch.setattr(neighbours, "APPROXIMATE_FROM", 60)
    monkeypatch.setattr(neighbours, "approximate_neighbours", approximate)
    list(draw_pca(EmbedConfig(**CONFIG, seed=5), data, run))
    large = read_map(workspace, run.id)
    assert large.info.approximate_neighbours and seeds == [5]
    assert np.array_equal(large.neighbours, exact.neighbours)


@pytest.mark.slow
def test_a_dataset_without_labels_can_be_mapped(workspace, run, without_umap):
    from derm_core.data.manifest import save_dataset

    dataset = load_dataset(workspace, "little")
    save_dataset(
        workspace,
        "blank",
        dataset.frame.assign(label=None),
        dataclasses.replace(dataset.info, classes=()),
    )
    list(embed(EmbedConfig(**{**CONFIG, "dataset": "blank"}), workspace, run))
    assert read_json(run.map_info)["quality"]["knn_accuracy"] is None


def test_epochs_of_umap_are_reported():
    calls = []
    bar = EpochFile(lambda done, total: calls.append((done, total)))
    from tqdm import tqdm

    for _ in tqdm(
        range(3), disable=False, file=bar, bar_format="{n_fmt} {total_fmt}", mininterval=0
    ):
        bar.flush()
    assert calls[0] == (0, 3) and calls[-1] == (3, 3) and set(calls) <= {(n, 3) for n in range(4)}
