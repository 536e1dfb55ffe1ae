"""What the commands that start a run share: their options, and starting it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from typing import Any, Literal, TypeVar

from ..config import BackboneConfig, EmbedConfig, PretrainConfig, RunConfig, StudyConfig
from ..jobs.dependencies import waits_for
from ..jobs.preflight import submit
from ..jobs.store import RunStore
from ..jobs.supervisor import reconcile
from ..records import allowed, description, plain_type, require
from .follow import follow
from .output import HELP, Answer, Screen
from .results import answer

Config = TypeVar("Config", PretrainConfig, StudyConfig, EmbedConfig)
RUN_FIELDS = ("input_size", "split_seed", "splits", "max_images", "draw", "device")
METAVARS = {
    "dataset": "NAME",
    "input_size": "PIXELS",
    "vae": "NAME",
    "vae_run": "RUN",
    "target_class": "NAME",
}


def add_fields(parser: argparse.ArgumentParser, cls: type, *fields: str) -> None:
    """An option for each field of a config, with the field's type, choices, bounds and description.

    Options that are not given are None.
    """
    for field in fields:
        kind, limits = plain_type(cls, field), allowed(cls, field)
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else None
        parser.add_argument(
            f"--{field.replace('_', '-')}",
            type=kind if kind in (int, float) else str,
            choices=choices,
            metavar=METAVARS.get(field, "N" if kind in (int, float) else None),
            help=description(cls, field) + (f" ({limits})" if limits and not choices else ""),
        )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Backbone, input, part of the dataset, device and --detach."""
    add_fields(parser, BackboneConfig, "architecture", "stage")
    add_fields(parser, StudyConfig, *RUN_FIELDS)
    add_detach(parser)


def add_detach(parser: argparse.ArgumentParser) -> None:
    """--detach."""
    parser.add_argument("--detach", action="store_true", help=HELP["--detach"])


def add_training_options(parser: argparse.ArgumentParser, cls: type) -> None:
    """--transductive and --devices, of the commands that may pretrain. cls: the config with `devices`."""
    parser.add_argument("--transductive", action="store_true", help=HELP["--transductive"])
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help=f"{description(cls, 'devices')}; under torchrun: all of its processes",
    )


def device_count(args: argparse.Namespace) -> int:
    """--devices, else the number of processes that torchrun started, else 1."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return args.devices or 1
    started = int(os.environ["WORLD_SIZE"])
    allowed = f"nothing or {started}, what torchrun started"
    require(args.devices in (None, started), "--devices", args.devices, allowed)
    return started


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that are given."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def names(text: str | None) -> tuple[str, ...]:
    """The different entries of a list with commas."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def with_run_options(config: Config, args: argparse.Namespace) -> Config:
    """`config` with the options of `add_run_options` that are given."""
    changes = given(args, *RUN_FIELDS)
    if backbone := given(args, "architecture", "stage"):
        changes["backbone"] = dataclasses.replace(config.backbone, **backbone)
    return dataclasses.replace(config, **changes)


def start(config: RunConfig, args: argparse.Namespace, screen: Screen) -> Answer:
    """Queue a run and return its results; with --detach its id, at once."""
    reconcile(screen.workspace)
    run = RunStore(screen.workspace).get(submit(screen.workspace, config))
    needed = waits_for(screen.workspace, run)
    after = f", after {', '.join(needed)}" if needed else ""
    if isinstance(config, StudyConfig) and config.all_folds:
        after = f", after the studies of its {config.folds} folds"
    if not run.final:
        screen.note(f"{run.id} is {run.state}{after}. It goes on if this command ends.")
    if args.detach:
        return Answer(
            {"run_id": run.id, "state": run.state, "depends_on": run.depends_on},
            f"{run.id}\nFollow it with `runs show {run.id} --follow`.",
        )
    return answer(screen.workspace, follow(run.id, screen))
