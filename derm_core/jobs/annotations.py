"""What a user writes about a run: its name, tags and note, and how long each may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ConfigError

NAME_LENGTH, TAG_LENGTH, NOTE_LENGTH, MAX_TAGS = 80, 30, 4000, 20


@dataclass(frozen=True)
class Annotations:
    """A run's name, tags and note."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""


def checked_annotations(name: str, tags: Iterable[str] = (), note: str = "") -> Annotations:
    """Annotations with white space trimmed and every tag once. Raises ConfigError naming the limit."""
    trimmed = (" ".join(tag.split()) for tag in tags)
    checked = Annotations(
        " ".join(name.split()), tuple(dict.fromkeys(filter(None, trimmed))), note.strip()
    )
    for what, text, limit in (
        ("name", checked.name, NAME_LENGTH),
        ("note", checked.note, NOTE_LENGTH),
        *(("tag", tag, TAG_LENGTH) for tag in checked.tags),
    ):
        if len(text) > limit:
            raise ConfigError(
                f"A run's {what} has at most {limit} characters; this one has {len(text)}: shorten it."
            )
    if len(checked.tags) > MAX_TAGS or any("," in tag for tag in checked.tags):
        raise ConfigError(
            f"A run has at most {MAX_TAGS} tags, none with a comma in it; these are {len(checked.tags)}."
        )
    return checked
