"""The feature cache: right values, made once, keyed by what they depend on, stoppable in the middle."""

import os

import numpy as np
import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.data.manifest import delete_dataset
from derm_core.data.store import open_store
from derm_core.nets.backbone import Backbone, build_backbone, make_extractor
from derm_core.study import feature_parts, features
from derm_core.study.features import extract, feature_path, finish
from tests import steps

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def store(workspace, tiny):
    return open_store(workspace, tiny, 32, processes=1)


def extractor(seed=0, mean=HALF):
    return make_extractor(
        "random", build_backbone(BackboneConfig(architecture="resnet18", stage=1), seed), mean, HALF
    )


@pytest.mark.slow
def test_features_are_the_pooled_maps_of_the_store(workspace, store):
    got = finish(extract(extractor(), store, workspace, "tiny"))
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 0).eval()
    images = torch.from_numpy(np.array(store.images)).permute(0, 3, 1, 2).double() / 255
    with torch.no_grad():
        expected = backbone.double().body((images - 0.5) / 0.5)[-1].mean(dim=(2, 3)).numpy()
    assert got.shape == expected.shape and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_chosen_rows_are_those_rows_of_the_whole(workspace, store):
    rows = np.array([3, 17, 40])
    whole = finish(extract(extractor(), store, workspace, "tiny"))
    some = finish(extract(extractor(), store, workspace, "tiny", rows))
    np.testing.assert_allclose(some, whole[rows], rtol=1e-4, atol=1e-5)


def test_second_time_nothing_is_computed(workspace, store):
    first = finish(extract(extractor(), store, workspace, "tiny"))
    events, second = steps.finish(extract(extractor(), store, workspace, "tiny"))
    assert events == [] and np.array_equal(second, first)


def test_reading_cached_features_says_when_they_were_used(workspace, store):
    finish(extract(extractor(), store, workspace, "tiny"))
    path = feature_path(workspace, "tiny", extractor(), store, None)
    os.utime(path, (0, 0))
    finish(extract(extractor(), store, workspace, "tiny"))
    assert path.stat().st_mtime > 0


@pytest.mark.slow
def test_two_computations_agree_bit_for_bit(workspace, store):
    first = finish(extract(extractor(), store, workspace, "tiny"))
    feature_path(workspace, "tiny", extractor(), store, None).unlink()
    assert np.array_equal(finish(extract(extractor(), store, workspace, "tiny")), first)


def test_features_of_a_runs_weights_carry_its_id(workspace, store):
    made = extractor()
    made.info["run"] = "pretrain-1"
    assert feature_path(workspace, "tiny", made, store, None).name.endswith("--pretrain-1.npy")


@pytest.mark.slow
def test_other_weights_normalisation_pixels_or_rows_have_their_own_file(workspace, store, tiny):
    other_size = open_store(workspace, tiny, 16, processes=1)
    paths = {
        feature_path(workspace, "tiny", *key)
        for key in (
            (extractor(), store, None),
            (extractor(seed=1), store, None),
            (extractor(mean=(0.4, 0.5, 0.5)), store, None),
            (extractor(), other_size, None),
            (extractor(), store, np.array([1, 2])),
        )
    }
    assert len(paths) == 5


def test_another_way_of_computing_has_its_own_file(workspace, store, monkeypatch):
    before = feature_path(workspace, "tiny", extractor(), store, None)
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    assert feature_path(workspace, "tiny", extractor(), store, None) != before


@pytest.mark.slow
def test_the_batch_of_a_forward_pass_changes_rounding_only(workspace, store, monkeypatch):
    first = finish(extract(extractor(), store, workspace, "tiny"))
    feature_path(workspace, "tiny", extractor(), store, None).unlink()
    monkeypatch.setattr(features, "batch_size", lambda device, size: 7)
    np.testing.assert_allclose(
        finish(extract(extractor(), store, workspace, "tiny")), first, rtol=1e-4, atol=1e-6
    )


def test_settings_of_the_process_are_put_back(workspace, store):
    torch.backends.cudnn.allow_tf32 = True
    finish(extract(extractor(), store, workspace, "tiny"))
    assert torch.backends.cudnn.allow_tf32 and not torch.is_inference_mode_enabled()


