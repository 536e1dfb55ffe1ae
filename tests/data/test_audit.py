"""The audit counts for itself: planted leaks are named, tables add up, the result is JSON."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from derm_core.data.audit import MISSING, OTHER, audit, categorise
from derm_core.data.manifest import Dataset, DatasetInfo
from derm_core.data.splits import split_dataset
from derm_core.records import to_json

CLASSES = ("mel", "nv")


def lesions(count: int = 200, seed: int = 0) -> Dataset:
    """Lesions with one to three images, an age with gaps, a sex and a site."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(count), rng.integers(1, 4, count))
    label = rng.choice(CLASSES, count, p=[0.2, 0.8])[group]
    n = len(group)
    age = rng.integers(4, 18, n) * 5.0
    age[:7] = np.nan
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)],
            "path": "x.jpg",
            "label": label.astype(object),
            "group": [f"g{g}" for g in group],
            "sha256": [f"s{i}" for i in range(n)],
            "width": 10,
            "height": 10,
            "age": age,
            "sex": rng.choice(["female", "male"], n),
            "site": rng.choice(list("abcdefghijklmnopqrstuvwx"), n),
        }
    )
    return Dataset("lesions", frame, CLASSES, DatasetInfo(group_kinds={"lesion": n}), None)


def with_group_kinds(dataset: Dataset, **kinds: int) -> Dataset:
    info = dataclasses.replace(dataset.info, group_kinds=kinds)
    return dataclasses.replace(dataset, info=info)


def halves(dataset: Dataset) -> np.ndarray:
    return split_dataset(dataset.labels, dataset.groups, 0)


def test_a_sound_split_has_nothing_that_crosses():
    dataset = lesions()
    result = audit(dataset, halves(dataset))
    assert result.groups_across_splits == 0 and result.duplicate_images_across_splits == 0
    assert result.groups_known and result.images_without_group == 0 and result.cautions == ()


def test_where_no_group_is_known_none_is_certified():
    dataset = lesions()
    unknown = with_group_kinds(dataset, image=len(dataset))
    result = audit(unknown, halves(unknown))
    assert result.groups_across_splits is None and not result.groups_known
    assert result.images_without_group == len(dataset)
    assert result.duplicate_images_across_splits == 0, "equal images are still counted"
    assert result.cautions[0].startswith("Groups unknown: leakage cannot be excluded")


def test_a_group_that_crosses_is_named_even_where_groups_are_unknown():
    dataset = lesions()
    unknown = with_group_kinds(dataset, image=len(dataset))
    split = halves(unknown)
    several = dataset.frame.groupby("group").size()
    name = several[several > 1].index[0]
    first = dataset.frame.index[dataset.frame["group"] == name][0]
    split[first] = (split[first] + 1) % 3
    result = audit(unknown, split)
    assert result.groups_across_splits is None and result.crossing.groups == (name,)


def test_images_without_a_group_are_counted_beside_those_with_one():
    dataset = lesions()
    partly = with_group_kinds(dataset, lesion=len(dataset) - 30, image=30)
    result = audit(partly, halves(partly))
    assert result.groups_across_splits == 0 and result.images_without_group == 30
    assert len(result.cautions) == 1 and result.cautions[0].startswith("30 of ")


def test_patients_of_one_image_each_are_known_groups():
    dataset = lesions()
    frame = dataset.frame.assign(group=dataset.frame["image_id"])
    each = with_group_kinds(dataclasses.replace(dataset, frame=frame), patient=len(frame))
    result = audit(each, halves(each))
    assert result.groups_known and result.groups_across_splits == 0 and not result.cautions


def test_a_leaked_group_is_counted_and_named():
    dataset = lesions()
    split = halves(dataset)
    several = dataset.frame.groupby("group").size()
    for leaked, name in enumerate(several[several > 1].index[:3], start=1):
        first = dataset.frame.index[dataset.frame["group"] == name][0]
        split[first] = (split[first] + 1) % 3
        leaky = audit(dataset, split)
        assert leaky.groups_across_splits == leaked and name in leaky.crossing.groups
        assert len(leaky.crossing.groups) == leaked


