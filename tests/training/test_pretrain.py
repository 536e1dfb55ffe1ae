import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from derm_core.config import PretrainConfig
from derm_core.config.recipes import RECIPES, recipe
from derm_core.data.manifest import save_dataset
from derm_core.errors import DataError, NotFound
from derm_core.files import read_json
from derm_core.nets.vae import load_vae
from derm_core.training.pretrain import (
    PretrainingData,
    load_data,
    pretrain,
    steps_between_metrics,
    train_vae,
)
from derm_core.workspace import RunFiles
from tests.builders import name_parts, save_images
from tests.steps import finish

TRAIN, VAL = np.arange(40), np.arange(40, 54)  # rows 54 to 59 are nobody's


@pytest.fixture
def data(images, labels) -> PretrainingData:
    return PretrainingData(images, TRAIN, TRAIN, VAL, labels, {"dataset": "tiny"})


@pytest.fixture
def dataset(workspace, images, labels):
    """The images as dataset `tiny` of the workspace, each its own group."""
    return save_images(workspace, "tiny", images, [f"class {label}" for label in labels])


def weights_of(config: PretrainConfig, data: PretrainingData, folder) -> str:
    return list(train_vae(config, data, RunFiles(folder).create()))[-1].value["vae_sha256"]


@pytest.fixture(params=["masked", "views"])
def any_config(request, vae_config, views_config) -> PretrainConfig:
    return {"masked": vae_config, "views": views_config}[request.param]


def test_an_epoch_of_few_images_reports_several_times_and_one_of_many_every_ten_steps():
    assert [steps_between_metrics(images, 64) for images in (40, 420, 1400, 7011)] == [1, 1, 5, 10]


@pytest.mark.slow
def test_labels_change_the_probe_and_no_weight(tmp_path, any_config, data, labels):
    vae_config = any_config
    shuffled = dataclasses.replace(data, labels=np.random.default_rng(9).permutation(labels))
    assert weights_of(vae_config, data, tmp_path / "a") == weights_of(
        vae_config, shuffled, tmp_path / "b"
    )
    a, b = (read_json(tmp_path / run / "artefacts" / "summary.json")["metrics"] for run in "ab")
    assert a.pop("probe/balanced_accuracy") != b.pop("probe/balanced_accuracy") and a == b


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_reads_a_label(tmp_path, vae_config, data, labels, name):
    config = dataclasses.replace(
        vae_config, recipe=recipe(name, epochs=1, batch_size=12, latent_dim=4, decoder_width=16)
    )
    others = np.where(
        np.arange(len(labels)) % 2, np.random.default_rng(9).permutation(labels), -1
    )  # or none at all
    assert (others != labels).any()
    shuffled = dataclasses.replace(data, labels=others)
    assert weights_of(config, data, tmp_path / "a") == weights_of(config, shuffled, tmp_path / "b")


@pytest.mark.slow
def test_images_outside_the_training_split_change_no_weight(tmp_path, vae_config, data, images):
    others = images.copy()
    others[40:] = 255 - others[40:]
    changed = dataclasses.replace(data, images=others)
    assert weights_of(vae_config, data, tmp_path / "a") == weights_of(
        vae_config, changed, tmp_path / "b"
    )


@pytest.mark.slow
def test_transductive_pretraining_sees_every_image_and_still_no_label(
    tmp_path, workspace, dataset, vae_config, images, labels
):
    config = dataclasses.replace(vae_config, images="all")
    data = drain(load_data(config, workspace))
    assert data.record["transductive"] and len(data.pixels) == data.record["pretrained_on"] == len(
        images
    )
    assert set(data.train) < set(data.pixels)  # the probe keeps to the training split
    weights = weights_of(config, data, tmp_path / "a")
    shuffled = dataclasses.replace(data, labels=np.random.default_rng(9).permutation(labels))
    assert weights_of(config, shuffled, tmp_path / "b") == weights
    others = np.array(data.images)
    unseen = np.setdiff1d(np.arange(len(images)), np.concatenate([data.train, data.val]))
    others[unseen] = 255 - others[unseen]
    assert weights_of(config, dataclasses.replace(data, images=others), tmp_path / "c") != weights
    assert not drain(load_data(vae_config, workspace)).record["transductive"]


@pytest.mark.slow
def test_the_run_says_and_leaves_what_it_promises(tmp_path, vae_config, data):
    run = RunFiles(tmp_path / "run").create()
    events = list(train_vae(vae_config, data, run))
    at = {
        series: [e.epoch for e in events if e.series == series]
        for series in (
            "val/loss",
            "val/reconstruction",
            "val/kl",
            "val/active_units",
            "val/pixel_mse",
            "probe/balanced_accuracy",
        )
    }
    assert all(epochs == [0, 1, 2] for epochs in at.values())
    for event in (e for e in events if e.kind == "image"):
        assert Image.open(run.artefacts / event.value).format == "PNG"
    assert {
        "recon-000.png",
        "recon-002.png",
        "samples.png",
        "likenesses.png",
        "reconstructions.png",
    } <= {path.name for path in run.artefacts.iterdir()}
    result = events[-1]
    assert (
        result.kind == "result" and result.value["epochs"] == 2 and result.value["images_per_s"] > 0
    )
    _vae, meta = load_vae(run.artefacts)
    assert (
        meta["sha256"] == result.value["vae_sha256"]
        and meta["precision"] == result.value["precision"]
    )
    assert meta["dataset"] == "tiny" and meta["config"]["recipe"]["name"] == "masked"


