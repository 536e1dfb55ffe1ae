"""`pretrain`, `compare` and `embed`: submit a run, follow it, show what it found."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from ..config import EmbedConfig, PretrainConfig, StudyConfig
from ..errors import ConfigError
from ..records import require
from ..training.recipes import BEST, RECIPES
from .output import Answer, Screen
from .progress import start
from .reports import add_report
from .study_options import NAMES as QUESTIONS
from .study_options import add_questions, questions

PRESETS = ("demo", "laptop", "long", "paper", "bundles")


def add_commands(commands) -> None:
    one = commands.add_parser(
        "pretrain", help="pretrain a VAE on a dataset's training images, labels unused"
    )
    one.add_argument("--dataset", required=True, metavar="NAME")
    one.add_argument(
        "--recipe",
        default=BEST,
        metavar="NAME",
        help=f"one of {', '.join(RECIPES)} (default: {BEST})",
    )
    one.add_argument("--epochs", type=int)
    one.add_argument("--batch-size", type=int)
    one.add_argument("--seed", type=int, default=0)
    _add_transductive(one)
    _add_devices(one)
    _add_shared(one)
    one.set_defaults(handler=run_pretrain)

    one = commands.add_parser(
        "compare",
        help="compare arms under identical conditions; `compare report RUN` shows one again",
    )
    actions = one.add_subparsers(metavar="[report RUN]", required=False)
    one.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="repeat the study of this config.json, as a report gives it",
    )
    one.add_argument(
        "--preset",
        choices=PRESETS,
        help="default: demo, or laptop where --dataset names another set",
    )
    one.add_argument("--dataset", metavar="NAME")
    one.add_argument(
        "--arms",
        metavar="A,B,…",
        help="vae, imagenet, random, both, scratch, colour, bundle:NAME, run:ID",
    )
    one.add_argument("--regime", choices=("frozen", "finetune"))
    one.add_argument(
        "--labels",
        choices=("classes", "priority"),
        help="classes (default), or their priorities: high, medium, low",
    )
    one.add_argument("--seeds", type=int, metavar="N", help="number of seeds")
    one.add_argument("--recipe", metavar="NAME", help=f"pretraining recipe: {', '.join(RECIPES)}")
    one.add_argument(
        "--pooling",
        choices=("pooled", "multi", "mu"),
        help="features of every arm: the stage's mean (default), the last two stages', or a VAE's posterior mean",
    )
    one.add_argument("--pretrain-epochs", type=int, metavar="N")
    one.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="share of the preset's work, above 0 up to 1, for a first look",
    )
    one.add_argument("--vae-run", metavar="RUN", help="use this pretraining instead of making one")
    one.add_argument(
        "--vae", metavar="NAME", help="use this extractor of the shelf instead of making one"
    )
    one.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="for a claim: K folds of whole groups, pretraining repeated in each, "
        "every image tested once; the same command again goes on where it stopped",
    )
    add_questions(one)
    _add_transductive(one)
    _add_devices(one)
    _add_shared(one)
    one.set_defaults(handler=run_compare)
    add_report(actions)

    one = commands.add_parser("embed", help="map an arm's features of a dataset (UMAP and PCA)")
    one.add_argument("--dataset", required=True, metavar="NAME")
    one.add_argument(
        "--arm",
        default="imagenet",
        help="vae, imagenet, both, random, colour, bundle:NAME or run:ID (default imagenet)",
    )
    one.add_argument("--vae-run", metavar="RUN", help="the pretraining of the arms vae and both")
    one.add_argument("--vae", metavar="NAME", help="an extractor of the shelf in its place")
    one.add_argument(
        "--space",
        choices=("pooled", "mu"),
        default="pooled",
        help="pooled features (default), or a VAE's posterior means (arms vae, run:ID, bundle:NAME of "
        "an extractor)",
    )
    one.add_argument(
        "--align-to",
        metavar="RUN",
        help="a finished map of the same images, onto which this one is turned",
    )
    one.add_argument(
        "--opinions",
        metavar="A,B,…",
        help="models whose predictions stand beside each image (default: those on "
        "the shelf that know the dataset's classes)",
    )
    one.add_argument("--neighbours", type=int, default=15)
    one.add_argument("--min-dist", type=float, default=0.1)
    one.add_argument("--seed", type=int, default=0)
    _add_shared(one)
    one.set_defaults(handler=run_embed)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--architecture", metavar="NAME", help="a timm backbone (default resnet18)")
    parser.add_argument(
        "--stage",
        type=int,
        help="up to which stage of it (index into timm's feature_info; default 3)",
    )
    parser.add_argument("--input-size", type=int, metavar="PIXELS")
    parser.add_argument("--split-seed", type=int)
    parser.add_argument(
        "--max-images", type=int, metavar="N", help="use a part of the dataset, whole groups"
    )
    parser.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument(
        "--detach", action="store_true", help="return at once; `runs show RUN --follow` follows it"
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="share the training among N GPUs of this machine (or N "
        "processes on the CPU); under torchrun: all of its processes",
    )


def _devices(args) -> int:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return args.devices or 1
    started = int(os.environ["WORLD_SIZE"])
    require(
        args.devices in (None, started),
        "--devices",
        args.devices,
        f"nothing or {started}, what torchrun started",
    )
    return started


def _add_transductive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--transductive",
        action="store_true",
        help="pretrain on the pixels, never the labels, of validation and test images too; said wherever shown",
    )


def _given(args, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _with_shared(config, args):
    """`config` with the options that every kind of run has, where they were given."""
    changes = _given(args, "input_size", "split_seed", "max_images", "device")
    backbone = _given(args, "architecture", "stage")
    if backbone:
        changes["backbone"] = dataclasses.replace(config.backbone, **backbone)
    return dataclasses.replace(config, **changes)


def run_pretrain(args, screen: Screen) -> Answer:
    """JSON: {run_id, state, epochs, metrics}."""
    from ..study.presets import PRESETS
    from ..training.recipes import recipe

    base = PRESETS["paper" if args.recipe == "paper" else "laptop"]
    config = _with_shared(
        PretrainConfig(
            dataset=args.dataset,
            seed=args.seed,
            backbone=base.backbone,
            input_size=base.input_size,
            recipe=recipe(args.recipe, **_given(args, "epochs", "batch_size")),
            images="all" if args.transductive else "train",
            devices=_devices(args),
        ),
        args,
    )
    return start(config, args, screen)


def run_compare(args, screen: Screen) -> Answer:
    """JSON: {run_id, state, arms, paper_table, verdict, …}, as artefacts/study.json has them."""
    return start(study_config(args) if args.config is None else _repeated(args), args, screen)


def stored_study(path: Path) -> StudyConfig:
    """The study that a config.json describes. Raises ConfigError where it cannot be read or is of another kind."""
    from ..config import from_dict
    from ..files import read_json

    try:
        config = from_dict(read_json(path))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); give the config.json of a study."
        ) from error
    require(
        isinstance(config, StudyConfig),
        "kind",
        config.kind,
        "'study'; give the config.json of a study",
    )
    return config


def _repeated(args) -> StudyConfig:
    """The study of --config, which says everything but the device."""
    others = _given(
        args,
        "preset",
        "dataset",
        "arms",
        "regime",
        "labels",
        "seeds",
        "recipe",
        "pretrain_epochs",
        "vae_run",
        "vae",
        "folds",
        "pooling",
        "architecture",
        "stage",
        "input_size",
        "split_seed",
        "max_images",
        *QUESTIONS,
    )
    if others or args.transductive or args.full:
        raise ConfigError(
            f"--config says everything but --device; leave out {', '.join(others) or 'the other options'}."
        )
    config, device = stored_study(args.config), _given(args, "device")
    pretrain = dataclasses.replace(config.pretrain, **device) if config.pretrain else None
    return dataclasses.replace(config, pretrain=pretrain, **device)


def study_config(args) -> StudyConfig:
    """The preset's study with every option that was given, its pretraining changed alike."""
    from ..study.presets import preset

    synthetic = args.dataset is None or args.dataset.startswith("synth")
    config = preset(
        args.preset or ("demo" if synthetic else "laptop"),
        dataset=args.dataset,
        scale=args.scale,
        recipe=args.recipe,
        full=args.full,
    )
    config = _with_shared(config, args)
    changes = _given(args, "regime", "vae_run", "vae", "labels", "folds", "pooling") | questions(
        args
    )
    if args.arms is not None:
        changes["arms"] = tuple(arm.strip() for arm in args.arms.split(",") if arm.strip())
    if args.seeds is not None:
        changes["seeds"] = tuple(range(args.seeds))
    changes["devices"] = _devices(args)
    pretrain = dataclasses.replace(_with_shared(config.pretrain, args), devices=changes["devices"])
    if args.pretrain_epochs is not None:
        pretrain = dataclasses.replace(
            pretrain, recipe=dataclasses.replace(pretrain.recipe, epochs=args.pretrain_epochs)
        )
    if args.transductive:
        if args.vae_run or args.vae:
            raise ConfigError(
                "--transductive says how to pretrain, --vae-run and --vae that this is done: give one of them."
            )
        pretrain = dataclasses.replace(pretrain, images="all")
    return dataclasses.replace(
        config, pretrain=None if args.vae_run or args.vae else pretrain, **changes
    )


def run_embed(args, screen: Screen) -> Answer:
    """JSON: {run_id, state, map, space, quality, trouble}."""
    if args.arm in ("vae", "both") and not (args.vae_run or args.vae):
        raise ConfigError(
            f"--arm {args.arm} needs --vae-run, the id of a pretraining (`runs list --kind pretrain` shows them), "
            "or --vae, the name of an extractor on the shelf (`models list`)."
        )
    return start(
        _with_shared(
            EmbedConfig(
                dataset=args.dataset,
                arm=args.arm,
                vae_run=args.vae_run,
                vae=args.vae,
                space=args.space,
                aligned_to=args.align_to,
                opinions=tuple(name for name in (args.opinions or "").split(",") if name),
                neighbours=args.neighbours,
                min_dist=args.min_dist,
                seed=args.seed,
            ),
            args,
        ),
        args,
        screen,
    )
