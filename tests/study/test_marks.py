"""A study with marks: whose images it leaves out, whose labels it changes, and that nothing else moves."""

import dataclasses

import numpy as np
import pytest

from derm_core.config import PretrainConfig, StudyConfig, from_dict, to_dict
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.data.marks import Mark, remove_marks, set_marks
from derm_core.data.marks_file import import_marks
from derm_core.data.used_images import SplitRule, used_images
from derm_core.data.used_marks import left_out_ids, with_new_labels
from derm_core.errors import DataError
from derm_core.jobs.dependencies import fold_studies, recipe_pretrainings
from derm_core.study.features import finish
from derm_core.study.marks import require_enough, with_marks
from derm_core.study.protocol_record import digest, protocol_content
from derm_core.study.study_data import prepare
from tests.builders import name_parts, write_dataset

STUDY = StudyConfig(
    dataset="tiny", input_size=16, pretrain=PretrainConfig(dataset="tiny", input_size=16)
)


@pytest.fixture
def dataset(workspace):
    """90 images in 45 groups of two, marked: two left out, one note, one with a new label."""
    dataset = write_dataset(workspace, size=16)
    set_marks(
        dataset,
        [
            Mark(image_id="i000", mark="exclude"),
            Mark(image_id="i007", mark="duplicate"),
            Mark(image_id="i008", mark="note", note="look again"),
            Mark(image_id="i020", mark="wrong_label", new_label="violet"),
        ],
    )
    return dataset


def hash_of(config, dataset):
    return digest(protocol_content(config, dataset.fingerprint))


def test_without_marks_the_config_and_its_protocol_are_what_they_were(dataset):
    assert "marks" not in to_dict(STUDY) and "marks" not in to_dict(STUDY)["pretrain"]
    assert "marks" not in protocol_content(STUDY, dataset.fingerprint)


def test_hash_and_counts_stand_in_config_and_protocol(dataset):
    config = with_marks(STUDY, dataset)
    assert config.marks.exclusions == 2 and config.marks.new_labels == 0
    assert str(config.marks) == "with 2 exclusions"
    assert from_dict(to_dict(config)) == config
    content = protocol_content(config, dataset.fingerprint)
    assert content["marks"] == {
        "sha256": config.marks.sha256,
        "exclusions": 2,
        "new_labels": 0,
    }
    assert hash_of(config, dataset) != hash_of(STUDY, dataset)


def test_new_labels_are_used_only_when_asked_for(dataset):
    config = with_marks(STUDY, dataset, new_labels=True)
    assert str(config.marks) == "with 2 exclusions and 1 changed label"
    assert with_new_labels(dataset, with_marks(STUDY, dataset).marks) is dataset
    changed = with_new_labels(dataset, config.marks)
    different = np.flatnonzero(changed.labels != dataset.labels)
    assert different.tolist() == [20] and changed.frame["label"].iloc[20] == "violet"
    assert dataset.frame["label"].iloc[20] != "violet"


def test_a_note_changes_no_study_and_an_exclusion_makes_another(dataset):
    before = with_marks(STUDY, dataset)
    set_marks(dataset, [Mark(image_id="i030", mark="note", note="unsure")])
    assert with_marks(STUDY, dataset) == before
    set_marks(dataset, [Mark(image_id="i031", mark="exclude")])
    assert hash_of(with_marks(STUDY, dataset), dataset) != hash_of(before, dataset)


def test_a_new_label_needs_no_new_pretraining(dataset):
    first = with_marks(STUDY, dataset)
    set_marks(dataset, [Mark(image_id="i031", mark="wrong_label", new_label="brown")])
    second = with_marks(STUDY, dataset, new_labels=True)
    assert first.pretrain == second.pretrain and first.marks != second.marks


@pytest.mark.parametrize(
    "change",
    [{}, {"max_images": 60}, {"max_images": 60, "draw": "before_split"}, {"folds": 3, "fold": 2}],
)
def test_what_is_left_out_moves_no_other_image(dataset, change):
    rule = SplitRule(**change)
    marks = with_marks(STUDY, dataset).marks
    whole = used_images(dataset, rule)
    used = used_images(dataset, dataclasses.replace(rule, marks=marks))
    kept = ~np.isin(whole.rows, [0, 7])
    assert kept.sum() < len(kept)
    assert np.array_equal(used.rows, whole.rows[kept])
    assert np.array_equal(used.split, whole.split[kept])
    assert used.fingerprint(dataset) == whole.fingerprint(dataset)
    groups = dataset.groups[used.rows]
    assert all(len(set(used.split[groups == group])) == 1 for group in groups)


def test_the_official_split_counts_what_crosses_it_without_what_is_left_out(workspace, dataset):
    parts = ["train"] * 7 + ["test"] * 2 + ["val"]  # i007 is the one of its group in train or test
    official = name_parts(workspace, dataset, parts)
    rule = SplitRule(splits="official")
    marks = with_marks(STUDY, dataset).marks
    used = used_images(official, dataclasses.replace(rule, marks=marks))
    whole = used_images(official, rule)
    assert used.official.groups_across == whole.official.groups_across - 1 or (
        whole.official.groups_across is None
    )
    assert len(used.rows) == len(whole.rows) - 2


