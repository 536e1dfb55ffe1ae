"""CSV tables: read with limits, and refused with a reason where they are broken or mean harm."""

from __future__ import annotations

import subprocess
import sys

import pytest

from derm_core.data import tables
from derm_core.errors import DataError

HEAD = b"path,label\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (HEAD + b"a\0.jpg,nv\n", "not text"),
        (HEAD + b"caf\x81.jpg,nv\n", "UTF-8"),
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
    assert len(table.columns) == 10**6 and table.rows == []


@pytest.mark.parametrize("limit", ["MAX_LINES", "MAX_CELLS"])
def test_more_lines_or_values_than_any_table_has_are_refused_before_they_are_parsed(
    limit, tmp_path, monkeypatch
):
    monkeypatch.setattr(tables, limit, 10)
    monkeypatch.setattr(tables.csv, "reader", None)
    (tmp_path / "t.csv").write_bytes(HEAD + b"a,b\n" * 20)
    with pytest.raises(DataError, match="more than"):
        tables.read_table(tmp_path / "t.csv")


SCRIPT = """
import resource, sys
from pathlib import Path
from derm_core.data.tables import read_table
from derm_core.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_table(Path(sys.argv[1]))
except DataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.slow
def test_a_cell_of_100_mb_is_refused(tmp_path):
    with open(tmp_path / "t.csv", "wb") as handle:
        handle.write(b"path,label\na.jpg," + b"x" * 10**8 + b"\n")
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "t.csv")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kilobytes, message = output.split(" ", 1)
    assert "field larger" in message and len(message) < 300 and int(kilobytes) < 900_000
