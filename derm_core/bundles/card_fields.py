"""What the cards of models and of extractors have in common, checked field by field."""

from __future__ import annotations

import math
import re
from typing import Any

from ..errors import BundleError
from ..workspace import ID_PATTERN

SCHEMA = 1
# timm arguments a card may carry: plain settings, none of which names a file, a folder or an address
SAFE_ARGUMENTS = (
    "pad_type",
    "bn_eps",
    "bn_momentum",
    "act_layer",
    "norm_layer",
    "stem_type",
    "patch_size",
)
LABEL = re.compile(r"(?!.*:.*:)[\w .,:()+\u2013-]{1,120}")  # stands in badges


def check_common(card: dict, required: dict[str, type], counts: tuple[str, ...]) -> None:
    """The fields that both kinds of card have. required: field to type; counts: fields from 1 to 65536. Raises BundleError."""
    for field, kind in required.items():
        value = card.get(field)
        need(
            isinstance(value, kind) and not isinstance(value, bool),
            field,
            f"a value of kind {kind.__name__}",
        )
    need(
        card["schema"] == SCHEMA,
        "schema",
        f"{SCHEMA}; a newer bundle needs a newer version of this program",
    )
    need(
        bool(ID_PATTERN.fullmatch(card["name"])),
        "name",
        "1 to 40 lower-case letters, digits and hyphens",
    )
    need(
        bool(LABEL.fullmatch(card["label"])),
        "label",
        "1 to 120 letters, digits, blanks and . , ( ) + -, one colon",
    )
    need(0 <= card["stage"] <= 9, "stage", "0 to 9")
    for field, limit in (*((field, 65536) for field in counts), ("input_size", 1024)):
        need(1 <= card[field] <= limit, field, f"1 to {limit}")
    for field in ("mean", "std"):
        need(len(card[field]) == 3 and all(number(v) for v in card[field]), field, "three numbers")
    need(all(v > 0 for v in card["std"]), "std", "three numbers above 0")
    need(
        all(
            name in SAFE_ARGUMENTS and (value is None or isinstance(value, (str, int, float)))
            for name, value in card["model_args"].items()
        ),
        "model_args",
        "plain values of " + ", ".join(SAFE_ARGUMENTS),
    )


def check_decoder(card: dict) -> None:
    """The decoder's sizes. Raises BundleError."""
    sizes = card["decoder"]
    need(
        isinstance(sizes, dict)
        and all(
            type(sizes.get(key)) is int and 1 <= sizes[key] <= 4096
            for key in ("latent_dim", "size", "width")
        ),
        "decoder",
        "an object with latent_dim, size and width from 1 to 4096",
    )


def number(value: Any) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def need(holds: bool, field: str, allowed: str) -> None:
    """Raises BundleError, which names the field and what it must be, where `holds` is false."""
    if not holds:
        raise BundleError(
            f"The bundle's card is not valid: {field} must be {allowed}. Get the bundle again."
        )