def test_the_study_and_its_pretraining_leave_out_the_same_images(workspace, dataset):
    config = with_marks(STUDY, dataset, new_labels=True)
    data = finish(prepare(config, workspace))
    assert len(data.rows) == 88 and not {"i000", "i007"} & set(data.image_ids)
    assert data.classes[data.labels[data.image_ids == "i020"][0]] == "violet"
    plain = finish(prepare(STUDY, workspace))
    assert data.fingerprint == plain.fingerprint
    pretrain = used_images(dataset, SplitRule.of(config.pretrain))
    assert np.array_equal(pretrain.rows, data.rows) and np.array_equal(pretrain.split, data.split)


def test_folds_and_further_pretrainings_have_the_marks_of_the_whole(dataset):
    folds = dataclasses.replace(STUDY, folds=3, arms=("vae", "recipe:masked", "imagenet"))
    config = with_marks(folds, dataset)
    for fold in fold_studies(config):
        assert fold.marks == config.marks
        assert {one.marks.exclusions for one in (fold.pretrain, *recipe_pretrainings(fold))} == {2}
        assert hash_of(fold, dataset) == hash_of(config, dataset)


def test_only_marks_of_images_that_the_study_uses_count(dataset):
    few = dataclasses.replace(STUDY, max_images=20, pretrain=None)
    used = set(dataset.frame["image_id"].iloc[used_images(dataset, SplitRule.of(few)).rows])
    if marked := used & {"i000", "i007"}:
        assert with_marks(few, dataset).marks.exclusions == len(marked)
    else:
        with pytest.raises(DataError, match="No image that this study of tiny uses is marked"):
            with_marks(few, dataset)


def test_marks_given_later_change_no_study_that_is_set_up(dataset):
    marks = with_marks(STUDY, dataset).marks
    set_marks(dataset, [Mark(image_id="i050", mark="exclude")])
    remove_marks(dataset.paths, ["i000"])
    assert left_out_ids(dataset.paths, marks) == {"i000", "i007"}


def test_marks_that_are_gone_or_were_changed_are_refused_with_what_to_do(dataset, tmp_path):
    marks = with_marks(STUDY, dataset).marks
    file = dataset.paths.used_marks(marks.sha256)
    copy = tmp_path / "marks.csv"
    copy.write_bytes(file.read_bytes())
    file.write_text(file.read_text().replace("i007", "i009"))
    with pytest.raises(DataError, match="were changed"):
        left_out_ids(dataset.paths, marks)
    file.unlink()
    with pytest.raises(DataError, match="data marks tiny --import FILE"):
        left_out_ids(dataset.paths, marks)
    import_marks(dataset, copy, by="ada")
    assert left_out_ids(dataset.paths, marks) == {"i000", "i007"}


def test_nothing_to_leave_out_is_refused_with_what_to_do(dataset):
    remove_marks(dataset.paths, ["i000", "i007"])
    with pytest.raises(DataError, match="1 new label would be used with --new-labels"):
        with_marks(STUDY, dataset)
    config = with_marks(STUDY, dataset, new_labels=True)
    assert str(config.marks) == "with 1 changed label" and config.pretrain.marks is None
    remove_marks(dataset.paths, ["i020"])
    with pytest.raises(DataError, match="mark images first"):
        with_marks(STUDY, dataset, new_labels=True)


def test_a_part_that_loses_a_class_is_refused_with_what_to_do(dataset):
    require_enough(with_marks(STUDY, dataset), dataset)
    tested = used_images(dataset, SplitRule()).members("test")
    ids = dataset.frame["image_id"].iloc[tested[dataset.labels[tested] == 1]]
    set_marks(dataset, [Mark(image_id=name, mark="exclude") for name in ids])
    message = r"no image of class brown among the test images of tiny.*Take back"
    with pytest.raises(DataError, match=message):
        require_enough(with_marks(STUDY, dataset), dataset)
    remove_marks(dataset.paths, [ids.iloc[0]])
    require_enough(with_marks(STUDY, dataset), dataset)


def test_every_fold_keeps_every_class(dataset):
    folds = dataclasses.replace(STUDY, folds=3)
    require_enough(with_marks(folds, dataset), dataset)
    tested = used_images(dataset, SplitRule(folds=3, fold=2)).members("test")
    ids = dataset.frame["image_id"].iloc[tested[dataset.labels[tested] == 1]]
    set_marks(dataset, [Mark(image_id=name, mark="exclude") for name in ids])
    with pytest.raises(DataError, match=r"no image of class brown among .* of fold \d of tiny"):
        require_enough(with_marks(folds, dataset), dataset)


def test_new_labels_that_take_a_class_away_are_refused(dataset):
    others = dataset.frame["image_id"][dataset.labels == 1]
    marks = [Mark(image_id=name, mark="wrong_label", new_label="amber") for name in others]
    set_marks(dataset, marks)
    require_enough(with_marks(STUDY, dataset), dataset)
    with pytest.raises(DataError, match="no image of class brown among the training images"):
        require_enough(with_marks(STUDY, dataset, new_labels=True), dataset)


def test_a_mark_of_an_image_that_is_gone_does_not_count(workspace, dataset):
    save_dataset(workspace, "tiny", dataset.frame.iloc[1:], dataset.info)
    fewer = load_dataset(workspace, "tiny")
    assert with_marks(STUDY, fewer).marks.exclusions == 1
