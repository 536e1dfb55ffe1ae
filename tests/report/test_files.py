"""A study's tables as CSV: numbers unrounded, nested intervals as columns, formulas of others defused."""

import csv
import io
import json
import zipfile

import pandas as pd
import pytest

from derm_core.report.csv_tables import csv_table, flat, safe_cell, safe_table, to_csv
from derm_core.report.files import archive, report_files
from derm_core.report.reproduce import commands, reproducible_config
from derm_core.study.study_result import study_result
from tests.report.full_study import example

ATTACK = '=cmd|"/C calc"!A0'


@pytest.fixture
def study():
    """study.json with a class name that a spreadsheet would run."""
    study = example(classes=(ATTACK, "nv"))
    study["claims"][0]["text"] = "@SUM(A1)"
    return study


@pytest.fixture
def result(study):
    return study_result(study)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "-", "=1;2", "+٣+1"]
)
def test_text_that_a_spreadsheet_would_run_is_quoted(text):
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("value", [-0.5, 3, None, True, "-0.5", "+1e-3", "mel", "a=b", "", "5-9"])
def test_numbers_and_plain_text_stay_as_they_are(value):
    assert safe_cell(value) == value


def test_columns_come_in_order_of_first_appearance_and_their_names_are_defused_too():
    assert (
        to_csv([{"a": 1}, {"=b": -2.5, "a": None}]).decode("utf-8-sig")
        == "a,'=b\r\n1,\r\n,-2.5\r\n"
    )


def test_nested_values_become_columns():
    assert flat({"a": {"b": {"c": 1}}, "d": [1, None]}) == {"a_b_c": 1, "d": "[1, null]"}


def test_every_table_is_written_with_all_its_digits_and_no_formula(study, result, tmp_path):
    study["arms"]["vae"]["test"]["accuracy"]["mean"] = 0.123456789012345
    files = report_files(study_result(study), tmp_path)
    assert {name.removesuffix(".csv") for name in files} == {
        *("test-metrics", "per-class", "gaps", "confusion", "differences", "gap-differences"),
        *("matched", "claims", "label-efficiency", "robustness", "robustness-families-summary"),
        *("robustness-differences", "shortcut", "external", "external-differences"),
        *("calibration", "reliability", "operating-point", "subgroups", "disagreement", "arms"),
        *("fixed-specificity", "fixed-specificity-differences", "net-benefit", "subgroup-tests"),
        *("linear-head", "linear-head-differences", "cost", "saliency-inside"),
        *("cautions", "checklist-tripod-ai", "checklist-claim", "data-statement"),
        *("study.json", "config.json"),
    }
    tested = {(row["arm"], row["metric"]): row for row in read(files["test-metrics.csv"])}
    assert float(tested["vae", "accuracy"]["mean"]) == 0.123456789012345
    assert tested["majority", "balanced_accuracy"]["mean"] == "0.5"
    sensitivity = [row["sensitivity"] for row in read(files["operating-point.csv"])]
    assert sensitivity[:3] == ["0.7", "0.6", "0.1"]
    assert {row["metric"] for row in read(files["external.csv"])} >= {"balanced_accuracy", "drop"}
    for name, data in files.items():
        for row in read(data) if name.endswith(".csv") else []:
            assert not any(
                str(cell).startswith(("=", "@", "+")) for pair in row.items() for cell in pair
            ), (name, row)
    assert study_result(json.loads(files["study.json"])) == study_result(study)


def test_rows_of_a_table_can_be_chosen_by_their_columns(result):
    table = csv_table(result, "robustness", family="hair", arm="vae")
    assert len(table) == 5 and set(table["family"]) == {"hair"}
    assert csv_table(result, "folds").empty


def test_predictions_name_their_classes(result, tmp_path):
    (tmp_path / "artefacts").mkdir()
    pd.DataFrame(
        {
            "image_id": ["-i1", "i2"],
            "split": "test",
            "group": ["g", "g"],
            "label": [0, 1],
            "arm": "vae",
            "seed": 0,
            "p_0": [0.25, 1.0],
            "p_1": [0.75, 0.0],
        }
    ).to_parquet(tmp_path / "artefacts" / "predictions.parquet")
    pd.DataFrame(
        {"image_id": ["i1"], "row": [7], "label": [1], "decision:vae": [0], "confidence:vae": [0.5]}
    ).to_parquet(tmp_path / "artefacts" / "decisions.parquet")
    files = report_files(result, tmp_path)
    first = read(files["predictions.csv"])[0]
    assert (first["image_id"], first["label"], float(first["p_nv"])) == ("'-i1", "'" + ATTACK, 0.75)
    assert read(files["decisions.csv"])[0]["decision:vae"] == "'" + ATTACK


def test_the_archive_holds_the_files_and_is_the_same_each_time(result, tmp_path):
    files = report_files(result, tmp_path)
    assert archive(files) == archive(report_files(result, tmp_path))
    with zipfile.ZipFile(io.BytesIO(archive(files))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files


def test_the_config_holds_the_pretraining_in_place_of_its_run(result, tmp_path):
    folder = tmp_path / "runs" / "study-1"
    assert reproducible_config(result, folder)["vae_run"] == "pretrain-1"  # all that is known
    (tmp_path / "runs" / "pretrain-1").mkdir(parents=True)
    (tmp_path / "runs" / "pretrain-1" / "config.json").write_text(
        '{"kind": "pretrain", "dataset": "mine"}'
    )
    config = reproducible_config(result, folder)
    assert config["vae_run"] is None and config["pretrain"]["dataset"] == "mine"


def test_the_commands_lead_from_the_data_to_the_study(study):
    study["labels"] = {"kind": "priority", "map": {ATTACK: "high", "nv": "low"}, "ours": False}
    lines = commands(study_result(study))
    assert [line.split(maxsplit=3)[3].split()[:2] for line in lines] == [
        ["data", "import"],
        ["data", "import"],
        ["data", "priority"],
        ["compare", "--config"],
    ]
    assert "'=cmd" in lines[2]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1"])
def test_a_table_that_is_downloaded_holds_no_formula_and_keeps_its_numbers(text):
    table = safe_table(pd.DataFrame({text: [text, "nv"], "number": [-1.5, 2.0]}))
    assert list(table.columns) == ["'" + text, "number"] and table.iloc[0, 0] == "'" + text
    assert table["number"].tolist() == [-1.5, 2.0] and table.iloc[1, 0] == "nv"
