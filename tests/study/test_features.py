"""The feature cache: right values, made once, keyed by what they depend on, stoppable in the middle."""

import numpy as np
import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.data.store import open_store
from derm_core.nets.backbone import build_backbone, make_extractor
from derm_core.study import features
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
