"""One cell of 100 MB is refused for what it is, in a small multiple of the file's size."""

import subprocess
import sys

import pytest

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
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "t.csv")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kilobytes, message = said.split(" ", 1)
    assert "field larger" in message and len(message) < 300 and int(kilobytes) < 900_000
