"""`compare`: a study of several arms under identical conditions, `compare report`, `compare predictions`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..arms import arm_kind
from ..config import FinetuneSchedule, StudyConfig, from_dict
from ..config.recipes import RECIPES
from ..data.manifest import load_dataset
from ..errors import ConfigError
from ..files import read_json
from ..records import description
from ..study.duration import estimate
from ..study.marks import with_marks
from ..study.presets import PRESETS, preset, preset_dataset
from .compare_predictions import add_predictions_arguments
from .embeddings import with_registered
from .output import HELP, Answer, Screen
from .reports import add_report_arguments
from .start import (
    add_fields,
    add_run_options,
    add_training_options,
    device_count,
    given,
    names,
    start,
    with_run_options,
)
from .study_questions import add_questions, questions, with_saliency

NOT_OF_THE_STUDY = ("config", "device", "detach", "handler", "json", "workspace")  # with --config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `compare`, `compare report` and `compare predictions`."""
    actions = parser.add_subparsers(metavar="[report RUN | predictions FILE…]", required=False)
    report = "a finished comparison as text, as one HTML file, as CSV"
    add_report_arguments(actions.add_parser("report", help=report))
    add_predictions_arguments(actions.add_parser("predictions", help=HELP["compare predictions"]))
    parser.add_argument("--config", type=Path, metavar="FILE", help=HELP["compare --config"])
    parser.add_argument("--preset", choices=tuple(PRESETS), help=HELP["compare --preset"])
    add_fields(parser, StudyConfig, "dataset")
    parser.add_argument("--arms", metavar="A,B,…", help=description(StudyConfig, "arms"))
    parser.add_argument("--count-seen", action="store_true", help=HELP["compare --count-seen"])
    add_fields(parser, StudyConfig, "regime", "labels", "pooling", "vae_run", "vae", "folds")
    add_fields(parser, StudyConfig, "target_class")
    add_fields(parser, FinetuneSchedule, "lora_rank")
    parser.add_argument("--marks", action="store_true", help=HELP["compare --marks"])
    parser.add_argument("--new-labels", action="store_true", help=HELP["compare --new-labels"])
    parser.add_argument("--seeds", type=int, metavar="N", help=HELP["compare --seeds"])
    parser.add_argument(
        "--recipe", metavar="NAME", help=f"pretraining recipe: {', '.join(RECIPES)}"
    )
    parser.add_argument(
        "--pretrain-epochs", type=int, metavar="N", help=HELP["compare --pretrain-epochs"]
    )
    parser.add_argument("--scale", type=float, metavar="SHARE", help=HELP["compare --scale"])
    add_questions(parser)
    add_training_options(parser, StudyConfig)
    add_run_options(parser)
    parser.add_argument("--dry-run", action="store_true", help=HELP["compare --dry-run"])
    parser.set_defaults(handler=compare)


def compare(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state, arms, paper_table, verdict, …}, as artefacts/study.json has them."""
    if args.config is not None:
        return start(_repeated(args), args, screen)
    name = preset_name(args)
    dataset = args.dataset or preset_dataset(screen.workspace, name)
    if not args.dataset and PRESETS[name].made_for:
        screen.note(f"The dataset {dataset} was recognised as {PRESETS[name].made_for}.")
    if args.arms is not None:
        args.arms = ",".join(with_registered(names(args.arms), dataset, screen))
    config = study_config(args, dataset)
    if args.full:
        config = with_saliency(config, screen.workspace)
    if args.new_labels and not args.marks:
        raise ConfigError("--new-labels belongs to --marks, which leaves images out: give both.")
    if args.marks:
        marked = load_dataset(screen.workspace, config.dataset)
        config = with_marks(config, marked, args.new_labels)
        screen.note(f"A study {config.marks}.")
    if args.dry_run:
        expected = estimate(config, screen.workspace)
        return Answer(expected, expected.text)
    return start(config, args, screen)


def stored_study(path: Path) -> StudyConfig:
    """The study that a config.json describes.

    Raises:
        ConfigError: the file cannot be read, or is the config of another kind of run.
    """
    try:
        config = from_dict(read_json(path))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); give the config.json of a study."
        ) from error
    if not isinstance(config, StudyConfig):
        raise ConfigError(
            f"{path} is the config of a run of kind {config.kind}; give the config.json of a study."
        )
    return config


def _repeated(args: argparse.Namespace) -> StudyConfig:
    """The study of --config; only the device may be another."""
    others = [
        f"--{name.replace('_', '-')}"
        for name, value in vars(args).items()
        if name not in NOT_OF_THE_STUDY and value not in (None, False)
    ]
    if others:
        raise ConfigError(f"--config says everything but --device; leave out {', '.join(others)}.")
    config, device = stored_study(args.config), given(args, "device")
    pretrain = dataclasses.replace(config.pretrain, **device) if config.pretrain else None
    return dataclasses.replace(config, pretrain=pretrain, **device)


def preset_name(args: argparse.Namespace) -> str:
    """The preset that is named, else the one that fits the other options."""
    if args.preset:
        return str(args.preset)
    if args.folds and args.regime != "finetune":
        return "folds"
    synthetic = args.dataset is None or args.dataset.startswith("synth")
    return "demo" if synthetic else "laptop"


def study_config(args: argparse.Namespace, dataset: str | None = None) -> StudyConfig:
    """The preset's study with every option that was given, its pretraining changed alike.

    dataset: by default that of --dataset, else the preset's own.
    """
    config = preset(
        preset_name(args),
        dataset=dataset or args.dataset,
        scale=1.0 if args.scale is None else args.scale,
        recipe=args.recipe,
        full=args.full,
    )
    devices = device_count(args)
    changes = given(args, "regime", "vae_run", "vae", "labels", "folds", "pooling", "target_class")
    changes |= questions(args) | {"devices": devices}
    if args.arms is not None:
        changes["arms"] = names(args.arms)
    elif args.folds:  # of other weights it is not known whether they have seen the images of a fold
        changes["arms"] = tuple(
            arm for arm in config.arms if arm_kind(arm) not in ("bundle", "run")
        )
    if args.count_seen:
        changes["count_seen"] = True
    if args.lora_rank is not None:
        changes["finetune"] = dataclasses.replace(config.finetune, lora_rank=args.lora_rank)
    if args.seeds is not None:
        changes["seeds"] = tuple(range(args.seeds))
    if args.vae_run or args.vae:
        if args.transductive:
            raise ConfigError(
                "--transductive says how to pretrain, --vae-run and --vae that this is done: give one "
                "of them."
            )
        changes["pretrain"] = None
    elif config.pretrain:
        recipe = config.pretrain.recipe
        if args.pretrain_epochs is not None:
            recipe = dataclasses.replace(recipe, epochs=args.pretrain_epochs)
        changes["pretrain"] = dataclasses.replace(
            with_run_options(config.pretrain, args),
            devices=devices,
            recipe=recipe,
            images="all" if args.transductive else "train",
        )
    return dataclasses.replace(with_run_options(config, args), **changes)
