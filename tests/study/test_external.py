"""External test sets: mapped, freed of what the study has learnt from, and compared with its own test."""

import dataclasses
import json

import numpy as np
import pytest

from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.errors import DataError
from derm_core.records import to_json
from derm_core.stats.metrics import balanced_accuracy, decide
from derm_core.study.comparison import dataset_summary, evaluate_test
from derm_core.study.external import external
from derm_core.study.looks import count_looks
from derm_core.workspace import Workspace
from tests.builders import write_dataset
from tests.study.trained import finish, trained_study

NAMES = {"amber": "AMBER", "brown": "Brown", "violet": "XXX"}


def write_other(workspace, name="other", copies=4):
    """Fresh images under other class names, one of which has no counterpart; `copies` images of tiny's among them."""
    write_dataset(workspace, name, images=60, seed=1)
    dataset = load_dataset(workspace, name)
    frame = dataset.frame.assign(
        label=dataset.frame["label"].map(NAMES),
        group=[f"x{i // 2}" for i in range(60)],
        skin_type=[str(1 + i // 2 % 2) for i in range(60)],
    )
    tiny = load_dataset(workspace, "tiny").frame
    frame.loc[: copies - 1, ["path", "sha256"]] = tiny.loc[
        : copies - 1, ["path", "sha256"]
    ].to_numpy()
    info = dataclasses.replace(
        dataset.info, classes=("AMBER", "Brown", "XXX"), group_kinds={"image": 60}
    )
    return save_dataset(workspace, name, frame, info)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    workspace = Workspace.open(tmp_path_factory.mktemp("external"))
    study = trained_study(workspace, external=("other",))
    write_other(workspace)
    events, entries = finish(external(study))
    return study, to_json(entries[0]), events


@pytest.mark.slow
def test_images_are_mapped_left_out_and_counted(asked):
    study, entry, _ = asked
    known = {
        row for split in ("train", "val") for row in study.data.rows[study.data.members(split)]
    }
    copied = len({0, 1, 2, 3} & known)
    assert copied > 0 and entry["leak"] == {"content": copied, "image": 0, "group": 0}
    assert entry["left_out"] == {"XXX": 20} and entry["absent"] == ["violet"]
    assert entry["map"] == {"AMBER": "amber", "Brown": "brown"} and entry["images"] == 40 - copied
    assert entry["cautions"][0].startswith("Leak:") and json.dumps(entry, allow_nan=False)


def test_its_images_are_looked_at_by_the_study(asked):
    study, entry, _ = asked
    assert entry["looks"] == {"mean": 0, "max": 0}
    ids = load_dataset(study.workspace, "other").frame["image_id"].to_numpy()
    later = count_looks(study.workspace, "other", "another-study", ids)
    assert later.max == 1 and later.mean == pytest.approx(entry["images"] / len(ids))


@pytest.mark.slow
def test_its_subgroups_are_measured_on_its_own_images(asked):
    _, entry, _ = asked
    [group] = entry["subgroups"]
    assert group["attribute"] == "skin_type"
    assert sum(row["images"] for row in group["values"]) == entry["images"]
    for row in group["values"]:
        assert row["caution"] == (row["groups"] < 20) and set(row["arms"]) == set(entry["arms"])


@pytest.mark.slow
def test_unknown_groups_of_a_set_are_a_caution_there(asked):
    """Its copies share groups, so there are fewer groups than images; they are unknown all the same."""
    _study, entry, _ = asked
    assert entry["groups"] < entry["images"] and entry["groups_known"] is False
    assert any(caution.startswith("Groups unknown: leakage") for caution in entry["cautions"])


@pytest.mark.slow
def test_the_majority_line_of_a_set_of_two_classes_is_at_one_half(asked):
    assert asked[1]["majority"]["balanced_accuracy"]["mean"] == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("kinds", "known"), [({"lesion": 90}, True), ({"image": 90}, False)])
def test_unknown_groups_of_the_study_s_own_images_are_a_caution(asked, kinds, known):
    study = asked[0]
    dataset = study.data.dataset
    info = dataclasses.replace(dataset.info, group_kinds=kinds)
    data = dataclasses.replace(study.data, dataset=dataclasses.replace(dataset, info=info))
    cautions = evaluate_test(dataclasses.replace(study, data=data)).cautions
    assert any("Groups unknown" in caution for caution in cautions) != known
    assert dataset_summary(data.dataset, data).groups_known == known


@pytest.mark.slow
def test_a_class_that_is_absent_stays_predictable_and_is_an_error(asked):
    _study, entry, _ = asked
    for arm, matrix in entry["confusion"].items():
        matrix = np.array(matrix)
        assert matrix.shape == (3, 3) and matrix[2].sum() == 0
        recall = np.diag(matrix)[:2] / matrix[:2].sum(1)
        assert entry["arms"][arm]["balanced_accuracy"]["mean"] == pytest.approx(recall.mean())


def test_the_drop_is_over_the_classes_that_both_sets_have(asked):
    study, entry, _ = asked
    test = study.data.members("test")
    labels, shared = study.data.labels[test], study.data.labels[test] < 2
    for arm, trained_arm in study.trained.items():
        decided = decide(trained_arm.probabilities["test"], study.log_prior)
        own = np.mean([balanced_accuracy(labels[shared], one[shared], 3) for one in decided])
        assert entry["drop"][arm]["mean"] == pytest.approx(
            own - entry["arms"][arm]["balanced_accuracy"]["mean"]
        )
    rows = entry["drop_differences"]
    a, b = rows[0]["a"], rows[0]["b"]
    assert len(rows) == 1 and {a, b} == {"random", "colour"}
    assert rows[0]["mean"] == pytest.approx(entry["drop"][a]["mean"] - entry["drop"][b]["mean"])


def test_no_difference_on_another_set_is_called_primary(asked):
    rows = asked[1]["differences"]
    assert (
        rows
        and not any(row["primary"] for row in rows)
        and all(row["p_holm"] >= row["p"] for row in rows if row["p"] is not None)
    )


def test_a_set_of_images_learnt_from_is_refused(asked):
    study = asked[0]
    tiny = load_dataset(study.workspace, "tiny")
    known = study.data.rows[study.data.members("train")]
    save_dataset(study.workspace, "again", tiny.frame.iloc[known].reset_index(drop=True), tiny.info)
    with pytest.raises(DataError, match="No image of again can be tested"):
        finish(
            external(
                dataclasses.replace(
                    study, config=dataclasses.replace(study.config, external=("again",))
                )
            )
        )
