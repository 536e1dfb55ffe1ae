"""Reading tables that anyone may have written, as CSV or JSON, with limits on what they cost."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError

MAX_TABLE_BYTES = 256 * 2**20
MAX_COLUMNS = 512
# The largest public tables have half a million lines of 55 columns.
MAX_LINES, MAX_CELLS = 4_000_000, 40_000_000
SEPARATORS = ",;\t|"
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
UTF16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
LEGACY = "cp1252"  # what Excel writes on Windows in Western Europe and the Americas


@dataclass(frozen=True)
class Table:
    """A table's rows as dictionaries of text, its column names in lower case.

    Attributes:
        spelled: column name → as the file spells it.
        notes: what was assumed to read it.
        header: the cells of its header line.
        split: train, val or test where the name of the file or its folder says so.
        joined: names of tables whose columns were put beside its own.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    spelled: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    split: str | None = None
    joined: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def column(self, name: str) -> str | None:
        """The column of that name, without regard to case; None where there is none."""
        lower = name.strip().lower()
        return lower if lower in self.columns else None

    def spell(self, column: str) -> str:
        """A column's name as the file spells it."""
        return self.spelled.get(column, column)

    def cells(self, column: str) -> list[str]:
        """A column's values; empty where a row has none."""
        return [row.get(column, "") for row in self.rows]


def read_table(path: Path, unnamed: bool = False) -> Table:
    """Read a table; every value stays text.

    Columns without a name are left out, unless `unnamed`: then they are called "column 1" and so on.

    CSV files may be separated by commas, semicolons, tabs or bars, and be encoded as UTF-8, UTF-16
    or Windows-1252. JSON files hold one object a line, or a list of objects.

    Raises:
        DataError: it is too large, damaged, or no table.
    """
    text, notes = _read_text(path)
    if path.suffix.lower() in JSON_SUFFIXES:
        return _from_json(path, text, notes)
    text, separator = _separator(text)
    text, title = _without_title(text)
    notes += [f"{path.name}: the first line ({title[:60]}) was taken for a title."] if title else []
    header = io.StringIO(text, newline=None).readline().rstrip("\n")
    plain = re.sub(r'"[^"]*"', "", header)
    if path.suffix.lower() == ".txt" and not any(map(plain.count, SEPARATORS)):
        separator = " "
    separator = separator or max(SEPARATORS, key=plain.count)
    if header.count(separator) >= MAX_COLUMNS:  # pixels as a table: its columns are enough to know
        return Table(path, tuple(name.strip().lower() for name in header.split(separator)), [])
    if text.count("\n") > MAX_LINES or text.count(separator) > MAX_CELLS:
        raise DataError(
            f"{path.name} has more than {MAX_LINES:,} lines or {MAX_CELLS:,} values; split it."
        )
    try:
        lines = io.StringIO(text, newline="")
        records = list(csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{path.name} is not a valid CSV file ({error}).") from error
    if unnamed and records and any(records[0][1:]):
        records[0] = [name or f"column {place}" for place, name in enumerate(records[0], start=1)]
    return _as_table(path, records, notes)


def _read_text(path: Path) -> tuple[str, list[str]]:
    """A file as text, and a note where its encoding was guessed."""
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_TABLE_BYTES // 2**20} MB; split it.")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}).") from error
    notes = []
    encoding = UTF16.get(data[:2], "utf-8-sig")
    if encoding == "utf-8-sig" and len(data) > 8 and data[1:8:2] == b"\0\0\0\0":
        encoding = "utf-16-le"  # without its mark
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = data.decode(LEGACY)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path.name} is not UTF-8 text; save it as a UTF-8 CSV file."
            ) from error
        notes.append(
            f"{path.name} is not UTF-8 text and was read as Windows-1252: check names with accents, "
            "or save it as UTF-8."
        )
    if not text or "\0" in text:
        raise DataError(
            f"{path.name} is {'not text' if text else 'empty'}; expected a CSV file with a header line."
        )
    return text, notes


