"""`data import | get | list | show | audit | embeddings | marks | masks | priority | synth | delete`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..config import StudyConfig
from ..config.shared import Splits
from ..data.audit import audit
from ..data.import_options import ImportOptions
from ..data.importers import ImportResult, import_dataset
from ..data.manifest import Skipped, delete_dataset, list_datasets, load_dataset, read_info
from ..data.marks import read_marks
from ..data.official_split import describe_official, describe_unused
from ..data.synth.dataset import make_synth
from ..data.triage import default_map, describe_map, priority_map, save_map
from ..data.used_images import SplitRule, used_images
from ..errors import ConfigError, DataError, RunError
from ..formatting import count
from ..jobs.dependencies import dataset_users
from ..jobs.supervisor import reconcile
from ..records import to_json
from .embeddings import add_embeddings_arguments
from .output import HELP, Answer, Screen, add_action, duration, size, table
from .start import add_fields

SHOWN_SKIPPED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `data` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    one = add_action(actions, "data import", import_data)
    one.add_argument("path", type=Path)
    one.add_argument("--name", required=True, help=HELP["data import --name"])
    one.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[64],
        metavar="PIXELS",
        help=HELP["data import --size"],
    )
    one.add_argument("--processes", type=int, help=HELP["data import --processes"])
    add_choices(one)
    one = add_action(actions, "data get", "data_get:get_data")
    one.add_argument("name", nargs="?", help=HELP["data get name"])
    one.add_argument("--to", type=Path, metavar="FOLDER", help=HELP["data get --to"])
    one.add_argument(
        "--accept-licence", action="store_true", help=HELP["data get --accept-licence"]
    )
    one.add_argument("--no-import", dest="do_import", action="store_false")
    add_action(actions, "data list", list_data)
    one = add_action(actions, "data show", "data_show:show_data", "name")
    one.add_argument("--out", type=Path, metavar="FILE", help=HELP["data show --out"])
    one.add_argument("--images", type=int, metavar="N", help=HELP["data show --images"])
    one = add_action(actions, "data audit", audit_data, "name")
    one.add_argument("--split-seed", type=int, default=0)
    add_fields(one, StudyConfig, "splits")
    add_embeddings_arguments(actions)
    one = add_action(actions, "data marks", "data_marks:marks_data", "name")
    one.add_argument("--list", action="store_true", help=HELP["data marks --list"])
    one.add_argument("--export", type=Path, metavar="FILE", help=HELP["data marks --export"])
    one.add_argument(
        "--import", dest="import_file", type=Path, metavar="FILE", help=HELP["data marks --import"]
    )
    one = add_action(actions, "data masks", "data_masks:masks_data", "name")
    one.add_argument("path", nargs="?", type=Path, help=HELP["data masks path"])
    one.add_argument("--remove", action="store_true", help=HELP["data masks --remove"])
    one = add_action(actions, "data priority", priority_data, "name")
    one.add_argument("map", nargs="*", metavar="CLASS=PRIORITY", help=HELP["data priority map"])
    one.add_argument("--default", action="store_true", help=HELP["data priority --default"])
    one = add_action(actions, "data synth", synth_data)
    one.add_argument("--name", default="synth")
    one.add_argument("--images", type=int, default=2000)
    one.add_argument("--size", type=int, default=128, metavar="PIXELS")
    one.add_argument("--seed", type=int, default=0)
    one = add_action(actions, "data delete", delete_data, "name")
    one.add_argument("--marks", action="store_true", help=HELP["data delete --marks"])


def add_choices(parser: argparse.ArgumentParser) -> None:
    """The options that decide what an import takes for what."""
    choices = parser.add_argument_group("columns and classes", HELP["data import choices"])
    metavars = {"--table": "FILE", "--exclude": "PATTERN", "--classes": "folder|PATTERN"}
    for option in ("--image-column", "--split-column", "--classes"):
        metavar = metavars.get(option, "COLUMN")
        choices.add_argument(option, metavar=metavar, help=HELP[f"data import {option}"])
    for option in ("--label-column", "--group-column", "--table", "--exclude"):
        choices.add_argument(
            option,
            metavar=metavars.get(option, "COLUMN"),
            nargs="+",
            action="extend",
            default=[],
            help=HELP[f"data import {option}"],
        )


def choices_of(args: argparse.Namespace) -> ImportOptions:
    """The import options of a command line."""
    return ImportOptions(
        image_column=args.image_column,
        label_columns=tuple(args.label_column),
        group_columns=tuple(args.group_column),
        split_column=args.split_column,
        tables=tuple(args.table),
        exclude=tuple(args.exclude),
        classes=args.classes,
    )


def import_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, images, class_counts, unlabelled, groups, source, notes, skipped, seconds, …}."""
    if not args.path.exists():
        raise DataError(f"{args.path} does not exist; give a folder, a CSV or an .npz file.")
    result = import_dataset(
        screen.workspace,
        args.path,
        args.name,
        options=choices_of(args),
        sizes=tuple(args.size),
        processes=args.processes,
        progress=screen.counter("importing", "images"),
    )
    return Answer(result, "\n".join(describe_import(result)))


def describe_import(result: ImportResult) -> list[str]:
    """The outcome of an import in lines: what was assumed, counted and left out."""
    groups = f"{result.groups} groups" if result.groups_known else "groups unknown"
    return [
        f"{result.name}: {result.images} images, {result.classes} classes, {groups}, "
        f"imported in {duration(result.seconds)}.",
        describe_taken(result.source.described()),
        describe_counts(result.class_counts, result.unlabelled),
        *result.notes,
        *describe_skipped(result.skipped),
    ]


