"""`data show`: what is known of a dataset."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from derm_core import cli
from derm_core.data.import_options import ImportSource
from derm_core.data.manifest import Skipped, save_dataset
from tests.builders import CLASSES, write_dataset


@pytest.fixture
def clinic(workspace):
    """60 images, one without a label, with an official split, a site and what its import said."""
    dataset = write_dataset(workspace, images=60)
    frame = dataset.frame.assign(
        official_split=["train"] * 40 + ["test"] * 20,
        site=["arm"] * 30 + [None] * 30,
        width=[300] * 50 + [80] * 10,
        height=[200] * 50 + [60] * 10,
    )
    frame.loc[0, "label"] = None
    info = replace(
        dataset.info,
        imported=ImportSource(layout="csv", table="labels.csv", label_column="dx"),
        group_kinds={"lesion": 60},
        notes=("Caution: Something limits this.",),
        skipped=(Skipped("a.png", "it is empty"),),
        license="CC0",
        citation="Somebody (2020)",
    )
    return save_dataset(workspace, "clinic", frame, info)


def data_show(capsys, *arguments: str) -> str:
    assert cli.main(["data", "show", "clinic", *arguments]) == 0
    return capsys.readouterr().out


def test_json_has_source_counts_and_terms(clinic, capsys):
    facts = json.loads(data_show(capsys, "--json"))
    assert facts["source"]["table"] == "labels.csv" and facts["source"]["label_column"] == "dx"
    assert facts["unlabelled"] == 1 and list(facts["class_counts"]) == list(CLASSES)
    assert sum(facts["class_counts"].values()) == 59
    assert facts["groups"] == clinic.info.groups and facts["group_kinds"] == {"lesion": 60}
    assert facts["splits"] == {"train": 40, "test": 20}
    assert facts["license"] == "CC0" and facts["citation"] == "Somebody (2020)"
    assert facts["skipped"] == [{"path": "a.png", "reason": "it is empty"}]
    assert facts["notes"] == ["Caution: Something limits this."]
    assert facts["attributes"] == {"site": {"arm": 30, "": 30}}


def test_the_resolution_is_that_before_resizing(clinic, capsys):
    resolution = json.loads(data_show(capsys, "--json"))["resolution"]
    sides = [resolution[f"{which}_side"] for which in ("smallest", "median", "largest")]
    assert sides == [60, 200, 200]
    assert resolution["common"] == {"300 × 200": 50, "80 × 60": 10} and resolution["others"] == 0


def test_the_text_names_every_fact(clinic, capsys):
    text = data_show(capsys)
    parts = (
        "labels.csv",
        "label column: dx",
        "split column: none",
        "by lesion",
        "without a label: 1",
    )
    for part in (*parts, "train (40)", "CC0", "Somebody (2020)", "Caution: ", "a.png: it is empty"):
        assert part in text


def test_what_is_not_known_is_said(workspace, capsys):
    dataset = write_dataset(workspace, "clinic")
    save_dataset(
        workspace, "clinic", dataset.frame, replace(dataset.info, group_kinds={"image": 1})
    )
    text = data_show(capsys)
    assert "groups: unknown" in text and "Licence: not known" in text


def test_an_unknown_dataset_is_one_sentence(workspace, capsys):
    assert cli.main(["data", "show", "none"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_columns_that_an_earlier_version_did_not_record_are_not_called_none(
    clinic, workspace, capsys
):
    save_dataset(workspace, "clinic", clinic.frame, replace(clinic.info, imported=None))
    assert "column" not in data_show(capsys)
