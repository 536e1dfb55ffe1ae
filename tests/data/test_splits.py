"""What a split promises: no group crosses, classes keep their shares, the seed decides alone."""

import numpy as np
import pytest

from derm_core.data.splits import SPLITS, fold_split, split_dataset, split_fingerprint
from derm_core.errors import ConfigError, DataError


def lesions(seed: int, count: int = 900, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of imbalanced lesions with one to six images each, rows shuffled."""
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(classes)
    label = rng.choice(classes, count, p=share / share.sum())
    groups = np.repeat(np.arange(count), rng.choice([1, 2, 3, 6], count, p=[0.7, 0.2, 0.08, 0.02]))
    order = rng.permutation(len(groups))
    return label[groups][order], groups[order]


def patients(seed: int, count: int = 300, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Groups whose images are of several classes."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(count), rng.integers(1, 5, count))
    return rng.choice(classes, len(groups), p=[0.4, 0.3, 0.15, 0.08, 0.05, 0.02]), groups


@pytest.mark.parametrize("make", [lesions, patients])
@pytest.mark.parametrize("seed", range(5))
def test_no_group_crosses(make, seed):
    labels, groups = make(seed)
    split = split_dataset(labels, groups, seed)
    assert split.dtype == np.int8 and set(split) <= set(range(len(SPLITS)))
    assert all(len(set(split[groups == g])) == 1 for g in np.unique(groups))


@pytest.mark.parametrize("make", [lesions, patients])
@pytest.mark.parametrize("seed", range(5))
def test_class_shares_are_met(make, seed):
    labels, groups = make(seed)
    split = split_dataset(labels, groups, seed)
    for c in np.unique(labels):
        held = np.array([(split[labels == c] == s).sum() for s in range(3)])
        slack = 3 if make is lesions else 0.03 * (labels == c).sum() + 3
        assert np.abs(held - np.array([0.7, 0.15, 0.15]) * held.sum()).max() <= slack, (c, held)


def test_groups_of_every_size_are_spread():
    """Large groups must not pile up in training: a lesion photographed often is a lesion of interest."""
    labels, groups = lesions(3, count=4000)
    split = split_dataset(labels, groups, 0)
    size = np.bincount(groups)
    split_of_group = np.array([split[groups == g][0] for g in range(len(size))])
    for s in (1, 2, 3, 6):
        share = (split_of_group[size == s] == 0).mean()
        assert abs(share - 0.7) < 0.1, (s, share)


def test_the_order_of_rows_does_not_matter():
    labels, groups = lesions(1)
    order = np.random.default_rng(0).permutation(len(labels))
    assert (
        split_dataset(labels, groups, 7)[order] == split_dataset(labels[order], groups[order], 7)
    ).all()


def test_the_seed_decides():
    labels, groups = lesions(2)
    assert (split_dataset(labels, groups, 0) == split_dataset(labels, groups, 0)).all()
    assert (split_dataset(labels, groups, 0) != split_dataset(labels, groups, 1)).mean() > 0.2


def test_a_group_is_in_test_with_its_share_over_seeds():
    labels, groups = lesions(4, count=60, classes=2)
    in_test = np.mean([split_dataset(labels, groups, seed) == 2 for seed in range(300)], axis=0)
    assert in_test.min() > 0.05 and in_test.max() < 0.3


@pytest.mark.parametrize("rare_groups", [3, 4, 5, 7])
def test_a_class_with_three_groups_is_in_every_split(rare_groups):
    labels = np.array([0] * 100 + [1] * rare_groups + [2] * rare_groups)
    for seed in range(20):
        split = split_dataset(labels, np.arange(len(labels)), seed)
        assert all(set(split[labels == c]) == {0, 1, 2} for c in (0, 1, 2))


def test_classes_mixed_within_groups_are_in_every_split():
    for seed in range(10):
        labels, groups = patients(seed, count=60)
        split = split_dataset(labels, groups, seed)
        for c in np.unique(labels):
            if len(np.unique(groups[labels == c])) >= 3:
                assert set(split[labels == c]) == {0, 1, 2}


def test_a_group_larger_than_a_split_goes_to_train():
    labels = np.zeros(100, dtype=int)
    groups = np.r_[np.zeros(40, dtype=int), np.arange(1, 61)]
    assert all(split_dataset(labels, groups, seed)[0] == 0 for seed in range(20))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_groups(count):
    split = split_dataset(np.arange(count), np.arange(count), 0)
    assert (split == 0).any()
    if count >= 3:
        assert set(split) == {0, 1, 2}


def test_images_without_a_label_are_spread_like_a_class():
    labels = np.r_[np.full(200, -1), np.zeros(200, dtype=int)]
    split = split_dataset(labels, np.arange(400), 0)
    assert [(split[:200] == s).sum() for s in range(3)] == [140, 30, 30]


def test_other_fractions_and_an_unused_split():
    split = split_dataset(np.zeros(100, dtype=int), np.arange(100), 0, (0.8, 0.2, 0.0))
    assert [(split == s).sum() for s in range(3)] == [80, 20, 0]


def test_refusals_say_what_is_wrong():
    with pytest.raises(DataError, match="shape"):
        split_dataset(np.zeros(3), np.zeros(4), 0)
    with pytest.raises(ConfigError, match="fractions"):
        split_dataset(np.zeros(3), np.arange(3), 0, (0.5, 0.2, 0.2))


def test_the_fingerprint_names_the_split_not_the_order():
    ids, split = ["a", "b", "c"], np.array([0, 1, 2])
    assert split_fingerprint(split, ids) == split_fingerprint(split[::-1], ids[::-1])
    assert split_fingerprint(split, ids) != split_fingerprint(split[::-1], ids)


# ---- folds


@pytest.mark.parametrize("make", [lesions, patients])
def test_every_image_is_tested_in_one_fold_and_no_group_crosses(make):
    labels, groups = make(0)
    splits = np.stack([fold_split(labels, groups, 3, 5, fold) for fold in range(1, 6)])
    assert ((splits == SPLITS.index("test")).sum(0) == 1).all()
    for split in splits:
        assert all(len(set(split[groups == g])) == 1 for g in np.unique(groups))


def test_folds_keep_the_shares_of_classes_and_validation_is_a_share_of_the_rest():
    labels, groups = lesions(1)
    for fold in range(1, 6):
        split = fold_split(labels, groups, 0, 5, fold)
        for c in np.unique(labels):
            held = np.array([(split[labels == c] == s).sum() for s in range(3)])
            assert np.abs(held - np.array([0.68, 0.12, 0.2]) * held.sum()).max() <= 4, (
                fold,
                c,
                held,
            )


def test_folds_come_from_the_seed_and_the_number_alone():
    labels, groups = lesions(2)
    first = fold_split(labels, groups, 0, 5, 2)
    assert (first == fold_split(labels, groups, 0, 5, 2)).all()
    order = np.random.default_rng(0).permutation(len(labels))
    assert (fold_split(labels[order], groups[order], 0, 5, 2) == first[order]).all()
    for other in (
        fold_split(labels, groups, 1, 5, 2),
        fold_split(labels, groups, 0, 4, 2),
        fold_split(labels, groups, 0, 5, 3),
    ):
        assert (other != first).any()


def test_more_folds_than_groups_are_refused():
    with pytest.raises(DataError, match="5 folds need 5 groups"):
        fold_split(np.zeros(8, int), np.repeat(np.arange(4), 2), 0, 5, 1)
