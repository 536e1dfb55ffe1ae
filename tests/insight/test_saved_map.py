"""Saved maps are read again, those of earlier versions too."""

import numpy as np
import pandas as pd
import pytest

from derm_core.config import EmbedConfig, from_dict
from derm_core.errors import ConfigError, NotFound, RunError
from derm_core.files import write_json
from derm_core.insight.saved_map import (
    neighbours_in,
    read_map,
)


@pytest.fixture
def old(workspace):
    """A map as the first version wrote it."""
    folder = workspace.run("embed-1").create().artefacts
    points = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "row": [0, 5, 7],
            "umap_x": [0.0, 1, 2],
            "umap_y": 0.0,
            "pca_x": 0.0,
            "pca_y": 0.0,
            "split": "train",
            "label": None,
            "group": ["g", "h", "i"],
        }
    )
    points.to_parquet(folder / "map.parquet", index=False)
    near, far = np.full((3, 10), -1), np.full((3, 10), np.nan, np.float32)
    near[:, :2], far[:, :2] = [[5, 7], [0, 7], [5, 0]], [[1, 2], [1, 3], [3, 4]]
    np.save(folder / "neighbours.npy", near)
    np.save(folder / "distances.npy", far)
    write_json(
        folder / "map.json",
        {
            "params": {
                "schema": 1,
                "kind": "embed",
                "dataset": "d",
                "arm": "imagenet",
                "pooling": "pooled",
            },
            "arm": "imagenet",
            "quality": {"trustworthiness": 0.9},
        },
    )
    return workspace


def test_a_map_of_the_first_version_opens(old):
    saved = read_map(old, "embed-1")
    assert saved.space == "pooled" and saved.info.opinions == () and len(saved.points) == 3
    assert from_dict(saved.info.params, EmbedConfig).space == "pooled"
    assert saved.info.quality == {"trustworthiness": 0.9} and saved.info.trouble is None


def test_settings_of_the_first_version_keep_their_meaning():
    body = {
        "schema": 1,
        "kind": "embed",
        "dataset": "d",
        "arm": "vae",
        "vae_run": "pretrain-1",
        "pooling": "mu",
    }
    assert from_dict(body) == EmbedConfig(dataset="d", arm="vae", vae_run="pretrain-1", space="mu")
    with pytest.raises(ConfigError, match="only a VAE"):
        EmbedConfig(dataset="d", arm="imagenet", space="mu")


def test_neighbours_of_an_image_by_name(old):
    saved = read_map(old, "embed-1")
    near = neighbours_in(saved, "c")
    assert (
        near["image_id"].tolist() == ["b", "a"]
        and near["row"].tolist() == [5, 0]
        and near["distance"].tolist() == [3, 4]
    )
    assert neighbours_in(saved, "c", 1)["image_id"].tolist() == ["b"] and not len(
        neighbours_in(saved, "nobody")
    )


def test_neighbours_that_are_not_there_yet_are_none(old):
    (old.run("embed-1").artefacts / "distances.npy").unlink()
    saved = read_map(old, "embed-1")
    assert (saved.neighbours == -1).all() and saved.neighbours.shape == saved.distances.shape
    assert not len(neighbours_in(saved, "a"))


def test_missing_and_damaged_maps_are_said(old):
    with pytest.raises(NotFound, match="has no map"):
        read_map(old, "embed-2")
    folder = old.run("embed-1").artefacts
    np.save(folder / "distances.npy", np.zeros((2, 10)))
    with pytest.raises(RunError, match="does not belong"):
        read_map(old, "embed-1")
    (folder / "map.parquet").write_bytes(b"torn")
    with pytest.raises(RunError, match="cannot be read"):
        read_map(old, "embed-1")
