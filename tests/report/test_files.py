"""A study's tables as CSV: numbers unrounded, nested intervals as columns, formulas of others defused."""

import csv
import io
import json
import zipfile

import pandas as pd
import pytest

from derm_core.report.files import archive, flat, report_files, safe_cell, to_csv
from derm_core.report.reproduce import commands, reproducible_config

INTERVAL = {
    "mean": 0.123456789012345,
    "std": 0.01,
    "low": 0.1,
    "high": 0.15,
    "se": 0.01,
    "df": 4.0,
    "method": "bootstrap",
}
ATTACK = '=cmd|"/C calc"!A0'


@pytest.fixture
def study():
    """The parts of study.json that the files are made of, with class names that a spreadsheet would run."""
    arm = {
        "label": "VAE (from scratch)",
        "kind": "vae",
        "regime": "frozen",
        "features": 64,
        "gaps": {"loss": 0.1, "accuracy": -0.1},
        "setting": {"learning_rate": 1e-3},
        "test": {"balanced_accuracy": INTERVAL},
        "per_class": [{"class": ATTACK, "n": 3, "groups": 2, "recall": INTERVAL}],
        "gaps_detail": {"loss": {"final": INTERVAL, "area": INTERVAL}},
    }
    return {
        "run_id": "study-1",
        "classes": [ATTACK, "nv"],
        "arms": {"vae": arm},
        "dataset": {"name": "mine"},
        "majority": {"balanced_accuracy": {"mean": 0.5}},
        "confusion": {"vae": [[2, 1], [0, 4]]},
        "config": {"dataset": "mine", "vae_run": "pretrain-1", "pretrain": None, "seeds": [0]},
        "differences": [
            {"a": "vae", "b": "random", "metric": "accuracy", **INTERVAL, "p": 0.2, "primary": True}
        ],
        "matched": [
            {
                "a": "vae",
                "b": "random",
                "level": 0.6,
                "comparable": True,
                "reason": "",
                "arms": {"vae": {"epoch": 2.5, "loss": INTERVAL}},
            }
        ],
        "claims": [
            {
                "id": "faster_start",
                "claim": "c",
                "answer": "seen",
                "text": "@SUM(A1)",
                "numbers": {"x": 1},
            }
        ],
        "robustness": {
            "families": ["hair"],
            "rows": [{"arm": "vae", "family": "hair", "severity": 1, "relative_loss": INTERVAL}],
            "families_summary": [{"arm": "vae", "family": "hair", "relative_loss": INTERVAL}],
        },
        "external": [
            {
                "dataset": "other",
                "arms": {"vae": {"accuracy": INTERVAL}},
                "drop": {"vae": INTERVAL},
                "differences": [],
            }
        ],
        "detail": {
            "operating_point": {
                "class": "mel",
                "specificity": [0.0, 1.0],
                "arms": {"vae": {"sensitivity": [1.0, 0.2], "low": [0.9, 0.1], "high": [1.0, 0.3]}},
            },
            "subgroups": [
                {
                    "attribute": "sex",
                    "worst": {},
                    "values": [
                        {
                            "value": "female",
                            "images": 4,
                            "groups": 3,
                            "caution": True,
                            "arms": {"vae": {"accuracy": INTERVAL}},
                        }
                    ],
                }
            ],
        },
    }


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


def test_every_table_is_written_with_all_its_digits_and_no_formula(study, tmp_path):
    files = report_files(study, tmp_path)
    assert {
        "test-metrics.csv",
        "per-class.csv",
        "gaps.csv",
        "confusion.csv",
        "differences.csv",
        "matched.csv",
        "claims.csv",
        "robustness.csv",
        "robustness-families-summary.csv",
        "external.csv",
        "operating-point.csv",
        "subgroups.csv",
        "arms.csv",
        "study.json",
        "config.json",
    } == set(files)
    tested = read(files["test-metrics.csv"])
    assert [(row["arm"], float(row["mean"])) for row in tested] == [
        ("vae", INTERVAL["mean"]),
        ("majority", 0.5),
    ]
    assert [row["sensitivity"] for row in read(files["operating-point.csv"])] == ["1.0", "0.2"]
    assert {row["metric"] for row in read(files["external.csv"])} == {"accuracy", "drop"}
    for name, data in files.items():
        for row in read(data) if name.endswith(".csv") else []:
            assert not any(
                str(cell).startswith(("=", "@", "+")) for pair in row.items() for cell in pair
            ), (name, row)
    assert json.loads(files["study.json"]) == study


def test_predictions_name_their_classes(study, tmp_path):
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
    files = report_files(study, tmp_path)
    first = read(files["predictions.csv"])[0]
    assert (first["image_id"], first["label"], float(first["p_nv"])) == ("'-i1", "'" + ATTACK, 0.75)
    assert read(files["decisions.csv"])[0]["decision:vae"] == "'" + ATTACK


def test_the_archive_holds_the_files_and_is_the_same_each_time(study, tmp_path):
    files = report_files(study, tmp_path)
    assert archive(files) == archive(report_files(study, tmp_path))
    with zipfile.ZipFile(io.BytesIO(archive(files))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files


def test_the_config_holds_the_pretraining_in_place_of_its_run(study, tmp_path):
    folder = tmp_path / "runs" / "study-1"
    assert reproducible_config(study, folder)["vae_run"] == "pretrain-1"  # all that is known
    (tmp_path / "runs" / "pretrain-1").mkdir(parents=True)
    (tmp_path / "runs" / "pretrain-1" / "config.json").write_text(
        '{"kind": "pretrain", "dataset": "mine"}'
    )
    config = reproducible_config(study, folder)
    assert config["vae_run"] is None and config["pretrain"]["dataset"] == "mine"


def test_the_commands_lead_from_the_data_to_the_study(study):
    study["labels"] = {"kind": "priority", "map": {ATTACK: "high", "nv": "low"}, "ours": False}
    lines = commands(study)
    assert [line.split(maxsplit=3)[3].split()[:2] for line in lines] == [
        ["data", "import"],
        ["data", "import"],
        ["data", "priority"],
        ["compare", "--config"],
    ]
    assert "'=cmd" in lines[2]
