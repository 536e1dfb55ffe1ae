"""What limits a dataset is named; what is sound passes in silence."""

import dataclasses

import pandas as pd
import pytest

from derm_core.data.cautions import cautions, group_caution, groups_known, known_group_kinds
from derm_core.data.manifest import Dataset, DatasetInfo

SOUND = {"patient": 90}


def columns(images: int = 90) -> tuple[list[str | None], list[str], list[str]]:
    """Labels, groups and contents: two classes, two images a group, no copies."""
    labels: list[str | None] = [("mel", "nv")[i // 2 % 2] for i in range(images)]
    return labels, [f"g{i // 2}" for i in range(images)], [f"s{i}" for i in range(images)]


def test_a_sound_dataset_has_no_caution():
    assert cautions(*columns(), SOUND) == []


@pytest.mark.parametrize("kinds", [{"image": 90}, {"image": 90, "lesion": 0}, {}])
def test_unknown_groups_are_a_caution(kinds):
    assert not groups_known(kinds)
    assert cautions(*columns(), kinds) == [group_caution(kinds)]
    assert "Groups unknown: leakage cannot be excluded" in group_caution(kinds)


def test_images_without_patient_and_lesion_are_counted_where_others_have_one():
    kinds = {"patient": 70, "lesion": 8, "image": 12}
    assert groups_known(kinds) and group_caution(kinds).startswith("12 of 90 images have no known")


def test_equal_images_with_two_labels_are_counted():
    labels, groups, contents = columns()
    contents[0] = contents[2] = contents[4] = "copy"  # mel, nv, mel
    contents[8] = contents[12] = "harmless"  # both mel
    (sentence,) = cautions(labels, groups, contents, SOUND)
    assert sentence.startswith("1 image ") and "mel / nv (1)" in sentence


def test_a_copy_without_a_label_contradicts_nothing():
    labels, groups, contents = columns()
    contents[0], contents[2], labels[2] = "copy", "copy", None
    assert cautions(labels, groups, contents, SOUND) == []


@pytest.mark.parametrize(("held_by", "named"), [(1, True), (2, True), (3, False)])
def test_a_class_of_fewer_groups_than_splits_is_named_with_their_number(held_by, named):
    labels, groups, contents = columns()
    for i in range(24):
        labels[i], groups[i] = "df", f"p{i % held_by}"
    sentences = cautions(labels, groups, contents, SOUND)
    assert [f"df ({held_by} group" in sentence for sentence in sentences] == [True] * named


@pytest.mark.parametrize(("images", "named"), [(19, True), (20, False)])
def test_a_class_of_few_images_is_named(images, named):
    labels, groups, contents = columns()
    for i in range(images):
        labels[i], groups[i] = "df", f"p{i}"
    sentences = cautions(labels, groups, contents, SOUND)
    assert [f"df ({images})" in sentence for sentence in sentences] == [True] * named


def dataset(groups: list[str], contents: list[str], **info) -> Dataset:
    frame = pd.DataFrame({"group": groups, "sha256": contents})
    described = dataclasses.replace(DatasetInfo(layout="folders"), **info)
    return Dataset("old", frame, (), described, None)


@pytest.mark.parametrize(
    ("groups", "contents", "info", "known"),
    [
        (["a", "b", "c"], ["1", "2", "3"], {}, False),
        (["a", "a", "c"], ["1", "1", "3"], {}, False),  # copies alone share a group
        (["a", "a", "c"], ["1", "2", "3"], {}, True),
        (["a", "b", "c"], ["1", "2", "3"], {"patients": 3, "lesions": 0}, True),
        (["a", "b", "c"], ["1", "2", "3"], {"lesions": 3}, True),
        (["a", "b", "c"], ["1", "2", "3"], {"layout": "synthetic"}, True),
        (["a", "a", "c"], ["1", "2", "3"], {"group_kinds": {"image": 3}}, False),
    ],
)
def test_datasets_of_earlier_versions_have_known_groups_only_where_there_are_some(
    groups, contents, info, known
):
    assert groups_known(known_group_kinds(dataset(groups, contents, **info))) == known
