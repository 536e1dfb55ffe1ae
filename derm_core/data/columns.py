"""What columns of tables of images are called, and what their cells mean.

COLUMNS is the one table of names, compared without regard to case, blanks and marks: a name that is
added there is understood in every layout.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

# Our name: the column names it goes by, as `plain` writes them; where a table has several, the
# first counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(columns.split())
    for name, columns in {
        "image": (
            "imageid isicid imagename imgid imgname image path filepath imagepath imgpath "
            "relativepath filename imagefilename imagefile file img photo photoid photoname "
            "picture pictureid md5hash derm dermoscopic dermoscopy bild bildname bildid "
            "datei dateiname fichier nomfichier archivo nombrearchivo imagen ficheiro "
            "arquivo imagem immagine id name"
        ),
        "label": (
            "dx diagnosis diagnostic finaldiagnosis diagnose label classname labelname "
            "class classlabel category benignmalignant target groundtruth disease "
            "diseasename skincondition condition lesiontype celltype pathology histology "
            "malignant malignancy y gt outcome truelabel labeltrue gtlabel truth "
            "diagnosisname befund klasse kategorie diagnostico clase etiqueta classe "
            "etiquette diagnosi categoria weightedskinconditionlabel"
        ),
        "age": "age ageapprox ageapproximate patientage alter edad eta idade",
        "sex": "sex gender sexatbirth geschlecht sexo sesso",
        "site": (
            "site localization anatomsitegeneral anatomsitegeneralchallenge region location "
            "bodysite anatomicsite lokalisation localizacion"
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
    "patient": (
        "patient patienten patientin pat pt paciente paziente subject subj sub participant person "
        "individual proband client donor user case fall"
    ).split(),
    "lesion": "lesion lasion laesion lesione lesao".split(),
}
WITH_ID = ("mole", "nevus", "naevus", "tumor", "tumour")  # lesions, where "id" stands beside them
CODES = {"mrn", "mrnhash", "medicalrecordnumber", "hospitalnumber", "nhc", "numhistoria", "pid"}
CODES |= {"nhsnumber", "recordid", "chartno", "chartnumber", "chartid", "historianumero"}
_ID = "id|ids|no|nr|nu?m|n|number|code|codigo|codice|key|uid|uuid|guid|hash|hashed|identifier|ref"
_ID += "|identification|nummer|numero|index|idx|pseudonym|group|study|deid|anon|anonymi[sz]ed|unique|global|isic"
_NAME = "name|initials"  # less certain than an id: two patients may share one
SPLITS = {
    "train": "train training trn tr entrenamiento entrainement entraînement treino addestramento",
    "test": "test testing tst te holdout eval prueba teste",
    "val": "val valid validation validate dev validierung validacion validación validação",
}
SPLIT_WORDS = {word: split for split, names in SPLITS.items() for word in names.split()}

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
    "unk",
    "-",
    "--",
    ".",
    "?",
}
MISSING |= {
    "??",
    "x",
    "xx",
    "xxx",
    "missing",
    "unspecified",
    "undefined",
    "unavailable",
    "nd",
    "n/d",
}
MISSING |= {"not available", "not specified", "not known", "not recorded", "not given", "<na>"}
MISSING |= {"no id", "noid", "no_id", "anon", "k.a.", "k. a.", "keine angabe", "sin dato", "s/d"}
# Words that make any cell one for "unknown".
UNKNOWN = re.compile(
    r"\b(?:unknown|unbekannt|desconocid[oa]|inconnue?|sconosciut[oa]|desconhecid[oa]"
    r"|anonymi[sz]ed|anonymous|de-?identified)\b"
)
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


def entity(name: str) -> tuple[str, int, str] | None:
    """Whether a column's name says that it identifies patients or lesions.

    Returns:
        "patient" or "lesion", the place of its word among those of ENTITIES, and "id" or "name"
        where the name has such a word as well, else ""; None for other names.
    """
    text = plain(name)
    if text in CODES:
        return "patient", 0, "id"
    for kind, entity_words in ENTITIES.items():
        for place, word in enumerate((*entity_words, *(WITH_ID if kind == "lesion" else ()))):
            match = re.fullmatch(f"((?:{_ID})*){word}s?((?:{_ID})*)((?:{_NAME})?)", text)
            if match is None:
                continue
            is_id = match[1] or match[2]
            if is_id or word not in WITH_ID:
                return kind, place, "name" if match[3] else "id" if is_id else ""
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


@lru_cache(maxsize=100_000)  # a column has few different values, and many rows
def is_missing(text: str | None) -> bool:
    """Whether a cell is empty or holds a word for "unknown"."""
    if text is None:
        return True
    lower = text.strip().casefold()
    return lower in MISSING or (len(lower) < 40 and bool(UNKNOWN.search(lower)))


@lru_cache(maxsize=200_000)
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
    visible = re.sub(r"[\u200b-\u200d\u2060\ufeff]", "", text)
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", visible).split()
    name = " ".join(clean)[:80]
    return None if name.lower() in ("", "nan") else name
