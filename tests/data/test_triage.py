"""Priorities: every class has one, the default is called ours, and neither content nor split changes."""

import dataclasses
import json

import numpy as np
import pytest

from derm_core import cli
from derm_core.data.manifest import DatasetInfo, PriorityMap, load_dataset, save_dataset
from derm_core.data.triage import (
    OURS,
    as_priorities,
    check_map,
    default_map,
    describe_map,
    priority_map,
    save_map,
)
from derm_core.errors import ConfigError
from tests.builders import write_dataset

MAP = {"amber": "low", "brown": "high", "violet": "medium"}


def test_our_default_knows_ham10000s_names_and_no_others():
    assert default_map(["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]) == OURS
    assert [name for name, level in OURS.items() if level == "high"] == ["mel"]
    assert {name for name, level in OURS.items() if level == "medium"} == {"bcc", "akiec"}
    assert default_map(["mel", "wart"]) is None and default_map([]) is None


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({**MAP, "green": "low"}, "green"),
        ({**MAP, "amber": "urgent"}, "urgent"),
        ({"amber": "low"}, "brown, violet"),
        (dict.fromkeys(MAP, "low"), "same priority"),
    ],
)
def test_a_map_that_leaves_something_open_is_refused(mapping, says):
    with pytest.raises(ConfigError, match=says):
        check_map(list(MAP), mapping)


def test_a_dataset_without_a_map_says_how_to_give_it_one(
    workspace,
):
    dataset = write_dataset(workspace)
    with pytest.raises(ConfigError, match="data priority tiny"):
        as_priorities(dataset)


def test_the_view_has_the_mapped_labels_and_is_otherwise_the_same(workspace):
    dataset = write_dataset(workspace)
    save_dataset(
        workspace,
        "tiny",
        dataset.frame.assign(label=dataset.frame["label"].mask(dataset.frame.index == 5)),
        dataset.info,
    )
    save_map(workspace, "tiny", MAP)
    dataset = load_dataset(workspace, "tiny")
    view = as_priorities(dataset)
    assert view.classes == ("high", "medium", "low") and view.fingerprint == dataset.fingerprint
    for label, level in zip(dataset.labels, view.labels, strict=True):
        assert (level == -1) if label == -1 else view.classes[level] == MAP[dataset.classes[label]]
    assert (view.labels == -1).sum() == 1 and np.array_equal(view.groups, dataset.groups)
    assert view.priorities == PriorityMap(MAP, False)


def test_two_priorities_alone_are_two_classes_in_order(workspace):
    write_dataset(workspace)
    save_map(workspace, "tiny", {"amber": "low", "brown": "high", "violet": "low"})
    assert as_priorities(load_dataset(workspace, "tiny")).classes == ("high", "low")


def test_whose_mapping_it_is_is_said():
    assert "ours" in describe_map(PriorityMap(OURS, True))
    assert "ours" not in describe_map(PriorityMap(MAP, False))
    info = DatasetInfo(classes=tuple(OURS))
    assert priority_map("x", info) == PriorityMap(OURS, True)
    changed = {**OURS, "nv": "medium"}
    own = dataclasses.replace(info, priority=changed)
    assert priority_map("x", own) == PriorityMap(changed, False)


def test_the_command_changes_single_classes_and_goes_back(workspace, capsys):
    def call(*argv, status=0):
        assert cli.main(["data", "priority", "tiny", *argv, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    write_dataset(workspace)
    assert (
        "no priorities" in call(status=1)["error"]
        and "amber=high" not in call("amber", status=1)["error"]
    )
    assert call(*(f"{name}={level}" for name, level in MAP.items()))["map"] == MAP
    assert call("amber=medium")["map"] == {**MAP, "amber": "medium"}
    assert call()["ours"] is False
    assert "priorit" in call("--default", status=1)["error"]  # no default for these names
    assert "no priorities" in call(status=1)["error"]
