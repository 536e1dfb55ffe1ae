"""Which class of one dataset is which class of another: by name, by known synonyms, or as the user says.

Pure Python on names, so that a study can be refused before it is queued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigError

# PAD-UFES-20 and ISIC 2019 in HAM10000's names; squamous cell carcinoma has no counterpart there.
SYNONYMS = {"ack": "akiec", "ak": "akiec", "sek": "bkl", "nev": "nv"}


@dataclass(frozen=True)
class ClassMap:
    """A map of class names.

    Attributes:
        map: theirs to ours.
        left_out: theirs without a counterpart.
        absent: ours that no class of theirs becomes.
    """

    map: dict[str, str]
    left_out: tuple[str, ...]
    absent: tuple[str, ...]


def class_map(
    theirs: Sequence[str],
    ours: Sequence[str],
    given: Sequence[str] = (),
    through: Mapping[str, str] | None = None,
    name: str = "the dataset",
) -> ClassMap:
    """The map of class names; equal names are equal whatever their case.

    Args:
        theirs: class names of the other dataset.
        ours: class names, or priorities, of this one.
        given: "THEIRS=OURS", or "THEIRS=" to leave a class out; these come before the rules.
        through: where `ours` are priorities, the classes they stand for and the priority of each.
        name: of the dataset that has `theirs`, for the message of an error.

    Raises:
        ConfigError: an unknown name, or no class of theirs has a counterpart.

    >>> class_map(("MEL", "SCC"), ("mel", "nv"))
    ClassMap(map={'MEL': 'mel'}, left_out=('SCC',), absent=('nv',))
    """
    known = {label.lower(): label for label in (through or ours)}
    chosen = _read(given, theirs, known, name)
    mapped: dict[str, str] = {}
    for label in theirs:
        default = known.get(label.lower()) or known.get(SYNONYMS.get(label.lower(), ""))
        if counterpart := chosen.get(label, default):
            mapped[label] = through[counterpart] if through else counterpart
    if not mapped:
        raise ConfigError(
            f"No class of {name} ({', '.join(theirs) or 'it has none'}) is one of {', '.join(known.values())}: "
            "a class map can say which are, as THEIRS=OURS."
        )
    return ClassMap(
        mapped,
        tuple(label for label in theirs if label not in mapped),
        tuple(label for label in ours if label not in mapped.values()),
    )


def _read(
    given: Sequence[str], theirs: Sequence[str], known: Mapping[str, str], name: str
) -> dict[str, str]:
    chosen = {}
    for entry in given:
        label, sign, other = (part.strip() for part in entry.partition("="))
        if not sign or label not in theirs or (other and other.lower() not in known):
            raise ConfigError(
                f"class_map is {entry!r}; allowed: THEIRS=OURS, or THEIRS= to leave a class out, with THEIRS "
                f"one of {', '.join(theirs)} (the classes of {name}) and OURS one of {', '.join(known.values())}."
            )
        chosen[label] = known.get(other.lower(), "")
    return chosen
