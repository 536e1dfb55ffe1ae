"""Tables, arrays and JSON that mean harm are refused with a reason that says what was wrong."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from derm_core.config import from_dict
from derm_core.data import medmnist, tables
from derm_core.errors import ConfigError, DataError
from derm_core.files import parse_json
from derm_core.report.csv_tables import safe_table

HEAD = b"path,label\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (HEAD + b"a\0.jpg,nv\n", "not text"),
        (HEAD + b"caf\xe9.jpg,nv\n", "UTF-8"),
        ("path,label\na,b\n".encode("utf-16"), "UTF-8"),
        (HEAD + b"a.jpg," + b"x" * 200_000 + b"\n", "field larger"),
        (HEAD + b'"a.jpg,nv\n', "not a valid CSV"),
        (HEAD + b"a.jpg\n", "1 values for 2"),
        (b"path,label,label\na,b,c\n", "same name"),
        (HEAD + b"a,b,c\n", "3 values for 2"),
    ],
)
def test_a_broken_table_is_refused(data, why, tmp_path):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match=why):
        tables.read_table(tmp_path / "t.csv")


@pytest.mark.slow
def test_a_million_columns_are_known_by_name_and_not_read(tmp_path):
    (tmp_path / "t.csv").write_text(",".join(f"c{i}" for i in range(10**6)) + "\n" + "0," * 10**6)
    table = tables.read_table(tmp_path / "t.csv")
    assert len(table.columns) == 10**6 and table.rows == [] and tables.table_layout(table) is None


@pytest.mark.parametrize("limit", ["MAX_LINES", "MAX_CELLS"])
def test_more_lines_or_values_than_any_table_has_are_refused_before_they_are_parsed(
    limit, tmp_path, monkeypatch
):
    monkeypatch.setattr(tables, limit, 10)
    monkeypatch.setattr(tables.csv, "reader", None)
    (tmp_path / "t.csv").write_bytes(HEAD + b"a,b\n" * 20)
    with pytest.raises(DataError, match="more than"):
        tables.read_table(tmp_path / "t.csv")


def test_labels_lose_control_characters_and_turns_of_the_writing_direction():
    assert tables.clean_label("ne\u202evus\x00\x85 \u2066x") == "ne vus x"


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return path


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "labels",
    [
        b"no array",
        b"",
        npy(np.zeros((2, 3), int)),
        npy(np.array([0.5, 1])),
        npy(np.array([-1, 0])),
        npy(np.array([0, 10**9])),
        npy(np.zeros(2, int))[:-3],
        b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 500,
    ],
)
def test_a_broken_npz_is_refused(labels, tmp_path):
    path = archive(
        tmp_path / "x.npz", train_images=npy(np.zeros((2, 4, 4), np.uint8)), train_labels=labels
    )
    with pytest.raises(DataError):
        medmnist.unpack(path, tmp_path / "images", None)


def test_an_array_that_shrinks_to_nothing_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "FREE_BYTES", 1000)
    path = archive(
        tmp_path / "x.npz",
        train_images=npy(np.zeros((2, 900, 900), np.uint8)),
        train_labels=npy(np.zeros(2, int)),
    )
    with pytest.raises(DataError, match="times its size"):
        medmnist.unpack(path, tmp_path / "images", None)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        "[" * 100_000,
        '{"a": "\\ud800"}',
        b"\xff\xfe{}",
        "",
        "1" * 10_000,
    ],
)
def test_json_that_is_none_is_one_kind_of_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": ["study"]},
        {"kind": {}},
        {"schema": True},
        {"schema": 10**30},
        {"epochs": 10**30},
        {"bootstrap": 1e999},
        {"bootstrap": float("nan")},
        {"learning_rates": [float("inf")]},
        {"weight_decays": [10**400]},
        {"x" * 10**6: 1},
        {"dataset": ["x" * 10**6]},
        {"dataset": {"a": [[[[[[1]]]]]]}},
        {"regime": ["frozen"]},
        {"backbone": "resnet18"},
        {"backbone": {"architecture": 3}},
    ],
)
def test_a_config_that_lies_is_refused_with_the_field_and_a_short_message(change):
    with pytest.raises(ConfigError, match="allowed") as said:
        from_dict({"schema": 1, "kind": "study", "dataset": "d", **change})
    assert len(str(said.value)) < 3000


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1"])
def test_a_table_that_is_downloaded_holds_no_formula_and_keeps_its_numbers(text):
    table = safe_table(pd.DataFrame({text: [text, "nv"], "number": [-1.5, 2.0]}))
    assert list(table.columns) == ["'" + text, "number"] and table.iloc[0, 0] == "'" + text
    assert table["number"].tolist() == [-1.5, 2.0] and table.iloc[1, 0] == "nv"