def _separator(text: str) -> tuple[str, str | None]:
    """The text without Excel's line `sep=;` and blank lines before the header; that separator."""
    text = text.lstrip("\r\n")
    match = re.match(r"\s*\"?sep=(.)\"?[ \t]*(\r\n|\r|\n)", text, re.IGNORECASE)
    return (text[match.end() :], match[1]) if match else (text, None)


def _without_title(text: str) -> tuple[str, str]:
    """The text without a title line above the header, and that title."""
    first, *others = io.StringIO(text[:20_000], newline=None).read().split("\n")[:6]
    for separator in SEPARATORS:
        counts = [line.count(separator) for line in others if line.strip()]
        if len(counts) > 1 and not any(one in first for one in SEPARATORS) and min(counts) > 0:
            ending = "\r\n" if "\r\n" in text[:20_000] else "\r" if "\n" not in text else "\n"
            return text[len(first) + len(ending) :].lstrip("\r\n"), first
    return text, ""


def _from_json(path: Path, text: str, notes: list[str]) -> Table:
    try:
        if text.lstrip().startswith("[") or path.suffix.lower() == ".json":
            objects = json.loads(text)
        else:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path.name} is not a table in JSON ({str(error)[:100]}); expected is one object a line."
        ) from error
    if isinstance(objects, dict) and not any(isinstance(v, dict | list) for v in objects.values()):
        objects = [{"file": name, "label": value} for name, value in objects.items()]
    if (
        not objects
        or not isinstance(objects, list)
        or not all(isinstance(one, dict) for one in objects)
    ):
        raise DataError(f"{path.name} is not a table in JSON; expected is one object a line.")
    names: list[str] = list(dict.fromkeys(str(name) for one in objects for name in one))
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{path.name} has more than {MAX_COLUMNS} different names; split it.")
    records = [names, *([_json_cell(one.get(name)) for name in names] for one in objects)]
    return _as_table(path, records, notes)


def _json_cell(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _as_table(path: Path, records: list[list[str]], notes: Sequence[str]) -> Table:
    if not records:
        raise DataError(f"{path.name} is empty; expected a CSV file with a header line.")
    notes = list(notes)
    while len(records) > 2 and len(records[0]) > 1 and not any(records[0][1:]):
        title = "".join(records.pop(0))
        notes += (
            [f"{path.name}: the first line ({title[:60]}) was taken for a title."] if title else []
        )
    header = [name.strip().strip("\ufeff\u200b") for name in records[0]]
    columns = tuple(name.lower() for name in header)
    named = tuple(name for name in columns if name)
    if len(set(named)) != len(named):
        if any(_is_number(name) for name in named):  # numbers are no names: there is no header
            numbered = [f"column {number}" for number in range(1, len(header) + 1)]
            return _as_table(path, [numbered, *records], [*notes, _no_header(path.name, numbered)])
        raise DataError(f"{path.name} has two columns of the same name; rename one.")
    rows = []
    for line, record in enumerate(records[1:], start=2):
        if not any(record):
            continue
        if len(record) != len(columns):
            if len(record) < len(columns) or any(record[len(columns) :]):
                raise DataError(
                    f"{path.name}, record {line}: {len(record)} values for {len(columns)} columns."
                )
            record = record[: len(columns)]  # empty cells to the right of a spreadsheet's columns
        row = dict(zip(columns, map(str.strip, record), strict=True))
        row.pop("", None)  # of columns without a name
        rows.append(row)
    spelled = {name.lower(): name for name in header if name}
    return Table(path, named, rows, spelled, tuple(notes), tuple(header))


def without_header(table: Table) -> Table:
    """The table of a file that has no header line: its first line is a row, columns have numbers."""
    names = [f"column {number}" for number in range(1, len(table.header) + 1)]
    by_place = dict(zip((name.lower() for name in table.header), names, strict=True))
    first = dict(zip(names, table.header, strict=True))
    rows = [{by_place[name]: cell for name, cell in row.items()} for row in table.rows]
    notes = (*table.notes, _no_header(table.name, names))
    return Table(table.path, tuple(names), [first, *rows], {}, notes, (), table.split)


def _no_header(name: str, columns: Sequence[str]) -> str:
    return f"{name} has no header line; its columns are called {', '.join(columns)}."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
