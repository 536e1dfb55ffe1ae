"""Numbers of a published map take 8 bits and stay what they were, within what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.errors import RunError
from derm_core.insight.packed_map import (
    COORDINATES,
    quantise,
    quantise_features,
    quantise_latents,
    read_space,
    unpack,
)
from derm_core.insight.publish_map import MapParts, save_images, save_packed
from derm_core.insight.saved_map import MapInfo, PredictionSlot, SavedMap
from derm_core.workspace import RunFiles

ROWS = np.array([40, 7, 11, 100, 3, 52, 60, 61, 80, 99])  # of the manifest, in the map's order


def a_map(**columns) -> MapParts:
    """Ten images of a larger manifest, each one's neighbours those after it."""
    rng, count = np.random.default_rng(0), len(ROWS)
    points = pd.DataFrame({"image_id": [f"i{row}" for row in ROWS], "row": ROWS})
    points[list(COORDINATES)] = rng.normal(size=(count, 4)).astype(np.float32)
    points = points.assign(
        split="train", label="nv", group="g", age=[30.0, None] * 5, prediction_a="mel"
    )
    points = points.assign(confidence_a=np.float32(0.123456), **columns)
    positions = (np.arange(count)[:, None] + np.arange(1, 11)) % count
    near = np.where(positions == np.arange(count)[:, None], -1, ROWS[positions])
    info = MapInfo(params={}, arm="vae", quality={}, opinions=(PredictionSlot("a", "m", "vae"),))
    saved = SavedMap("embed-1", info, points, near, np.ones(near.shape, np.float32))
    issues = pd.DataFrame({"kind": "outlier", "row": [100, 7], "other": [3, -1]})
    return MapParts(saved, issues, rng.normal(size=(count, 4)), np.zeros(4), np.ones(4))


def test_rows_of_a_published_map_are_its_own_whatever_the_manifest_s_were(tmp_path):
    run, parts = RunFiles(tmp_path / "maps" / "m"), a_map()
    save_images(tmp_path / "maps", parts.saved)
    save_packed(run, parts)
    again = unpack(run)
    assert again.points["row"].tolist() == list(range(10))
    assert again.points["image_id"].tolist() == parts.saved.points["image_id"].tolist()
    assert again.neighbours[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, -1]
    assert np.isnan(again.distances[:, 9]).all() and (again.distances[:, :9] > 0).all()
    issues = pd.read_parquet(run.data_issues)
    assert issues[["row", "other"]].to_numpy().tolist() == [[3, 4], [1, -1]]
    assert again.points["age"].isna().tolist() == [False, True] * 5
    assert again.points["confidence_a"].tolist() == pytest.approx([0.123] * 10)
    places = again.points[list(COORDINATES)].to_numpy()
    assert places == pytest.approx(parts.saved.points[list(COORDINATES)].to_numpy(), abs=1e-4)
    space = read_space(run)
    shown = space.features_nk @ space.axes_dk.T
    assert shown == pytest.approx(parts.space_nd, abs=0.4)


def test_a_map_without_umap_is_not_published(tmp_path):
    with pytest.raises(RunError, match="UMAP"):
        save_packed(RunFiles(tmp_path / "m"), a_map(umap_x=np.nan))


def test_latents_change_by_half_a_step_at_most():
    rng = np.random.default_rng(0)
    mu = (rng.normal(size=(4000, 6)) * [0.01, 0.5, 1, 2, 9, 0] + [5, 0, 0, -3, 0, 7]).astype(
        np.float32
    )
    packed = quantise_latents(mu)
    assert packed.values_dn.dtype == np.int8 and packed.values_dn.shape == (6, 4000)
    step, reach = mu.std(0).max() / 6, np.abs(mu - mu.mean(0)).max(0)
    assert (np.abs(packed.restore() - mu).max(0) <= np.maximum(step, reach / 127) / 2 + 1e-4).all()


def test_far_values_are_kept_by_a_coarser_step():
    values = np.zeros((200, 2), np.float32)
    values[0] = [1000, -3]
    packed = quantise(values, 0.1)
    assert packed.restore()[0] == pytest.approx([1000, -3], rel=0.01)


def test_stored_features_keep_the_nearest_images():
    rng = np.random.default_rng(0)
    spread = 1 / (1 + np.arange(64))
    space = ((rng.normal(size=(600, 64)) * spread) @ rng.normal(size=(64, 64))).astype(np.float32)
    packed, axes = quantise_features(space)
    stored = packed.restore()
    assert stored.shape == (600, 48) and axes.shape == (64, 48)
    assert axes.T @ axes == pytest.approx(np.eye(48), abs=1e-5)

    def nearest(features: np.ndarray) -> np.ndarray:
        far = np.linalg.norm(features[:, None] - features[None], axis=2)
        return np.argsort(far, axis=1)[:, 1:11]

    own, kept = nearest(space), nearest(stored)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(own, kept, strict=True)]
    assert np.mean(shared) > 0.8
