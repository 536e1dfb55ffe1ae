"""`data embeddings`: bring vectors for a dataset's images, list and remove them; `embeddings:FILE` as an arm."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..arms import BESIDE_METADATA
from ..data.embedding_files import BroughtEmbeddings, bring_embeddings
from ..data.embeddings import (
    EmbeddingsInfo,
    delete_embeddings,
    embedding_names,
    embeddings_info,
    register_embeddings,
    usual_name,
)
from ..data.manifest import load_dataset
from ..errors import ConfigError
from ..records import to_json
from ..workspace import ID_PATTERN, Workspace
from .output import HELP, Answer, Screen, add_action, table

ARM = "embeddings:"


def add_embeddings_arguments(actions: argparse._SubParsersAction) -> None:
    """The options of `data embeddings`."""
    one = add_action(actions, "data embeddings", "embeddings:embeddings", "name")
    one.add_argument("file", nargs="?", type=Path, help=HELP["data embeddings file"])
    one.add_argument("--as", dest="called", metavar="NAME", help=HELP["data embeddings --as"])
    one.add_argument(
        "--pretrained-on", metavar="TEXT", default="", help=HELP["data embeddings --pretrained-on"]
    )
    one.add_argument("--vectors", metavar="NAME", help=HELP["data embeddings --vectors"])
    one.add_argument(
        "--allow-labels", action="store_true", help=HELP["data embeddings --allow-labels"]
    )
    one.add_argument("--delete", metavar="NAME", help=HELP["data embeddings --delete"])


def embeddings(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, arm, dataset, file, images, features, …, notes}; without FILE {embeddings: […]}."""
    workspace = screen.workspace
    if args.delete:
        if args.file:
            raise ConfigError("--delete removes embeddings: leave out the file.")
        delete_embeddings(workspace, args.name, args.delete)
        return Answer({"deleted": args.delete}, f"{args.delete} of {args.name} deleted.")
    if args.file:
        brought = bring_embeddings(
            load_dataset(workspace, args.name), args.file, args.vectors, args.allow_labels
        )
        info = _register(workspace, args.name, args.file, brought, args.called, args.pretrained_on)
        text = f"{info.name}: {info.images:,} vectors of {info.features:,} features; as an arm: {ARM}{info.name}."
        return Answer({**to_json(info), "arm": f"{ARM}{info.name}"}, "\n".join([text, *info.notes]))
    load_dataset(workspace, args.name)
    every = [
        embeddings_info(workspace, args.name, name)
        for name in embedding_names(workspace, args.name)
    ]
    rows = [
        (one.name, one.images, one.features, one.pretrained_on or "not stated", one.file)
        for one in every
    ]
    header = ("name", "images", "features", "pretrained on", "file")
    text = table(header, rows) if rows else f"{args.name} has no embeddings yet: give a file."
    return Answer({"embeddings": to_json(every)}, text)


def _register(
    workspace: Workspace,
    dataset: str,
    path: Path,
    brought: BroughtEmbeddings,
    called: str | None = None,
    pretrained_on: str = "",
) -> EmbeddingsInfo:
    """Keep the vectors of a file, by default under its own name as far as it is allowed."""
    images = load_dataset(workspace, dataset)
    name = called or usual_name(path.name)
    return register_embeddings(workspace, images, name, brought, path.name, pretrained_on)


def with_registered(arms: Sequence[str], dataset: str, screen: Screen) -> tuple[str, ...]:
    """The arms with every embeddings:FILE brought and registered; each note of a file is printed.

    A registered name counts before a file of that name.
    """
    brought: dict[str, str] = {}
    arms_with_names = []
    for arm in arms:
        beside = BESIDE_METADATA if arm.startswith(BESIDE_METADATA) else ""
        text = arm.removeprefix(beside)
        if text.startswith(ARM) and text not in brought:
            brought[text] = _registered(text, dataset, screen)
        arms_with_names.append(beside + brought.get(text, text))
    return tuple(arms_with_names)


def _registered(arm: str, dataset: str, screen: Screen) -> str:
    name = arm.removeprefix(ARM)
    known = embedding_names(screen.workspace, dataset)
    if name in known or (ID_PATTERN.fullmatch(name) and not Path(name).is_file()):
        return arm
    if not Path(name).is_file():
        raise ConfigError(
            f"{arm}: there is no such file, and {dataset} has no embeddings of that name (there are: "
            f"{', '.join(known) or 'none yet'})."
        )
    brought = bring_embeddings(load_dataset(screen.workspace, dataset), Path(name))
    info = _register(screen.workspace, dataset, Path(name), brought)
    for note in info.notes:
        screen.note(note)
    return f"{ARM}{info.name}"
