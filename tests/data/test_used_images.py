"""Which images a run uses: parts in their shares, classes in theirs, and the same for every size."""

import numpy as np
import pandas as pd
import pytest

from derm_core.config import EmbedConfig, PretrainConfig, StudyConfig, from_dict, to_dict
from derm_core.data.manifest import DatasetInfo, save_dataset
from derm_core.data.sampling import draw_before_split
from derm_core.data.splits import SPLITS, fold_split, split_dataset
from derm_core.data.used_images import SplitRule, used_images
from derm_core.errors import ConfigError

# Class shares of HAM10000, and views of a lesion as there: most have one image.
SHARES = np.array([0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])
VIEWS, VIEW_SHARES = (1, 2, 3, 4), (0.73, 0.2, 0.05, 0.02)


def lesions(workspace, count=3000, views=VIEWS, view_shares=VIEW_SHARES, **columns):
    """A dataset of imbalanced lesions with one or more images each, in no order."""
    rng = np.random.default_rng(0)
    label = rng.choice(len(SHARES), count, p=SHARES)
    group = rng.permutation(np.repeat(np.arange(count), rng.choice(views, count, p=view_shares)))
    names = tuple("abcdefg")
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(len(group))],
            "path": [f"/elsewhere/{i}.jpg" for i in range(len(group))],
            "label": np.array(names, dtype=object)[label[group]],
            "group": [f"g{g}" for g in group],
            "sha256": [f"{i:064x}" for i in range(len(group))],
            "width": 10,
            "height": 10,
        }
    ).assign(**columns)
    return save_dataset(workspace, "set", frame, DatasetInfo(layout="csv", classes=names))


def shares_of_parts(used):
    return np.bincount(used.split, minlength=3) / len(used.rows)


@pytest.mark.parametrize("most", [20, 50, 100, 200, 500, 1500])
@pytest.mark.parametrize("seed", range(3))
def test_drawn_images_are_split_70_15_15_and_by_class(workspace, most, seed):
    dataset = lesions(workspace)
    used = used_images(dataset, SplitRule(seed=seed, max_images=most))
    assert len(used.rows) == most and (np.diff(used.rows) > 0).all()
    assert np.abs(shares_of_parts(used) - [0.7, 0.15, 0.15]).max() <= 1.5 / most
    labels = dataset.labels[used.rows]
    for part in range(3):
        of_part = np.bincount(labels[used.split == part], minlength=7)
        # A class that the share gives nothing has one image, taken from the most frequent class.
        assert np.abs(of_part - SHARES * of_part.sum()).max() <= 4 + 0.02 * of_part.sum()
        if of_part.sum() >= 7:
            assert (of_part > 0).all()


@pytest.mark.parametrize("most", [20, 133, 1000])
def test_a_drawn_image_is_in_the_same_part_as_in_the_whole_dataset(workspace, most):
    dataset = lesions(workspace)
    whole = used_images(dataset, SplitRule(seed=4))
    assert np.array_equal(whole.rows, np.arange(len(dataset)))
    assert np.array_equal(whole.split, split_dataset(dataset.labels, dataset.groups, 4))
    used = used_images(dataset, SplitRule(seed=4, max_images=most))
    assert np.array_equal(used.split, whole.split[used.rows])


@pytest.mark.parametrize("most", [40, 100, 400])
def test_groups_are_drawn_whole(workspace, most):
    dataset = lesions(workspace, 300, views=(3, 8), view_shares=(0.5, 0.5))
    used = used_images(dataset, SplitRule(max_images=most))
    assert most - 8 < len(used.rows) <= most
    drawn = np.isin(np.arange(len(dataset)), used.rows)
    shares = pd.Series(drawn).groupby(dataset.groups).mean()
    assert set(shares) == {0, 1}
    missed = np.abs(np.bincount(used.split, minlength=3) - np.array([0.7, 0.15, 0.15]) * most)
    assert missed[1] <= 5 and missed[2] <= 5  # half a group, and the rounding


def test_the_seed_decides_what_is_drawn(workspace):
    dataset = lesions(workspace, 500)
    first, again, other = (
        used_images(dataset, SplitRule(seed=seed, max_images=60)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.rows, again.rows) and not np.array_equal(first.rows, other.rows)


@pytest.mark.parametrize("most", [None, 10_000])
def test_without_a_smaller_number_all_images_are_used(workspace, most):
    dataset = lesions(workspace, 200)
    assert len(used_images(dataset, SplitRule(max_images=most)).rows) == len(dataset)


def test_images_without_labels_are_drawn_in_the_shares_of_the_split(workspace):
    dataset = lesions(workspace, 400, label=None)
    used = used_images(dataset, SplitRule(max_images=100))
    assert np.bincount(used.split).tolist() == [70, 15, 15]


@pytest.mark.parametrize("cap", [20, 100])
def test_runs_of_earlier_versions_get_the_images_that_they_drew(workspace, cap):
    dataset = lesions(workspace, 400)
    labels, groups = dataset.labels, dataset.groups
    stored = to_dict(StudyConfig(dataset="set", split_seed=2, max_images=cap))
    del stored["draw"], stored["splits"]
    used = used_images(dataset, SplitRule.of(from_dict(stored)))
    rows = draw_before_split(labels, groups, cap, 2)
    assert np.array_equal(used.rows, rows) and cap - 4 <= len(rows) <= cap
    assert np.array_equal(used.split, split_dataset(labels[rows], groups[rows], 2))


def test_a_stored_pretraining_of_a_study_is_drawn_as_the_study():
    pretrain = PretrainConfig(dataset="set", max_images=50)
    stored = to_dict(StudyConfig(dataset="set", max_images=50, pretrain=pretrain))
    assert from_dict(stored).pretrain.draw == from_dict(stored).draw == "by_split"
    del stored["draw"], stored["pretrain"]["draw"]
    assert from_dict(stored).pretrain.draw == from_dict(stored).draw == "before_split"
    stored["max_images"] = stored["pretrain"]["max_images"] = None
    assert from_dict(stored) == StudyConfig(dataset="set", pretrain=PretrainConfig(dataset="set"))


def test_a_fold_is_that_of_the_drawn_images(workspace):
    dataset = lesions(workspace, 400)
    config = PretrainConfig(dataset="set", split_seed=4, folds=5, fold=3, max_images=90)
    used = used_images(dataset, SplitRule.of(config))
    rows = draw_before_split(dataset.labels, dataset.groups, 90, 4)
    expected = fold_split(dataset.labels[rows], dataset.groups[rows], 4, 5, 3)
    assert np.array_equal(used.rows, rows) and np.array_equal(used.split, expected)


def test_the_rule_of_a_map_is_that_of_its_config():
    config = EmbedConfig(dataset="set", split_seed=3, splits="official", max_images=40)
    assert SplitRule.of(config) == SplitRule(seed=3, splits="official", max_images=40)


def test_folds_and_the_official_split_exclude_each_other():
    with pytest.raises(ConfigError, match="splits is 'official'"):
        StudyConfig(dataset="set", splits="official", folds=5)
    with pytest.raises(ConfigError, match="splits is 'official'"):
        PretrainConfig(dataset="set", splits="official", folds=5, fold=1)


def test_members_are_the_rows_of_a_part(workspace):
    dataset = lesions(workspace, 60)
    used = used_images(dataset, SplitRule())
    rows = [used.members(name) for name in SPLITS]
    assert np.array_equal(np.sort(np.concatenate(rows)), used.rows)
