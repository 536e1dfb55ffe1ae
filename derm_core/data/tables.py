"""CSV tables that describe images: reading them with care, and knowing their columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

MAX_TABLE_BYTES = 256 * 2**20
MAX_COLUMNS = 512
MAX_LINES, MAX_CELLS = (
    4_000_000,
    40_000_000,
)  # the largest public tables have half a million lines of 55 columns
MISSING = {"", "nan", "na", "n/a", "none", "null", "unknown", "unk"}

IDS = ("image_id", "isic_id", "image_name", "img_id", "image")
PATHS = (
    "path",
    "filepath",
    "file_path",
    "image_path",
    "img_path",
    "filename",
    "file_name",
    "file",
    "image_file",
    "img",
    *IDS,
)
DIAGNOSES = ("dx", "diagnosis", "diagnostic")
LABELS = ("label", "class", "class_name", "target", "category", *DIAGNOSES)
ATTRIBUTES = {  # our name: the names it goes by
    "age": ("age", "age_approx"),
    "sex": ("sex", "gender"),
    "site": (
        "site",
        "localization",
        "anatom_site_general",
        "anatom_site_general_challenge",
        "region",
    ),
    "skin_type": (
        "skin_type",
        "fitspatrick",
        "fitzpatrick",
        "fitzpatrick_skin_type",
        "fitzpatrick_scale",
    ),
    "source": ("source", "dataset", "attribution"),
    "confirmation": ("confirmation", "dx_type", "diagnosis_confirm_type", "diagnosis confirm_type"),
    "official_split": ("official_split", "split"),
}
GROUPS = {"patient": ("patient_id", "patient"), "lesion": ("lesion_id", "lesion")}


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
    head = io.StringIO(text).readline().rstrip("\n")
    separator = max(",;\t", key=head.count)
    if head.count(separator) >= MAX_COLUMNS:  # pixels as a table: its columns are enough to know
        return Table(path, tuple(name.strip().lower() for name in head.split(separator)), [])
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
    named = [name for name in columns if name]
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
        rows.append(
            {name: value.strip() for name, value in zip(columns, record, strict=True) if name}
        )
    return Table(path, tuple(named), rows)


def one_hot_classes(table: Table) -> list[str] | None:
    """Class columns of a one-hot table (an image column, all others 0 or 1, none called label), else None."""
    image = table.column(IDS)
    others = [name for name in table.columns if name != image]
    if image is None or len(others) < 2 or not table.rows or table.column(LABELS):
        return None
    binary = all(row[name] in ("0", "1", "0.0", "1.0") for row in table.rows for name in others)
    return others if binary else None


def table_layout(table: Table) -> str | None:
    """ "pad-ufes-20", "isic", "isic-one-hot", "csv", or None where no image or label column is known."""
    columns = set(table.columns)
    if {"img_id", "diagnostic"} <= columns:
        return "pad-ufes-20"
    if table.column(IDS) and table.column(("dx", "diagnosis")):
        return "isic"
    if one_hot_classes(table):
        return "isic-one-hot"
    if table.column(PATHS) and table.column(LABELS) and table.column(PATHS) != table.column(LABELS):
        return "csv"
    return None


def known(text: str | None) -> str | None:
    """`text`, or None where it says that nothing is known."""
    return None if text is None or text.lower() in MISSING else text


def clean_label(text: str) -> str | None:
    """A class name without control characters, turns of the writing direction and runs of blanks; None for an empty one."""
    words = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", text).split()
    name = " ".join(words)[:80]
    return None if name.lower() in ("", "nan") else name


def known_columns(columns: Iterable[str]) -> dict[str, str]:
    """Our name → the table's column, for the attributes and group ids that a table has."""
    present = set(columns)
    found = {
        name: next((alias for alias in aliases if alias in present), None)
        for name, aliases in (ATTRIBUTES | GROUPS).items()
    }
    return {name: column for name, column in found.items() if column}


def normalised(row: dict[str, str], columns: dict[str, str]) -> dict[str, object]:
    """What a row says in `known_columns`, under our names; None for what is not known."""
    values: dict[str, object] = {}
    for name, column in columns.items():
        value = known(row.get(column))
        if name == "age":
            values[name] = _number(value)
        elif name == "skin_type" and value is not None:
            values[name] = value.removesuffix(".0")
        elif name in ("sex", "site") and value is not None:
            values[name] = value.lower()
        else:
            values[name] = value
    return values


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value <= 130 else None
