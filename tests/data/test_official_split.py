"""The split that a dataset names: used as it is, what crosses it counted, or refused."""

import numpy as np
import pandas as pd
import pytest

from derm_core.data.manifest import DatasetInfo, save_dataset
from derm_core.data.official_split import (
    describe_official,
    describe_unused,
    has_official_split,
    official_split,
)
from derm_core.data.splits import SPLITS
from derm_core.data.used_images import SplitRule, used_images
from derm_core.errors import ConfigError, DataError

OFFICIAL = SplitRule(splits="official")


def dataset_of(workspace, parts, groups=None, contents=None, **info):
    """A dataset with these official parts; every image is its own group and content by default."""
    count = len(parts)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(count)],
            "path": [f"/elsewhere/{i}.jpg" for i in range(count)],
            "label": [("a", "b")[i % 2] for i in range(count)],
            "group": groups or [f"g{i}" for i in range(count)],
            "sha256": contents or [f"{i:064x}" for i in range(count)],
            "width": 10,
            "height": 10,
            "official_split": pd.Series(parts, dtype=object),
        }
    )
    info = {"group_kinds": {"lesion": count}, **info}
    described = DatasetInfo(layout="csv", classes=("a", "b"), **info)
    return save_dataset(workspace, "set", frame, described)


def test_images_are_in_the_parts_that_the_dataset_names(workspace):
    parts = ["train", "val", "test", "train"] * 5
    used = used_images(dataset_of(workspace, parts), OFFICIAL)
    assert [SPLITS[part] for part in used.split] == parts
    assert not used.official.leaks and used.official.left_out == 0
    assert not used.official.validation_drawn


def test_groups_and_equal_images_in_several_parts_are_counted(workspace):
    parts = ["train"] * 10 + ["val"] * 4 + ["test"] * 6
    groups = [f"g{i}" for i in range(20)]
    groups[10] = groups[0]  # training and validation
    groups[14] = groups[15] = groups[1]  # training and test, twice
    groups[3] = groups[2]  # within training
    contents = [f"{i:064x}" for i in range(20)]
    contents[19] = contents[4]
    official = used_images(dataset_of(workspace, parts, groups, contents), OFFICIAL).official
    assert (official.groups_across, official.images_across, official.leaks) == (2, 1, True)
    assert "2 groups and 1 equal image" in describe_official(official)


def test_unknown_groups_are_not_counted_as_none(workspace):
    dataset = dataset_of(workspace, ["train", "val", "test"] * 4, group_kinds={"image": 12})
    official = used_images(dataset, OFFICIAL).official
    assert official.groups_across is None and official.images_across == 0
    assert "groups are unknown" in describe_official(official)


def test_where_no_validation_is_named_whole_groups_of_training_are_it(workspace):
    parts = ["train"] * 200 + ["test"] * 40
    groups = [f"g{i // 4}" for i in range(240)]
    dataset = dataset_of(workspace, parts, groups)
    used = used_images(dataset, OFFICIAL)
    assert np.bincount(used.split).tolist()[2] == 40
    assert abs((used.split == 1).sum() - 30) <= 4 and used.official.validation_drawn
    assert not set(dataset.groups[used.split == 0]) & set(dataset.groups[used.split == 1])
    other = used_images(dataset, SplitRule(splits="official", seed=1))
    assert (used.split != other.split).any() and (used.split[200:] == other.split[200:]).all()


def test_a_few_images_in_no_part_are_left_out_and_counted(workspace):
    parts = ["train", "val", "test", "train"] * 10
    used = used_images(dataset_of(workspace, [*parts[:-1], None]), OFFICIAL)
    assert len(used.rows) == 39 and used.official.left_out == 1
    assert "1 image" in describe_official(used.official)


@pytest.mark.parametrize(
    "parts",
    [
        ["train", "test", None] * 10,  # a third in no part
        ["train", "val"] * 10,
        ["val", "test"] * 10,
        ["Training", "Holdout"] * 10,
    ],
    ids=["too many in no part", "no test", "no training", "other names"],
)
def test_an_official_split_that_cannot_be_used_is_refused_with_the_way_out(workspace, parts):
    with pytest.raises(DataError, match="--splits grouped"):
        official_split(dataset_of(workspace, parts), 0)


def test_a_dataset_without_one_is_refused(workspace):
    dataset = dataset_of(workspace, [None] * 9)
    assert not has_official_split(dataset)
    with pytest.raises(ConfigError, match="--splits grouped"):
        used_images(dataset, OFFICIAL)
    without = dataset_of(workspace, [None] * 9)
    without = save_dataset(
        workspace, "bare", without.frame.drop(columns="official_split"), without.info
    )
    assert not has_official_split(without)


def test_an_official_split_that_is_not_used_is_named_with_what_crosses_it(workspace):
    groups = [f"g{i}" for i in range(12)]
    groups[2] = groups[0]
    dataset = dataset_of(workspace, ["train", "val", "test"] * 4, groups)
    assert "1 group and 0 equal images" in describe_unused(dataset)
    assert "cannot be used" in describe_unused(dataset_of(workspace, ["train"] * 12))
    assert describe_unused(dataset_of(workspace, [None] * 12)) == ""


def test_a_part_of_an_official_split_keeps_its_shares(workspace):
    parts = (["train"] * 5 + ["val"] + ["test"] * 4) * 30
    dataset = dataset_of(workspace, parts)
    used = used_images(dataset, SplitRule(splits="official", max_images=60))
    assert np.bincount(used.split).tolist() == [30, 6, 24]
    assert [SPLITS[part] for part in used.split] == [parts[row] for row in used.rows]
