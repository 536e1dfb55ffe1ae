"""Which class of a dataset a name or column of somebody else's predictions stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from .columns import plain
from .manifest import Dataset

# Names of one diagnosis in public data sets and papers, as `columns.plain` writes them.
ONE_DIAGNOSIS = [
    set(names.split())
    for names in (
        "akiec ak ack actinickeratosis actinickeratoses solarkeratosis bowen bowens bowensdisease "
        "intraepithelialcarcinoma actinickeratosisorintraepithelialcarcinoma "
        "actinickeratosesandintraepithelialcarcinoma actinickeratosesintraepithelialcarcinoma "
        "actinickeratosesandintraepithelialcarcinomabowensdisease "
        "actinickeratosisbowensdiseaseintraepithelialcarcinoma "
        "actinickeratosesandintraepithelialcarcinomaebowensdisease",
        "bcc basalcellcarcinoma basalcell",
        "bkl benignkeratosis benignkeratoses benignkeratosislesion benignkeratosislesions sek sk "
        "benignkeratosislikelesion benignkeratosislikelesions seborrheickeratosis "
        "seborrhoeickeratosis pigmentedbenignkeratosis",
        "df dermatofibroma dermatofibromas",
        "mel melanoma malignantmelanoma melanomas",
        "nv nev nevus naevus nevi naevi melanocyticnevus melanocyticnevi melanocyticnaevus "
        "melanocyticnaevi mole moles",
        "vasc vascular vascularlesion vascularlesions vascularskinlesion",
        "scc squamouscellcarcinoma",
        "benign ben", "malignant mal",
    )
]  # fmt: skip
TRUTH = set("true truth gt groundtruth target actual gold reference".split())
PREDICTED = set("pred preds predicted prediction predictions hat yhat ypred argmax top1".split())
LOGIT = set("logit logits".split())
SCORE = set(
    "prob probs probability probabilities proba pr p score scores softmax sigmoid output outputs "
    "confidence conf activation raw likelihood posterior logprob logprobs log".split()
)
FILLER = set("class cls classes label labels y of for is the to name id idx index category".split())
# What is computed from scores and is no class, such as max_prob or top1_score.
STATISTICS = set(
    "max min mean std var sum top rank margin entropy uncertainty correct loss error".split()
)
STATISTICS |= set(
    "energy distance threshold temperature time quality ood auc maximum highest".split()
)
GENERIC = PREDICTED | LOGIT | SCORE | FILLER | TRUTH
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


class ClassNames:
    """The classes of a dataset by the names that files give them.

    Args:
        dataset: with classes, and descriptions of them where it has some.
        given: "THEIRS=OURS", or "THEIRS=" for a class that the dataset has not.
    """

    def __init__(self, dataset: Dataset, given: Sequence[str] = ()):
        self.classes = dataset.classes
        described = dataset.info.class_descriptions or {}
        self._names = {
            name: {plain(name), plain(described.get(name, name))} for name in self.classes
        }
        self._given = dict(self._read(entry) for entry in given)

    def _read(self, entry: str) -> tuple[str, str]:
        theirs, sign, ours = (part.strip() for part in entry.partition("="))
        chosen = next((name for name in self.classes if plain(name) == plain(ours)), "")
        if not sign or not theirs or (ours and not chosen):
            raise ConfigError(
                f"--map {entry!r}: allowed is THEIRS=OURS, or THEIRS= for a class that the dataset has not, with "
                f"OURS one of {', '.join(self.classes)}."
            )
        return plain(theirs), chosen

    def find(self, text: str) -> str | None:
        """The class of that name: as --map says, by its own name or description, or as the same diagnosis."""
        name = plain(text)
        if not name:
            return None
        if name in self._given:
            return self._given[name] or None
        for names in (
            {one: {plain(one)} for one in self.classes},
            self._names,
            {one: _synonyms(forms) for one, forms in self._names.items()},
        ):
            fitting = [one for one, forms in names.items() if name in forms]
            if fitting:
                return fitting[0] if len(fitting) == 1 else None
        return None


def _synonyms(forms: set[str]) -> set[str]:
    return set().union(*(names for names in ONE_DIAGNOSIS if names & forms))


@dataclass(frozen=True)
class ColumnName:
    """What the name of a column of numbers says.

    Attributes:
        token: its class: a number as text, or a name as the file spells it.
        is_number: whether the token is a number.
        known: whether the token is the name of a class of the dataset.
        model: the rest of the name, "" where there is none.
        kind: "truth", "logit" or "score", by the words beside; "" without one.
    """

    token: str
    is_number: bool
    known: bool
    model: str
    kind: str


def read_column_name(column: str, names: ClassNames) -> ColumnName | None:
    """What a column's name says of a class; None where it names none."""
    marks = [(mark[0], mark.start(), mark.end()) for mark in _WORD.finditer(column)]
    lower = [text.lower() for text, _, _ in marks]
    kind = next(
        (kind for kind, of in (("truth", TRUTH), ("logit", LOGIT), ("score", SCORE | PREDICTED)) if of & set(lower)),
        "",
    )  # fmt: skip
    if names.find(column):
        return ColumnName(column, False, True, "", "")
    if STATISTICS & set(lower):
        return None
    marks = [mark for mark, word in zip(marks, lower, strict=True) if word not in GENERIC]
    if not marks:
        return None
    for length in range(len(marks), 0, -1):  # the class stands last or first, the longest name wins
        for part, rest in ((marks[-length:], marks[:-length]), (marks[:length], marks[length:])):
            text = column[part[0][1] : part[-1][2]]
            if names.find(text):
                numbers_only = all(
                    word.isdecimal() for word, _, _ in rest
                )  # such as 0 in prob_0_mel
                model = "" if numbers_only else _between(column, rest)
                return ColumnName(text, False, True, model, kind)
    for mark, rest in ((marks[-1], marks[:-1]), (marks[0], marks[1:])):
        if mark[0].isdecimal():
            return ColumnName(str(int(mark[0])), True, False, _between(column, rest), kind)
    return ColumnName(_between(column, marks), False, False, "", kind)


def _between(column: str, marks: Sequence[tuple[str, int, int]]) -> str:
    return column[marks[0][1] : marks[-1][2]] if marks else ""


def column_role(column: str) -> str | None:
    """Whether a column's name says that it holds labels that are true or predicted; "truth", "predicted" or None."""
    lower = {mark[0].lower() for mark in _WORD.finditer(column)}
    if PREDICTED & lower or PREDICTED & {plain(column)}:
        return None if (SCORE | LOGIT) & lower else "predicted"
    return "truth" if TRUTH & lower or plain(column) in ("ytrue", "groundtruth") else None


def model_of(column: str) -> str:
    """What the name of a column of labels says beyond its role: the name of a model."""
    marks = [(mark[0], mark.start(), mark.end()) for mark in _WORD.finditer(column)]
    return _between(column, [mark for mark in marks if mark[0].lower() not in GENERIC])


def numbered(names: Sequence[str], tokens: Sequence[str], where: str) -> Mapping[str, str]:
    """Class numbers → names given in their order; numbers begin at 0, or at 1 where the last is the count.

    Raises:
        ConfigError: there are fewer names than numbers.
    """
    numbers = sorted({int(token) for token in tokens})
    first = 1 if numbers and numbers[-1] == len(names) and numbers[0] > 0 else 0
    if numbers and numbers[-1] - first >= len(names):
        raise ConfigError(
            f"--classes names {len(names)} classes, {where} has class number {numbers[-1]}: name all, in the "
            "order of their numbers."
        )
    return {str(first + place): name for place, name in enumerate(names)}
