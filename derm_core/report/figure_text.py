"""What users wrote, safe in figures: plotly interprets some HTML in every text, links among it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FOREIGN_TAG = re.compile(r"<(?!/?(?:b|i|sub|sup|extra)>|br>|br/>)")


def with_plain_texts(figure: Any) -> Any:
    """The figure, changed in place: tags in its texts but those of emphasis and line breaks are escaped."""
    for part in (*figure.data, figure.layout):
        given = part.to_plotly_json()
        part.update(
            {key: value for key, old in given.items() if (value := plain_texts(old)) is not old},
            overwrite=True,
        )
    return figure


def plain_texts(value: Any) -> Any:
    """`value` with its texts as in `with_plain_texts`; the same object where nothing changes."""
    if isinstance(value, str):
        return FOREIGN_TAG.sub("&lt;", value) if "<" in value else value
    if isinstance(value, Mapping):
        changed = {key: plain_texts(item) for key, item in value.items()}
        return changed if any(changed[key] is not item for key, item in value.items()) else value
    if isinstance(value, (list, tuple)) or getattr(getattr(value, "dtype", None), "kind", "") in (
        "O",
        "U",
    ):
        items = [plain_texts(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value)) else value
    return value
