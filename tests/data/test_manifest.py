"""Manifest and description of a dataset: written and read alike, consistent, deletable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from derm_core.data.manifest import (
    DatasetInfo,
    DatasetSummary,
    delete_dataset,
    list_datasets,
    load_dataset,
    save_dataset,
)
from derm_core.errors import DataError, NotFound
from derm_core.workspace import Workspace


def frame_of(count: int = 60, classes=("a", "b", "c"), views: int = 2) -> pd.DataFrame:
    """`count` images, groups of `views`, classes in the proportion 1 : 2 : 3 by group."""
    group = np.arange(count) // views
    label = np.array(classes)[np.array([0, 1, 1, 2, 2, 2])[group % 6]]
    return pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(count)],
            "path": [f"/elsewhere/{i}.jpg" for i in range(count)],
            "label": label,
            "group": [f"g{g}" for g in group],
            "sha256": [f"{i:064x}" for i in range(count)],
            "width": 10,
            "height": 10,
            "age": np.where(np.arange(count) % 5 == 0, np.nan, 40.0),
            "sex": "female",
        }
    )


INFO = DatasetInfo(layout="csv", source="somewhere", classes=("a", "b", "c"))


def test_a_dataset_reads_back_as_it_was_saved(workspace):
    frame = frame_of()
    frame.loc[3, "label"] = None
    saved, loaded = save_dataset(workspace, "set", frame, INFO), load_dataset(workspace, "set")
    pd.testing.assert_frame_equal(saved.frame, loaded.frame)
    assert loaded.classes == ("a", "b", "c") and loaded.attributes == ["age", "sex"]
    assert loaded.info == saved.info and loaded.info.groups == 30
    assert loaded.labels[3] == -1 and loaded.labels[2] == 1 and loaded.labels.dtype == np.int64
    assert loaded.groups.tolist() == [i // 2 for i in range(60)]


def test_the_fingerprint_follows_labels_groups_and_content_only(workspace):
    base = save_dataset(workspace, "base", frame_of(), INFO).fingerprint
    for column in ("label", "group", "sha256", "image_id", "path", "age"):
        frame = frame_of()
        frame.loc[0, column] = {"label": "b", "age": 99.0}.get(column, "other")
        changed = save_dataset(workspace, "other", frame, INFO).fingerprint != base
        assert changed == (column not in ("path", "age")), column


def test_paths_below_the_datasets_own_folder_move_with_the_workspace(workspace, tmp_path):
    frame = frame_of(2)
    own = workspace.dataset("set").images / "0.png"
    frame.loc[0, "path"] = str(own)
    save_dataset(workspace, "set", frame, INFO)
    workspace.root.rename(tmp_path / "moved")
    moved = Workspace.open(tmp_path / "moved")
    assert load_dataset(moved, "set").frame["path"].tolist() == [
        str(moved.dataset("set").images / "0.png"),
        "/elsewhere/1.jpg",
    ]


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [("image_id", "i1", "twice"), ("label", "unheard", "not among the classes")],
)
def test_a_contradictory_manifest_is_refused(workspace, column, value, why):
    frame = frame_of()
    frame.loc[0, column] = value
    with pytest.raises(DataError, match=why):
        save_dataset(workspace, "set", frame, INFO)


def test_a_manifest_of_another_import_is_noticed(workspace):
    first = save_dataset(workspace, "set", frame_of(), INFO)
    description = first.paths.info.read_bytes()
    save_dataset(workspace, "set", frame_of(40), INFO)
    first.paths.info.write_bytes(description)
    with pytest.raises(DataError, match="import it again"):
        load_dataset(workspace, "set")


def test_a_missing_dataset_says_how_to_make_one(workspace):
    with pytest.raises(NotFound, match=r"data import PATH --name none.*data synth"):
        load_dataset(workspace, "none")


def test_a_list_names_damaged_datasets_without_failing(workspace):
    save_dataset(workspace, "good", frame_of(), INFO)
    save_dataset(workspace, "torn", frame_of(), INFO).paths.info.write_text("{")
    good, torn = list_datasets(workspace)
    assert good == DatasetSummary("good", 60, 3, 30, "csv", disk_bytes=good.disk_bytes)
    assert good.disk_bytes > 0
    assert torn.name == "torn" and torn.error and torn.images == 0
    assert list_datasets(workspace, disk=False)[0] == dataclasses.replace(good, disk_bytes=None)


def test_deleting_removes_what_was_derived_and_nothing_else(workspace, tmp_path):
    users = tmp_path / "mine.jpg"
    users.write_bytes(b"pixels")
    frame = frame_of(2)
    frame.loc[0, "path"] = str(users)
    save_dataset(workspace, "set", frame, INFO)
    features = workspace.cache / "features"
    features.mkdir()
    for name in ("set--1.npy", "settle--1.npy"):
        (features / name).write_bytes(bytes(1000))
    assert delete_dataset(workspace, "set") > 1000
    assert users.exists() and [path.name for path in features.iterdir()] == ["settle--1.npy"]
    assert not workspace.dataset("set").root.exists()
    with pytest.raises(NotFound):
        delete_dataset(workspace, "set")