def describe_taken(taken: Sequence[tuple[str, str]]) -> str:
    """What was taken for what, in one line. taken: (name, value)."""
    return "; ".join(f"{name}: {value}" for name, value in taken) + "."


def describe_counts(class_counts: Mapping[str, int], unlabelled: int) -> str:
    """Images by class and without one, in one line."""
    counts = ", ".join(f"{name} {n}" for name, n in class_counts.items())
    return f"Classes: {counts or 'none'}; without a label: {unlabelled}."


def describe_skipped(skipped: Sequence[Skipped]) -> list[str]:
    """The first of the files that an import left out, with the reasons."""
    if not skipped:
        return []
    lines = [f"{len(skipped)} skipped:"]
    lines += [f"  {one.path}: {one.reason}" for one in skipped[:SHOWN_SKIPPED]]
    if len(skipped) > SHOWN_SKIPPED:
        lines.append(f"  and {len(skipped) - SHOWN_SKIPPED} more; --json lists them all")
    return lines


def list_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {datasets: [{name, images, classes, groups, groups_known, layout, disk_bytes}], disk_bytes}."""
    datasets = list_datasets(screen.workspace)
    text = (
        "No dataset yet: `data synth` makes one, `data get` downloads a public one, "
        "`data import PATH --name NAME` reads yours."
    )
    if datasets:
        header = ("name", "images", "classes", "groups", "layout", "on disk")
        rows = [
            (
                one.name,
                one.images,
                one.classes,
                one.groups if one.groups_known else "unknown",
                one.layout,
                size(one.disk_bytes or 0),
            )
            for one in datasets
        ]
        text = table(header, rows)
    total = sum(one.disk_bytes or 0 for one in datasets)
    return Answer({"datasets": to_json(datasets), "disk_bytes": total}, text)


def audit_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {groups_across_splits, groups_known, cautions, splits, …}; fails where a group crosses."""
    dataset = load_dataset(screen.workspace, args.name)
    splits: Splits = args.splits or "grouped"
    used = used_images(dataset, SplitRule(seed=args.split_seed, splits=splits))
    result = audit(dataset.at(used.rows), used.split)
    rows = [
        (
            name,
            part.images,
            part.groups if result.groups_known else "–",
            *(part.classes.get(c, 0) for c in dataset.classes),
        )
        for name, part in result.splits.items()
    ]
    groups, images = result.groups_across_splits, result.duplicate_images_across_splits
    crossing = "unknown" if groups is None else groups
    lines = [
        table(("split", "images", "groups", *dataset.classes), rows),
        f"Groups in more than one split: {crossing}. Equal images in more than one split: {images}.",
        *(f"Caution: {sentence}" for sentence in result.cautions),
    ]
    for what, names in to_json(result.crossing).items():
        if names:
            lines.append(f"Crossing {what.replace('_', ' ')}: {', '.join(names)}")
    crosses = result.crossing.groups or images
    problem = f"Dataset {args.name} leaks between splits; import it again." if crosses else ""
    value = {
        "name": args.name,
        "split_seed": args.split_seed,
        "split_kind": splits,
        **to_json(result),
    }
    if unused := "" if used.official else describe_unused(dataset):
        lines.append(unused)
    if used.official:
        lines.append(describe_official(used.official))
        value["left_out"] = used.official.left_out
        if crosses:
            problem = (
                f"The official split of {args.name} leaks; the default, --splits grouped, does not."
            )
    return Answer(value, "\n".join(lines), problem)


def priority_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, map: {class: priority}, ours}."""
    files = screen.workspace.dataset(args.name)
    info = read_info(files)
    changes = dict(_pair(text) for text in args.map)
    if changes or args.default:
        known = default_map(info.classes) or {}
        start = known if args.default else info.priority or known
        save_map(screen.workspace, args.name, {**start, **changes} if changes else None)
        info = read_info(files)
    priorities = priority_map(args.name, info)
    rows = table(("class", "priority"), list(priorities.map.items()))
    value = {"name": args.name, **to_json(priorities)}
    return Answer(value, f"{rows}\n{describe_map(priorities)}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, priority = text.rpartition("=")
    if not equals or not name:
        raise ConfigError(
            f"{text!r} gives no priority; write CLASS=high, CLASS=medium or CLASS=low."
        )
    return name, priority


def synth_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, images, classes, groups, seconds}."""
    started = time.monotonic()
    dataset = make_synth(
        screen.workspace,
        args.name,
        images=args.images,
        size=args.size,
        seed=args.seed,
        progress=screen.counter("generating", "images"),
    )
    seconds, groups = time.monotonic() - started, int(dataset.frame["group"].nunique())
    counts = {"images": len(dataset), "classes": len(dataset.classes), "groups": groups}
    return Answer(
        {"name": dataset.name, **counts, "seconds": seconds},
        f"{dataset.name}: {len(dataset)} synthetic images, {len(dataset.classes)} classes, "
        f"{groups} groups, in {duration(seconds)}.",
    )


def delete_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, freed_bytes}. Refused while a run uses it, and with marks unless they are named."""
    reconcile(screen.workspace)
    if users := dataset_users(screen.workspace, args.name):
        raise RunError(
            f"Dataset {args.name} is in use by {', '.join(users)}; wait for it, or `runs cancel` it first."
        )
    if not args.marks and (marks := read_marks(screen.workspace.dataset(args.name))):
        raise ConfigError(
            f"People marked {count(len(marks), 'image')} of {args.name}: `data marks {args.name} --export FILE` "
            "keeps the marks, `data delete --marks` deletes them with the dataset."
        )
    freed = delete_dataset(screen.workspace, args.name)
    return Answer(
        {"name": args.name, "freed_bytes": freed}, f"{args.name} deleted, {size(freed)} freed."
    )
