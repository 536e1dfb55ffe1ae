"""Reading CSV files that anyone may have written, with limits on what they cost."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

MAX_TABLE_BYTES = 256 * 2**20
MAX_COLUMNS = 512
# The largest public tables have half a million lines of 55 columns.
MAX_LINES, MAX_CELLS = 4_000_000, 40_000_000


@dataclass(frozen=True)
class Table:
    """A CSV file's rows as dictionaries of text, its column names in lower case."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    def column(self, names: tuple[str, ...]) -> str | None:
        """The first of `names` that is a column."""
        return next((name for name in names if name in self.columns), None)


def read_table(path: Path) -> Table:
    """Read a comma, semicolon or tab separated file; every value stays text. Raises DataError."""
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_TABLE_BYTES // 2**20} MB; split it.")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text; save it as a UTF-8 CSV file.") from error
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}).") from error
    if not text or "\0" in text:
        raise DataError(
            f"{path.name} is {'not text' if text else 'empty'}; expected a CSV file with a header line."
        )
    header = io.StringIO(text).readline().rstrip("\n")
    separator = max(",;\t", key=header.count)
    if header.count(separator) >= MAX_COLUMNS:  # pixels as a table: its columns are enough to know
        return Table(path, tuple(name.strip().lower() for name in header.split(separator)), [])
    if text.count("\n") > MAX_LINES or text.count(separator) > MAX_CELLS:
        raise DataError(
            f"{path.name} has more than {MAX_LINES:,} lines or {MAX_CELLS:,} values; split it."
        )
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path.name} is not a valid CSV file ({error}).") from error
    return _as_table(path, records)


def _as_table(path: Path, records: list[list[str]]) -> Table:
    if not records:
        raise DataError(f"{path.name} is empty; expected a CSV file with a header line.")
    columns = tuple(name.strip().lower() for name in records[0])
    named = tuple(name for name in columns if name)
    if len(set(named)) != len(named):
        raise DataError(f"{path.name} has two columns of the same name; rename one.")
    rows = []
    for line, record in enumerate(records[1:], start=2):
        if not any(record):
            continue
        if len(record) != len(columns):
            raise DataError(
                f"{path.name}, record {line}: {len(record)} values for {len(columns)} columns."
            )
        cells = zip(columns, record, strict=True)
        rows.append({name: value.strip() for name, value in cells if name})
    return Table(path, named, rows)