def test_equal_contents_in_two_splits_are_counted():
    dataset = lesions()
    split = halves(dataset)
    train, test = np.flatnonzero(split == 0)[:2], np.flatnonzero(split == 2)[0]
    dataset.frame.loc[[train[0], test], "sha256"] = "same"
    dataset.frame.loc[train[1], "sha256"] = dataset.frame.loc[
        np.flatnonzero(split == 0)[5], "sha256"
    ]
    result = audit(dataset, split)
    assert result.duplicate_images_across_splits == 1 and result.duplicate_images == 2
    assert sorted(result.crossing.image_ids) == sorted(dataset.frame["image_id"][[train[0], test]])


def test_counts_add_up():
    dataset = lesions()
    result = audit(dataset, halves(dataset))
    parts = result.splits.values()
    assert sum(p.images for p in parts) == result.images == len(dataset)
    assert sum(p.groups for p in parts) == result.groups == dataset.frame["group"].nunique()
    class_of_group = dataset.frame.groupby("group")["label"].first()
    for name in CLASSES:
        images = (dataset.frame["label"] == name).sum()
        assert sum(p.classes[name] for p in parts) == result.classes[name] == images
        assert sum(p.class_groups[name] for p in parts) == (class_of_group == name).sum()
    assert sum(int(size) * count for size, count in result.group_sizes.items()) == len(dataset)
    assert result.images_per_group.mean == pytest.approx(len(dataset) / result.groups)


def test_attribute_tables_add_up():
    dataset = lesions()
    split = halves(dataset)
    for name, table in audit(dataset, split).attributes.items():
        assert sum(row.images for row in table) == len(dataset), name
        for column in ("share", "train", "val", "test"):
            assert sum(getattr(row, column) for row in table) == pytest.approx(1), (name, column)
    sex = {row.value: row for row in audit(dataset, split).attributes["sex"]}
    assert sex["male"].test == pytest.approx((dataset.frame["sex"][split == 2] == "male").mean())


def test_ages_are_binned_and_gaps_have_a_row():
    dataset = lesions()
    table = audit(dataset, halves(dataset)).attributes["age"]
    assert [row.value for row in table][-1] == MISSING and table[-1].images == 7
    age = dataset.frame["age"]
    assert [row.value for row in table[:-1]] == ["20 to 40", "40 to 60", "60 to 80", "80 to 100"]
    assert table[1].images == ((age >= 40) & (age < 60)).sum()
    assert audit(dataset, halves(dataset)).missing["age"] == 7


def test_rare_texts_are_summed_up():
    values = pd.Series([f"site {i // 3}" for i in range(90)] + ["back"] * 5)
    texts, order = categorise(values)
    assert order[0] == "back" and order[-1] == OTHER and len(order) == 21
    assert (texts == OTHER).sum() == 95 - 5 - 19 * 3


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        [1, 2, 2],
        ["a", None, "b"],
        [None, None, None],
        [0.1, 0.25, 0.31, 0.4, 0.55, 0.7, 0.9, np.nan],
        [-3.0, -2, -1, 0, 1, 2, 3, 4],
        [1e6 + i for i in range(9)],
        ["5", "7", "unknown"],
        [1.0, np.inf] * 5,
    ],
)
def test_any_column_can_be_tabled(values):
    texts, order = categorise(pd.Series(values))
    assert set(texts) <= set(order) and len(order) == len(set(order))


def test_images_without_a_label_are_counted_apart():
    dataset = lesions()
    dataset.frame.loc[:9, "label"] = None
    result = audit(dataset, halves(dataset))
    assert result.unlabelled == result.missing["label"] == 10
    assert sum(result.classes.values()) == len(dataset) - 10


def test_groups_of_several_classes_are_counted():
    dataset = lesions()
    mixed = dataset.frame.groupby("group").size().idxmax()
    rows = dataset.frame.index[dataset.frame["group"] == mixed]
    dataset.frame.loc[rows, "label"] = ["mel", "nv", "nv"][: len(rows)]
    assert audit(dataset, halves(dataset)).groups_with_several_classes == 1


def test_the_audit_is_json():
    dataset = lesions()
    result = audit(dataset, halves(dataset))
    value = to_json(result)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
