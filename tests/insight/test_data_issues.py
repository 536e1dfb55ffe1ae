"""Data issues: what is planted in a small dataset is found, ranked and explained."""

from dataclasses import fields
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from derm_core.data import near_duplicates
from derm_core.data.manifest import DatasetInfo
from derm_core.insight import data_issues
from derm_core.insight.data_issues import DataIssue, DataIssues, find_issues
from derm_core.stats.feature_space import FeatureSpace
from derm_core.stats.neighbours import nearest


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
        FeatureSpace(space, positions, distances),
    )


def find(planted, rows=None):
    dataset, split, images, mapped = planted
    return find_issues(
        dataset, np.arange(120), split, images, mapped, [], 0, lambda done, total: None
    )


def test_what_was_planted_is_found(planted):
    issues = find(planted)
    assert (
        list(issues.table.columns) == [field.name for field in fields(DataIssue)]
        and (issues.table.groupby("kind")["score"].apply(lambda s: s.is_monotonic_decreasing)).all()
    )
    pairs = issues.table[issues.table["kind"] == "near_duplicate"].set_index("row")
    assert pairs["other"].to_dict() == {3: 4, 50: 51, 60: 61}, (
        "views of one group are no trouble unless the source lists them"
    )
    assert pairs["across_splits"].to_dict() == {3: True, 50: False, 60: False}
    assert "different splits" in pairs["reason"][3] and "lists this pair" in pairs["reason"][50]
    assert pairs.index[-1] == 60 and pairs["score"][60] == 0, (
        "listed by the source, not found: last"
    )
    doubted = issues.table[issues.table["kind"] == "label_error"]
    assert (
        doubted["row"].iloc[0] == 20
        and doubted["suggestion"].iloc[0] == "a"
        and "Labelled b" in doubted["reason"].iloc[0]
    )
    assert issues.table[issues.table["kind"] == "outlier"]["row"].tolist() == [30]
    assert (
        issues.counts.known_pairs == 2
        and issues.counts.found == 1
        and issues.counts.across_splits == 1
    )
    assert issues.counts.near_duplicate == 3 and issues.counts.outlier == 1


def test_labels_and_outliers_are_saved_before_pairs_are_compared_and_then_what_is_found(
    planted, monkeypatch
):
    monkeypatch.setattr(near_duplicates, "CHUNK", 5)
    monkeypatch.setattr(data_issues, "FIRST_PAUSE", 0.0)
    dataset, split, images, mapped = planted
    saved: list[DataIssues] = []
    reports: list[tuple[int, int]] = []
    end = find_issues(
        dataset,
        np.arange(120),
        split,
        images,
        mapped,
        [],
        0,
        lambda *done: reports.append(done),
        saved.append,
    )
    pd.testing.assert_frame_equal(end.table, find(planted).table)
    assert saved[0].counts.pairs_left == reports[-1][1] > 10 and end.counts.pairs_left == 0
    assert saved[0].counts.near_duplicate == 0 and saved[0].counts.found is None
    others = [issues.table[issues.table["kind"] != "near_duplicate"] for issues in (saved[0], end)]
    assert others[0].values.tolist() == others[1].values.tolist() and len(others[0]) > 1
    left = [issues.counts.pairs_left for issues in saved]
    assert left == sorted(left, reverse=True) and len(left) > 2
    pairs = [set(issues.table.query("kind == 'near_duplicate'")["row"]) for issues in (*saved, end)]
    assert all(earlier <= later for earlier, later in pairwise(pairs))


def test_without_labels_and_lists_the_rest_stands(planted):
    planted[0].labels[:], planted[0].info = -1, DatasetInfo(source="nowhere")
    issues = find(planted)
    assert (
        issues.counts.label_error == 0
        and issues.counts.random_labels is None is issues.counts.confused_labels
    )
    assert (
        issues.counts.known_pairs is None is issues.counts.found
        and issues.counts.near_duplicate == 1
    )


def test_rows_are_those_of_the_manifest(planted):
    """Of a dataset's second half alone, mapped as positions 0 to 59."""
    dataset, split, images, _ = planted
    space = planted[3].features[60:].copy()
    space[5] = 70
    positions, distances = nearest(space, 10)
    issues = find_issues(
        dataset,
        np.arange(60, 120),
        split[60:],
        images,
        FeatureSpace(space, positions, distances),
        [],
        0,
        lambda *done: None,
    )
    assert (
        65 in issues.table[issues.table["kind"] == "outlier"]["row"].tolist()
        and issues.counts.known_pairs == 1
    )
