"""Options of `compare` for what a study can ask beyond its main table."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import CORRUPTIONS
from ..errors import ConfigError
from ..study.presets import LABEL_FRACTIONS, SHORTCUT
from .output import HELP
from .start import names

# option: (field of StudyConfig, its value where the option has none, help)
QUESTIONS = {
    "label_fractions": (
        "label_fractions",
        LABEL_FRACTIONS,
        "also train on these shares of the labels (default 0.01 to 1)",
    ),
    "robustness": (
        "corruptions",
        CORRUPTIONS,
        f"also test under corruptions (default all: {', '.join(CORRUPTIONS)})",
    ),
    "shortcut": (
        "shortcut",
        SHORTCUT,
        "also plant ink tied to one class at these strengths (default 0 to 1)",
    ),
}


def add_questions(parser: argparse.ArgumentParser) -> None:
    """--label-fractions, --robustness, --shortcut (each alone: its defaults), --external and --full."""
    for option, (_, _, text) in QUESTIONS.items():
        flag = f"--{option.replace('_', '-')}"
        parser.add_argument(flag, nargs="?", const="", metavar="A,B,…", help=text)
    parser.add_argument("--external", metavar="A,B,…", help=HELP["compare --external"])
    parser.add_argument("--full", action="store_true", help=HELP["compare --full"])


def questions(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a StudyConfig that the options give.

    Raises:
        ConfigError: what should be a number is none.
    """
    fields: dict[str, Any] = {}
    for option, (field, default, _) in QUESTIONS.items():
        text = getattr(args, option)
        if text is not None:
            values = names(text)
            fields[field] = (
                values if field == "corruptions" else _numbers(values, option)
            ) or default
    if args.external is not None:
        fields["external"] = names(args.external)
    return fields


def _numbers(values: tuple[str, ...], option: str) -> tuple[float, ...]:
    try:
        return tuple(sorted({float(value) for value in values}))
    except ValueError:
        raise ConfigError(
            f"--{option.replace('_', '-')} is {','.join(values)!r}; allowed: numbers with commas "
            "between them."
        ) from None
