"""Options of `compare` for what a study can ask beyond its main table."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from ..arms import reads_images_alone
from ..config import CORRUPTIONS, StudyConfig
from ..data.on_demand import will_have_masks
from ..errors import ConfigError
from ..study.presets import LABEL_FRACTIONS, SALIENCY_IMAGES, SHORTCUT
from ..workspace import Workspace
from .output import HELP
from .start import names

# option: (field of StudyConfig, its value where the option has none)
QUESTIONS = {
    "label_fractions": ("label_fractions", LABEL_FRACTIONS),
    "robustness": ("corruptions", CORRUPTIONS),
    "shortcut": ("shortcut", SHORTCUT),
    "specificities": ("specificities", StudyConfig.specificities),
}


def add_questions(parser: argparse.ArgumentParser) -> None:
    """An option for each of QUESTIONS (alone: its defaults), --linear-head, --masks, --external and --full."""
    for option in QUESTIONS:
        flag = f"--{option.replace('_', '-')}"
        text = HELP[f"compare {flag}"].format(corruptions=", ".join(CORRUPTIONS))
        parser.add_argument(flag, nargs="?", const="", metavar="A,B,…", help=text)
    parser.add_argument("--linear-head", action="store_true", help=HELP["compare --linear-head"])
    parser.add_argument(
        "--masks",
        nargs="?",
        type=int,
        const=SALIENCY_IMAGES,
        metavar="N",
        help=HELP["compare --masks"].format(images=SALIENCY_IMAGES),
    )
    parser.add_argument("--external", metavar="A,B,…", help=HELP["compare --external"])
    parser.add_argument("--full", action="store_true", help=HELP["compare --full"])


def questions(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a StudyConfig that the options give.

    Raises:
        ConfigError: what should be a number is none.
    """
    fields: dict[str, Any] = {}
    for option, (field, default) in QUESTIONS.items():
        text = getattr(args, option)
        if text is not None:
            values = names(text)
            fields[field] = (
                values if field == "corruptions" else _numbers(values, option)
            ) or default
    if args.linear_head:
        fields["linear_head"] = True
    if args.masks is not None:
        fields["saliency_images"] = args.masks
    if args.external is not None:
        fields["external"] = names(args.external)
    return fields


def with_saliency(config: StudyConfig, workspace: Workspace) -> StudyConfig:
    """A full study: with saliency inside the lesion where its dataset has masks, and its arms are asked of images."""
    able = not config.folds and any(map(reads_images_alone, config.arms))
    if config.saliency_images or not able or not will_have_masks(workspace, config.dataset):
        return config
    return dataclasses.replace(config, saliency_images=SALIENCY_IMAGES)


def _numbers(values: tuple[str, ...], option: str) -> tuple[float, ...]:
    try:
        return tuple(sorted({float(value) for value in values}))
    except ValueError:
        raise ConfigError(
            f"--{option.replace('_', '-')} is {','.join(values)!r}; allowed: numbers with commas "
            "between them."
        ) from None
