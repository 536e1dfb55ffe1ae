"""`pretrain`: a VAE on a dataset's training images, labels unused."""

from __future__ import annotations

import argparse

from ..config import PretrainConfig, Recipe
from ..config.recipes import BEST, RECIPES, recipe
from ..data.manifest import load_dataset
from ..study.marks import pretraining_with_marks
from ..study.presets import PRESETS
from .output import HELP, Answer, Screen
from .start import (
    add_fields,
    add_run_options,
    add_training_options,
    device_count,
    given,
    start,
    with_run_options,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pretrain`."""
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument(
        "--recipe",
        default=BEST,
        metavar="NAME",
        help=f"one of {', '.join(RECIPES)} (default: {BEST})",
    )
    add_fields(parser, Recipe, "epochs", "batch_size")
    add_fields(parser, PretrainConfig, "seed")
    parser.add_argument("--marks", action="store_true", help=HELP["pretrain --marks"])
    add_training_options(parser, PretrainConfig)
    add_run_options(parser)
    parser.set_defaults(handler=pretrain)


def pretrain(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state, epochs, metrics}."""
    base = PRESETS["paper" if args.recipe == "paper" else "laptop"].study
    config = PretrainConfig(
        dataset=args.dataset,
        backbone=base.backbone,
        input_size=base.input_size,
        recipe=recipe(args.recipe, **given(args, "epochs", "batch_size")),
        images="all" if args.transductive else "train",
        devices=device_count(args),
        **given(args, "seed"),
    )
    config = with_run_options(config, args)
    if args.marks:
        config = pretraining_with_marks(config, load_dataset(screen.workspace, config.dataset))
        screen.note(f"A pretraining {config.marks}.")
    return start(config, args, screen)