@pytest.mark.slow
def test_labels_shuffled_in_the_manifest_give_the_same_weights(workspace, dataset, views_config):
    recipe = dataclasses.replace(views_config.recipe, epochs=1)
    config = dataclasses.replace(
        views_config, recipe=recipe, images="all"
    )  # else labels stratify the split
    first = list(pretrain(config, workspace, workspace.run("pretrain-1")))[-1].value
    shuffled = np.random.default_rng(4).permutation(dataset.frame["label"])
    save_dataset(workspace, "tiny", dataset.frame.assign(label=shuffled), dataset.info)
    again = list(pretrain(config, workspace, workspace.run("pretrain-2")))[-1].value
    assert again["split_fingerprint"] != first["split_fingerprint"], (
        "the shuffle was seen, by the split"
    )
    assert again["vae_sha256"] == first["vae_sha256"]


@pytest.mark.slow
def test_a_run_stopped_again_and_again_ends_with_the_same_weights(tmp_path, any_config, data):
    vae_config = any_config
    straight = weights_of(vae_config, data, tmp_path / "straight")
    run = RunFiles(tmp_path / "stopped").create()
    for steps in (0, 2, 1):  # at the start, inside an epoch, at its end
        events = train_vae(vae_config, data, run)
        list(itertools.islice((e for e in events if e.kind == "tick"), steps))
        events.close()
    rest = list(train_vae(vae_config, data, run))
    assert sum(e.kind == "tick" for e in rest) == 3 and rest[-1].value["vae_sha256"] == straight


@pytest.mark.slow
def test_a_resumed_run_keeps_the_recorded_precision(tmp_path, vae_config, data, monkeypatch):
    run = RunFiles(tmp_path / "run").create()
    events = train_vae(vae_config, data, run)
    next(e for e in events if e.kind == "tick")
    events.close()
    recorded = read_json(run.precision)
    monkeypatch.setattr("derm_core.training.precision.cpu_flags", lambda: frozenset(["another"]))
    assert list(train_vae(vae_config, data, run))[-1].value["precision"] == recorded


@pytest.mark.slow
def test_fast_mode_measures(tmp_path, vae_config, data):
    config = dataclasses.replace(vae_config, mode="fast")
    result = list(train_vae(config, data, RunFiles(tmp_path / "run").create()))[-1].value
    assert (
        "fastest measured" in result["precision"]["reason"]
        and "not compiled" in result["precision"]["reason"]
    )
    assert result["mode"] == "fast" and result["batch_size"] == 12


@pytest.mark.slow
def test_fast_mode_takes_smaller_batches_where_memory_is_short_and_keeps_them_when_resumed(
    tmp_path, vae_config, data, monkeypatch
):
    config, run = dataclasses.replace(vae_config, mode="fast"), RunFiles(tmp_path / "run").create()
    monkeypatch.setattr("derm_core.training.memory.available_memory", lambda: 0)
    events = train_vae(config, data, run)
    metrics = [next(e for e in events if e.kind == "metric" and e.series == "train/loss")]
    events.close()
    monkeypatch.undo()
    rest = list(train_vae(config, data, run))
    assert (
        metrics[0].step == 5
        and "batches of 2 in place of 12" in rest[-1].value["precision"]["reason"]
    )
    assert rest[-1].value["batch_size"] == 2 and sum(e.kind == "tick" for e in rest) == 2 * 20 - 5


@pytest.mark.slow
def test_the_log_says_which_mode_it_is(tmp_path, vae_config, data):
    for mode, words in (("reproducible", "Reproducible mode"), ("fast", "seeded only")):
        events = train_vae(
            dataclasses.replace(vae_config, mode=mode), data, RunFiles(tmp_path / mode).create()
        )
        assert any(words in str(event.value) for event in events if event.kind == "log")


@pytest.mark.slow
def test_from_dataset_to_result_and_again(workspace, dataset, vae_config):
    run = workspace.run("pretrain-1")
    result = list(pretrain(vae_config, workspace, run))[-1]
    assert result.kind == "result" and sum(result.value["images"].values()) < 60
    assert not list(run.checkpoints.glob("step-*"))
    assert [e.value for e in pretrain(vae_config, workspace, run)] == [result.value]


def test_max_images_is_kept(workspace, dataset, vae_config):
    config = dataclasses.replace(vae_config, max_images=30)
    data = drain(load_data(config, workspace))
    assert 0 < len(data.train) + len(data.val) < 30


def test_a_pretraining_on_the_official_split_reads_its_training_images(
    workspace, dataset, vae_config
):
    parts = ("train", "test", "train", "val")
    name_parts(workspace, dataset, parts)
    events, data = finish(load_data(dataclasses.replace(vae_config, splits="official"), workspace))
    rows = np.arange(len(dataset))
    assert np.array_equal(data.train, rows[rows % 2 == 0])
    assert np.array_equal(data.val, rows[rows % 4 == 3])
    assert data.record["splits"] == "official"
    assert any(event.kind == "log" and "official split" in event.value for event in events)


def test_unknown_and_too_small_datasets_are_named(workspace, dataset, vae_config):
    with pytest.raises(NotFound, match="nowhere"):
        drain(load_data(dataclasses.replace(vae_config, dataset="nowhere"), workspace))
    few = dataset.frame.assign(group="one")
    save_dataset(workspace, "few", few, dataset.info)
    with pytest.raises(DataError, match="validation"):
        drain(load_data(dataclasses.replace(vae_config, dataset="few"), workspace))


def drain(generator):
    """A generator's return value."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value
