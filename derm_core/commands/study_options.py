"""Options of `compare` for what a study can ask beyond its main table."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import CORRUPTIONS
from ..errors import ConfigError

NAMES = ("label_fractions", "robustness", "shortcut", "external")


def add_questions(parser: argparse.ArgumentParser) -> None:
    """--label-fractions, --robustness, --shortcut (each alone: its defaults), --external and --full."""
    parser.add_argument(
        "--label-fractions",
        nargs="?",
        const="",
        metavar="A,B,…",
        help="also train on these shares of the labels (default 0.01 to 1)",
    )
    parser.add_argument(
        "--robustness",
        nargs="?",
        const="",
        metavar="A,B,…",
        help=f"also test under corruptions (default all: {', '.join(CORRUPTIONS)})",
    )
    parser.add_argument(
        "--shortcut",
        nargs="?",
        const="",
        metavar="A,B,…",
        help="also plant ink tied to one class at these strengths (default 0 to 1)",
    )
    parser.add_argument(
        "--external", metavar="A,B,…", help="also test on these datasets, through a class map"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all of these at their defaults; --external names its datasets",
    )


def questions(args) -> dict[str, Any]:
    """The fields of a StudyConfig that the options give. Raises ConfigError for what is not a number."""
    from ..study.presets import LABEL_FRACTIONS, SHORTCUT

    given: dict[str, Any] = {}
    for option, field, default, read in (
        ("label_fractions", "label_fractions", LABEL_FRACTIONS, _numbers),
        ("shortcut", "shortcut", SHORTCUT, _numbers),
        ("robustness", "corruptions", CORRUPTIONS, _names),
        ("external", "external", (), _names),
    ):
        if (text := getattr(args, option)) is not None:
            given[field] = read(text, f"--{option.replace('_', '-')}") or default
    return given


def _names(text: str, option: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(sorted({float(part) for part in _names(text, option)}))
    except ValueError:
        raise ConfigError(
            f"{option} is {text!r}; allowed: numbers with commas between them."
        ) from None
