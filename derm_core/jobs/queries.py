"""Which runs a list is of, as a condition of SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

TEXT_COLUMNS = ("name", "note", "dataset", "detail")
ID_WORD = 4  # characters of a word that may be part of an id: shorter ones stand in nearly every id


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Runs that fulfil every condition given.

    Attributes:
        kinds, states: one of these; of any where empty.
        ids: one of these; None: of any.
        tag: which a run has.
        text: words, each of which stands in a run's name, a tag, note, dataset or detail
            (`describe`), or with ID_WORD characters in its id, whatever the case of Latin letters.
        archived: True: archived ones alone; False: those that are not; None: both.
        ended_before: when a run ended, or was made where that is not known: before this time, in
            seconds since 1970.
    """

    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    tag: str | None = None
    text: str = ""
    archived: bool | None = None
    ended_before: float | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """(condition, its values) after WHERE."""
        parts, values = ["1"], list[Any]()
        for column, wanted in (("kind", self.kinds), ("state", self.states)):
            if wanted:
                parts.append(f"{column} IN ({','.join('?' * len(wanted))})")
                values += wanted
        if self.ids is not None:
            parts.append("id IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.ids))
        if self.archived is not None:
            parts.append(f"archived IS {'NOT ' if self.archived else ''}NULL")
        if self.tag is not None:
            parts.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value=?)")
            values.append(self.tag)
        if self.ended_before is not None:
            parts.append("COALESCE(finished, created) < ?")
            values.append(self.ended_before)
        for word in self.text.split():
            columns = (*TEXT_COLUMNS, "id") if len(word) >= ID_WORD else TEXT_COLUMNS
            among = [f"{column} LIKE ? ESCAPE '\\'" for column in columns]
            among.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value LIKE ? ESCAPE '\\')")
            parts.append(f"({' OR '.join(among)})")
            values += [_pattern(word)] * len(among)
        return " AND ".join(parts), values


def _pattern(word: str) -> str:
    for special in "\\%_":
        word = word.replace(special, f"\\{special}")
    return f"%{word}%"


def describe(config: dict[str, Any]) -> dict[str, str]:
    """The columns `dataset` and `detail`: of a config the dataset, and its preset, recipe, model or arm."""
    recipe = config.get("recipe")
    named = recipe.get("name") if isinstance(recipe, dict) else None
    detail = config.get("preset") or named or config.get("name") or config.get("arm")
    return {"dataset": str(config.get("dataset") or ""), "detail": str(detail or "")}
