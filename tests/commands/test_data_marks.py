"""`data marks` lists, exports and imports; `compare --marks` uses what is marked."""

from __future__ import annotations

import csv
import json

import pytest

from derm_core import cli
from derm_core.data.marks import Mark, read_marks, set_marks
from derm_core.jobs import supervisor
from derm_core.jobs.dependencies import stored_config
from tests.builders import write_dataset

ADA = {"by": "ada", "when": "2026-01-02T03:04:05Z"}


@pytest.fixture
def dataset(workspace):
    dataset = write_dataset(workspace, images=90, size=8)
    set_marks(
        dataset,
        [
            Mark(image_id="i000", mark="exclude", note="=HYPERLINK(1)", **ADA),
            Mark(image_id="i005", mark="wrong_label", new_label="amber", **ADA),
        ],
    )
    return dataset


def marks(capsys, *arguments: str, code: int = 0) -> str:
    assert cli.main(["data", "marks", "tiny", *arguments]) == code
    printed = capsys.readouterr()
    return printed.out if not code else printed.err


def test_marks_are_listed_as_text_and_as_json(dataset, capsys):
    text = marks(capsys)
    assert "Marked images: wrong label 1, exclude 1." in text
    assert "wrong label: amber" in text and "=HYPERLINK(1)" in text and "ada" in text
    value = json.loads(marks(capsys, "--list", "--json"))
    assert value["counts"] == {"wrong_label": 1, "exclude": 1} and value["absent"] == []
    assert value["marks"][1]["new_label"] == "amber" and "note" not in value["marks"][1]


def test_without_marks_it_says_how_to_mark(workspace, capsys):
    write_dataset(workspace, images=6, size=8)
    assert "Latent space and Data" in marks(capsys)


def test_an_export_is_safe_in_a_spreadsheet_and_imports_as_it_was(dataset, capsys, tmp_path):
    file, before = tmp_path / "marks.csv", read_marks(dataset.paths)
    value = json.loads(marks(capsys, "--export", str(file), "--json"))
    assert value["files"] == [str(file)]
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    assert [row["image_id"] for row in rows] == ["i000", "i005"]
    assert rows[0]["note"] == "'=HYPERLINK(1)"
    value = json.loads(marks(capsys, "--import", str(file), "--json"))
    assert value["imported"] == {"added": 0, "changed": 0, "unchanged": 2, "absent": 0}
    assert read_marks(dataset.paths) == before


def test_an_import_says_what_it_did_and_what_is_not_in_the_dataset(dataset, capsys, tmp_path):
    file = tmp_path / "more.csv"
    file.write_text("image_id,mark\ni001,duplicate\nISIC_1,exclude\n")
    text = marks(capsys, "--import", str(file))
    assert "2 new marks, 0 changed, 0 as before" in text
    assert "1 more mark of images that the dataset does not have (ISIC_1): kept" in text


def test_no_marks_are_a_table_with_a_header_alone(workspace, capsys, tmp_path):
    write_dataset(workspace, images=6, size=8)
    file = tmp_path / "marks.csv"
    marks(capsys, "--export", str(file))
    assert file.read_text() == "image_id,mark,new_label,note,by,when\n"
    assert json.loads(marks(capsys, "--import", str(file), "--json"))["imported"]["added"] == 0


def test_a_wrong_file_is_one_sentence(dataset, capsys, tmp_path):
    file = tmp_path / "marks.csv"
    file.write_text("image_id,mark\ni001,remove\n")
    error = marks(capsys, "--import", str(file), code=1)
    assert len(error.splitlines()) == 1 and "record 2" in error and "wrong_label" in error


def compare(capsys, *options: str, code: int = 0):
    command = ["compare", "--preset", "laptop", "--dataset", "tiny", "--detach", "--json"]
    assert cli.main([*command, *options]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_compare_uses_marks_only_when_asked(workspace, dataset, capsys, monkeypatch):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)

    def config_of(*options: str):
        return stored_config(workspace, compare(capsys, *options)["run_id"])

    assert "marks" not in config_of()
    plain = config_of("--marks")
    assert plain["marks"]["exclusions"] == 1 and plain["marks"]["new_labels"] == 0
    assert plain["pretrain"]["marks"] == plain["marks"]
    relabelled = config_of("--marks", "--new-labels")
    assert relabelled["marks"]["new_labels"] == 1
    assert relabelled["pretrain"]["marks"] == plain["marks"]
    error = compare(capsys, "--new-labels", code=1)["error"]
    assert "give both" in error


@pytest.mark.slow
def test_a_pretraining_with_marks_is_the_one_that_a_study_needs(
    workspace, dataset, capsys, monkeypatch
):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)
    command = ["pretrain", "--dataset", "tiny", "--epochs", "16", "--marks", "--detach", "--json"]
    assert cli.main(command) == 0
    own = json.loads(capsys.readouterr().out)["run_id"]
    assert compare(capsys, "--marks")["depends_on"] == own
    assert compare(capsys)["depends_on"] != own


@pytest.mark.slow
def test_marks_that_leave_no_image_of_a_class_are_refused(workspace, dataset, capsys):
    names = dataset.frame["image_id"][dataset.frame["label"] == "violet"]
    set_marks(dataset, [Mark(image_id=name, mark="exclude") for name in names])
    error = compare(capsys, "--marks", code=1)["error"]
    assert "no image of class violet among the training images" in error and "Take back" in error


def test_marks_are_deleted_only_when_they_are_named(workspace, dataset, capsys):
    assert cli.main(["data", "delete", "tiny"]) == 1
    assert "data marks tiny --export FILE" in capsys.readouterr().err
    assert cli.main(["data", "delete", "tiny", "--marks"]) == 0
    assert "tiny" not in workspace.dataset_names()