@pytest.mark.slow
def test_a_damaged_cache_file_is_made_anew(workspace, store):
    first = finish(extract(extractor(), store, workspace, "tiny"))
    feature_path(workspace, "tiny", extractor(), store, None).write_bytes(b"\x93NUMPY torn")
    assert np.array_equal(finish(extract(extractor(), store, workspace, "tiny")), first)


def test_stopping_in_the_middle_leaves_no_file(workspace, store, monkeypatch):
    monkeypatch.setattr(features, "batch_size", lambda device, size: 32)
    computing = extract(extractor(), store, workspace, "tiny")
    kinds = [next(computing).kind for _ in range(4)]
    computing.close()
    assert "tick" in kinds
    assert not list((workspace.cache / "features").glob("*.npy"))


@pytest.fixture
def parts_each_batch(monkeypatch):
    """A part is kept after every batch, of seven images."""
    monkeypatch.setattr(feature_parts, "PART_SECONDS", 0.0)
    monkeypatch.setattr(features, "batch_size", lambda device, size: 7)


@pytest.fixture
def batches(monkeypatch):
    """The sizes of the batches whose features are computed."""
    sizes, pooled = [], Backbone.pooled

    def counting(backbone, images):
        sizes.append(len(images))
        return pooled(backbone, images)

    monkeypatch.setattr(Backbone, "pooled", counting)
    return sizes


def stop_after(workspace, store, ticks: int) -> None:
    computing = extract(extractor(), store, workspace, "tiny")
    while ticks:
        ticks -= next(computing).kind == "tick"
    computing.close()


def names(workspace, pattern="*") -> list[str]:
    return sorted(path.name for path in (workspace.cache / "features").glob(pattern))


def test_a_stopped_extraction_goes_on_after_its_finished_parts(
    workspace, store, parts_each_batch, batches
):
    whole = finish(extract(extractor(), store, workspace, "tiny"))
    path = feature_path(workspace, "tiny", extractor(), store, None)
    assert names(workspace) == [path.with_suffix(".json").name, path.name]
    path.unlink()
    stop_after(workspace, store, 3)
    stop_after(workspace, store, 2)  # from the fourth batch on
    assert len(names(workspace, "*.part-*.npy")) == 5 and not path.exists()
    batches.clear()
    events, resumed = steps.finish(extract(extractor(), store, workspace, "tiny"))
    assert sum(batches) == len(store.images) - 5 * 7
    assert resumed.tobytes() == whole.tobytes() == np.load(path).tobytes()
    shown = [event.value for event in events if event.kind == "progress"]
    assert shown[-1].done == len(store.images)
    assert not names(workspace, "*.part-*")


def test_only_parts_of_the_same_rows_and_batches_that_are_whole_are_taken(
    workspace, store, parts_each_batch, batches, monkeypatch
):
    stop_after(workspace, store, 4)
    _, second, *_ = sorted((workspace.cache / "features").glob("*.part-*.npy"))
    second.write_bytes(second.read_bytes()[:-1])
    batches.clear()
    stop_after(workspace, store, 2)
    assert batches == [7, 7]  # the second and third
    monkeypatch.setattr(features, "batch_size", lambda device, size: 8)
    batches.clear()
    rest = finish(extract(extractor(), store, workspace, "tiny"))
    assert sum(batches) == len(store.images) == len(rest)
    assert not names(workspace, "*.part-*")


def test_the_seconds_of_earlier_parts_are_counted(workspace, store, parts_each_batch):
    stop_after(workspace, store, 2)
    for path in (workspace.cache / "features").glob("*.part-*.json"):
        path.write_text('{"seconds": 1000}')
    finish(extract(extractor(), store, workspace, "tiny"))
    seconds = features.extraction_seconds(extractor(), store, workspace, "tiny", None)
    assert 2000 <= seconds < 3000


def test_a_short_extraction_or_a_full_disk_has_no_parts(workspace, store, monkeypatch):
    monkeypatch.setattr(features, "batch_size", lambda device, size: 7)
    stop_after(workspace, store, 3)
    assert not names(workspace)
    monkeypatch.setattr(feature_parts, "PART_SECONDS", 0.0)
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(feature_parts.shutil, "disk_usage", lambda path: full)
    stop_after(workspace, store, 3)
    assert not names(workspace)


def test_parts_go_with_the_dataset(workspace, store, parts_each_batch):
    stop_after(workspace, store, 3)
    assert names(workspace)
    delete_dataset(workspace, "tiny")
    assert not names(workspace)
