"""What columns of tables of images are called, and what their cells mean.

COLUMNS is the one table of names, compared without regard to case, blanks and marks: a name that is
added there is understood in every layout.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

# Our name: the column names it goes by, as `plain` writes them; where a table has several, the
# first counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(columns.split())
    for name, columns in {
        "image": (
            "imageid isicid imagename imgid imgname image path filepath imagepath imgpath "
            "relativepath filename imagefilename imagefile file img photo photoid photoname "
            "picture pictureid md5hash derm dermoscopic dermoscopy id name"
        ),
        "label": (
            "dx diagnosis diagnostic finaldiagnosis diagnose label classname labelname "
            "class classlabel category benignmalignant target groundtruth disease "
            "diseasename skincondition condition lesiontype celltype pathology histology "
            "malignant malignancy y gt outcome weightedskinconditionlabel"
        ),
        "age": "age ageapprox ageapproximate patientage",
        "sex": "sex gender sexatbirth",
        "site": (
            "site localization anatomsitegeneral anatomsitegeneralchallenge region location "
            "bodysite anatomicsite"
        ),
        "skin_type": (
            "skintype fitspatrick fitzpatrick fitzpatrickskintype fitzpatrickscale "
            "fitzpatricktype skintoneclass skintone"
        ),
        "source": "source dataset attribution",
        "confirmation": "confirmation dxtype diagnosisconfirmtype",
        "official_split": (
            "officialsplit split datasetsplit traintestsplit splitname partition subset phase set"
        ),
    }.items()
}
ATTRIBUTES = ("age", "sex", "site", "skin_type", "source", "confirmation", "official_split")
GROUPS = ("patient", "lesion")  # images that share one belong to one group

# Words for a patient or a lesion, alone or with a word such as "id" before or after.
ENTITIES = {
    "patient": "patient pat subject subj participant person individual proband case",
    "lesion": "lesion naevus nevus mole tumor tumour",
}
_ID = "id|ids|no|nr|nu?m|number|code|key|uid|uuid|guid|hash|identifier|name|index|idx|pseudonym|ref"
_ID += "|identification|nummer|anon|anonymi[sz]ed|unique|global|study|isic"
SPLIT_WORDS = {"train": "train", "training": "train", "trn": "train", "tr": "train"}
SPLIT_WORDS |= dict.fromkeys(("test", "testing", "tst", "te", "holdout", "eval"), "test")
SPLIT_WORDS |= dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val")

MISSING = {
    "",
    "nan",
    "na",
    "n/a",
    "#n/a",
    "n.a.",
    "none",
    "null",
    "nil",
    "unknown",
    "unk",
    "-",
    "--",
}
MISSING |= {"?", "??", "x", "missing", "unspecified", "undefined", "unavailable", "anonymous", "nd"}
MISSING |= {
    "not available",
    "not specified",
    "not known",
    "not recorded",
    "anonymized",
    "<na>",
    ".",
}
MAX_AGE = 130
UNKNOWN_SKIN_TYPES = ("-1", "-1.0", "NONE_SELECTED")  # in Fitzpatrick17k and SCIN


def plain(name: str) -> str:
    """A column's or folder's name without case, accents, blanks and marks."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in text if letter.isalnum())


def words(name: str) -> list[str]:
    """The words and numbers of a name in lower case: "ISIC-2017_TestData" is isic, 2017, test, data."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())


def rank(name: str, role: str) -> int | None:
    """The place of a column's name among those of a role in COLUMNS; None where it is none."""
    names = COLUMNS[role]
    text = plain(name)
    return names.index(text) if text in names else None


def with_role(columns: Iterable[str], role: str) -> list[str]:
    """The columns that go by a name of a role, the best name first."""
    ranked = [(place, name) for name in columns if (place := rank(name, role)) is not None]
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])]


def entity(name: str) -> tuple[str, int, bool] | None:
    """Whether a column's name says that it identifies patients or lesions.

    Returns:
        "patient" or "lesion", the place of its word among those of ENTITIES, and whether the name
        has a word such as "id" as well; None for other names.
    """
    text = plain(name)
    for kind, entity_words in ENTITIES.items():
        for place, word in enumerate(entity_words.split()):
            match = re.fullmatch(f"((?:{_ID})*){word}s?((?:{_ID})*)", text)
            if match:
                return kind, place, bool(match[1] or match[2])
    return None


def attribute_columns(columns: Iterable[str]) -> dict[str, str]:
    """Our name → the table's column, for the ATTRIBUTES that a table has."""
    columns = list(columns)
    first = {name: next(iter(with_role(columns, name)), None) for name in ATTRIBUTES}
    return {name: column for name, column in first.items() if column}


def attributes(row: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str | float | None]:
    """The values of a row under our names; None for what is missing or unknown.

    Args:
        row: cells by the table's column names.
        columns: from `attribute_columns`.
    """
    return {name: _value(name, row.get(column)) for name, column in columns.items()}


def is_missing(text: str | None) -> bool:
    """Whether a cell is empty or holds a word for "unknown"."""
    return text is None or text.strip().casefold() in MISSING


def _value(name: str, text: str | None) -> str | float | None:
    if text is None or is_missing(text):
        return None
    if name == "age":
        return _age(text)
    if name == "skin_type" and text in UNKNOWN_SKIN_TYPES:
        return None
    if name in ("skin_type", *GROUPS):
        return text.removesuffix(".0")
    if name == "official_split":
        return split_of(text)
    return text.lower() if name in ("sex", "site") else text


def _age(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= MAX_AGE else None


def split_of(text: str) -> str | None:
    """train, val or test where exactly one of them is named, else None."""
    splits = {SPLIT_WORDS[word] for word in words(text) if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def class_name(text: str) -> str | None:
    """A cell as a class name, None where it is empty.

    Control characters and marks of the writing direction become blanks, runs of blanks one blank.
    """
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", text).split()
    name = " ".join(clean)[:80]
    return None if name.lower() in ("", "nan") else name
