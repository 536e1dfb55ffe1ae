"""Data trouble: what is planted in a small dataset is found, ranked and said."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from derm_core.data.manifest import DatasetInfo
from derm_core.insight.data_issues import find_trouble
from derm_core.insight.saved_map import TROUBLE
from derm_core.stats.feature_space import nearest


@pytest.fixture
def planted(tmp_path):
    """120 textured images of two classes.

    3 copies 4 in another split, 10 copies 11 of its group, 20 is mislabelled, 30 is far from all
    others; 50 and 51 are a copied pair that the source lists.
    """
    rng = np.random.default_rng(0)
    images = np.repeat(
        np.repeat(rng.integers(0, 256, (120, 16, 16, 3), dtype=np.uint8), 4, 1), 4, 2
    )
    labels = np.arange(120) % 2
    space = (rng.normal(size=(120, 6)) + 8 * labels[:, None] * [1, 0, 0, 0, 0, 0]).astype(
        np.float32
    )
    groups = np.arange(120)
    for a, b in ((3, 4), (10, 11), (50, 51)):
        images[b], space[b], labels[b] = images[a], space[a] + 0.01, labels[a]
    groups[11], groups[51] = 10, 50
    labels[20], space[30] = 1, [-30, 0, 0, 0, 0, 0]
    (tmp_path / "known_duplicates.csv").write_text(
        "similarity,from_img,to_img\n0.9,i50.jpg,i51.jpg\n0.9,i60.jpg,i61.jpg\n0.9,x.jpg,i1.jpg\n"
    )
    split = np.zeros(120, int)
    split[4] = 2
    frame = pd.DataFrame({"image_id": [f"i{i}" for i in range(120)], "path": "/nowhere/gone.png"})
    dataset = SimpleNamespace(
        labels=labels,
        groups=groups,
        classes=("a", "b"),
        frame=frame,
        info=DatasetInfo(source=str(tmp_path)),
    )
    positions, distances = nearest(space, 10)
    return (
        dataset,
        split,
        images,
        SimpleNamespace(space=space, positions=positions, distances=distances),
    )


def find(planted, rows=None):
    dataset, split, images, mapped = planted
    return find_trouble(
        dataset, np.arange(120), split, images, mapped, [], 0, lambda done, total: None
    )


def test_what_was_planted_is_found(planted):
    found = find(planted)
    assert (
        tuple(found.table.columns) == TROUBLE
        and (found.table.groupby("kind")["score"].apply(lambda s: s.is_monotonic_decreasing)).all()
    )
    pairs = found.table[found.table["kind"] == "near_duplicate"].set_index("row")
    assert pairs["other"].to_dict() == {3: 4, 50: 51, 60: 61}, (
        "views of one group are no trouble unless the source lists them"
    )
    assert pairs["across_splits"].to_dict() == {3: True, 50: False, 60: False}
    assert "different splits" in pairs["reason"][3] and "lists this pair" in pairs["reason"][50]
    assert pairs.index[-1] == 60 and "do not agree enough" in pairs["reason"][60], (
        "listed by the source, not found: last"
    )
    doubted = found.table[found.table["kind"] == "label_error"]
    assert (
        doubted["row"].iloc[0] == 20
        and doubted["suggestion"].iloc[0] == "a"
        and "Labelled b" in doubted["reason"].iloc[0]
    )
    assert found.table[found.table["kind"] == "outlier"]["row"].tolist() == [30]
    assert (
        found.counts["known_pairs"] == 2
        and found.counts["found"] == 1
        and found.counts["across_splits"] == 1
    )
    assert found.counts["near_duplicate"] == 3 and found.counts["outlier"] == 1


def test_without_labels_and_lists_the_rest_stands(planted):
    planted[0].labels[:], planted[0].info = -1, DatasetInfo(source="nowhere")
    found = find(planted)
    assert (
        found.counts["label_error"] == 0
        and found.counts["random_labels"] is None is found.counts["confused_labels"]
    )
    assert (
        found.counts["known_pairs"] is None is found.counts["found"]
        and found.counts["near_duplicate"] == 1
    )


def test_rows_are_those_of_the_manifest(planted):
    """Of a dataset's second half alone, mapped as positions 0 to 59."""
    dataset, split, images, _ = planted
    space = planted[3].space[60:].copy()
    space[5] = 70
    positions, distances = nearest(space, 10)
    found = find_trouble(
        dataset,
        np.arange(60, 120),
        split[60:],
        images,
        SimpleNamespace(space=space, positions=positions, distances=distances),
        [],
        0,
        lambda *done: None,
    )
    assert (
        65 in found.table[found.table["kind"] == "outlier"]["row"].tolist()
        and found.counts["known_pairs"] == 1
    )
