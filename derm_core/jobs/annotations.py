"""What a user says of a run: its name, tags and note, and how long each may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError

NAME_LENGTH, TAG_LENGTH, NOTE_LENGTH, MAX_TAGS = 80, 30, 4000, 20


def checked_about(name: str, tags: Iterable[str], note: str) -> dict[str, Any]:
    """{"name", "tags", "note"} of a run, white space trimmed, a tag once. Raises ConfigError naming the limit."""
    name, note = " ".join(name.split()), note.strip()
    tags = list(dict.fromkeys(tag for tag in (" ".join(tag.split()) for tag in tags) if tag))
    for what, text, limit in (
        ("name", name, NAME_LENGTH),
        ("note", note, NOTE_LENGTH),
        *(("tag", tag, TAG_LENGTH) for tag in tags),
    ):
        if len(text) > limit:
            raise ConfigError(
                f"A run's {what} has at most {limit} characters; this one has {len(text)}: shorten it."
            )
    if len(tags) > MAX_TAGS or any("," in tag for tag in tags):
        raise ConfigError(
            f"A run has at most {MAX_TAGS} tags, none with a comma in it; these are {len(tags)}."
        )
    return {"name": name, "tags": tags, "note": note}
