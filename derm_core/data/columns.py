"""The column names that tables of images use, and what their cells mean.

COLUMNS is the one table of names: a name that is added there is understood in every layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Our name: the column names it goes by, in lower case; where a table has several, the first counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "isic_id", "image_name", "img_id", "image"),
    "path": (
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
    ),
    "diagnosis": ("dx", "diagnosis", "diagnostic"),
    "label": ("label", "class", "class_name", "target", "category"),
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
    "patient": ("patient_id", "patient"),
    "lesion": ("lesion_id", "lesion"),
}
IMAGE_IDS = COLUMNS["image_id"]
IMAGE_PATHS = (*COLUMNS["path"], *IMAGE_IDS)
DIAGNOSES = COLUMNS["diagnosis"]
LABELS = (*COLUMNS["label"], *DIAGNOSES)
ATTRIBUTES = ("age", "sex", "site", "skin_type", "source", "confirmation", "official_split")
GROUPS = ("patient", "lesion")  # images that share one belong to one group

MISSING = {"", "nan", "na", "n/a", "none", "null", "unknown", "unk"}
MAX_AGE = 130


def attribute_columns(columns: Iterable[str]) -> dict[str, str]:
    """Our name → the table's column, for the ATTRIBUTES and GROUPS that a table has."""
    present = set(columns)
    first = {
        name: next((column for column in COLUMNS[name] if column in present), None)
        for name in (*ATTRIBUTES, *GROUPS)
    }
    return {name: column for name, column in first.items() if column}


def attributes(row: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str | float | None]:
    """The values of a row under our names; None for what is missing or unknown.

    Args:
        row: cells by the table's column names.
        columns: from `attribute_columns`.
    """
    return {name: _value(name, row.get(column)) for name, column in columns.items()}


def _value(name: str, text: str | None) -> str | float | None:
    if text is None or text.lower() in MISSING:
        return None
    if name == "age":
        return _age(text)
    if name == "skin_type":
        return text.removesuffix(".0")
    return text.lower() if name in ("sex", "site") else text


def _age(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= MAX_AGE else None


def class_name(text: str) -> str | None:
    """A cell as a class name, None where it is empty.

    Control characters and marks of the writing direction become blanks, runs of blanks one blank.
    """
    words = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", text).split()
    name = " ".join(words)[:80]
    return None if name.lower() in ("", "nan") else name
