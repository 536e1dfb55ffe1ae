"""The values of a card that came from elsewhere: bounded in depth, number and length, and text that can be shown."""

from __future__ import annotations

import re
from typing import Any

from ..errors import BundleError

MAX_DEPTH, MAX_VALUES = 24, 500_000
MAX_TEXT, MAX_NAME = 20_000, 200
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_values(card: Any) -> None:
    """Raises BundleError, naming the field, where a card is nested, long or spelled as none is written."""
    waiting, seen = [("card", card, 0)], 0
    while waiting:
        where, value, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise _refused(
                where,
                f"nested deeper than {MAX_DEPTH}"
                if depth > MAX_DEPTH
                else f"part of more than {MAX_VALUES:,} values",
            )
        if isinstance(value, dict):
            for key, item in value.items():
                _check_text(where, key, MAX_NAME)
                waiting.append((f"{where}.{key}" if depth < 3 else where, item, depth + 1))
        elif isinstance(value, (list, tuple)):
            waiting += [(where, item, depth + 1) for item in value]
        elif isinstance(value, str):
            _check_text(where, value, MAX_NAME if where == "card.classes" else MAX_TEXT)
        elif isinstance(value, float) and not abs(value) < float("inf"):
            raise _refused(where, "not a finite number")
        elif isinstance(value, int) and abs(value) > 2**63:
            raise _refused(where, "too large a number")


def _check_text(where: str, text: Any, limit: int) -> None:
    if not isinstance(text, str) or len(text) > limit:
        raise _refused(where, f"a text of more than {limit:,} characters")
    if FORBIDDEN.search(text):
        raise _refused(
            where, "a text with control characters, or marks that turn the writing direction"
        )


def _refused(where: str, what: str) -> BundleError:
    return BundleError(
        f"The bundle's card is not valid: {where.removeprefix('card.')[:80]} is {what}. Get the bundle again."
    )
