"""`models list | verify | publish | evaluate | export | import | delete`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..bundles.library import find_bundle, list_bundles, verify_bundle
from ..config import EvaluateConfig
from ..errors import BundleError
from .output import Answer, Screen, size, table
from .start import add_detach, add_fields, given, names, start

EMPTY = "The library is empty"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `models` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="models of the library").set_defaults(handler=list_models)
    one = actions.add_parser("verify", help="check every file of a model against its card")
    one.add_argument("name", nargs="*", help="default: all")
    one.set_defaults(handler=verify_models)
    one = actions.add_parser(
        "publish",
        help="add an arm of a finished comparison, or a finished pretraining, to the library",
    )
    _add_publish_arguments(one)
    one = actions.add_parser("evaluate", help="test models on a labelled dataset, without a study")
    _add_evaluate_arguments(one)
    one = actions.add_parser("export", help="write a model as one .zip file")
    one.add_argument("name")
    one.add_argument("--out", type=Path, required=True, metavar="FILE")
    one.add_argument(
        "--private",
        action="store_true",
        help="also features, labels and ids of training images that no licence opens to everybody",
    )
    one.set_defaults(handler="bundles:export_model")
    one = actions.add_parser(
        "import", help="add an exported model to the workspace's library, checked against its card"
    )
    one.add_argument("file", type=Path)
    one.set_defaults(handler="bundles:import_model")
    one = actions.add_parser("delete", help="delete a model of the workspace's library")
    one.add_argument("name")
    one.set_defaults(handler=delete_model)


def _add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        help="a study, or a pretraining: its encoder and decoder become an extractor to start from",
    )
    parser.add_argument("--arm", help="of a study")
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, default=0, help="which seed's classifier (default 0)")
    parser.add_argument(
        "--shelf", type=Path, metavar="DIR", help="default: the workspace's models folder"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write the card and reference of a published model again; its tensors must be the same",
    )
    parser.add_argument(
        "--rates",
        metavar="A,B",
        help="datasets whose rate of images flagged as outliers is written on the card",
    )
    parser.set_defaults(handler="bundles:publish_model")


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="+")
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also images that a model is known to have been trained or chosen on",
    )
    parser.add_argument(
        "--map",
        metavar="THEIRS=OURS,…",
        help="which class is which, where names do not say; THEIRS= leaves one out",
    )
    add_fields(parser, EvaluateConfig, "device")
    add_detach(parser)
    parser.set_defaults(handler=evaluate_models)


def list_models(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {models: [cards, each with ok and error]}."""
    bundles = [bundle.json() for bundle in list_bundles(screen.workspace, None)]
    rows = [
        (
            card["name"],
            card.get("architecture", ""),
            f"{card.get('input_size', '')}",
            ", ".join(card.get("classes", ())) or f"none: an {card.get('kind', '')}",
            "ok" if card["ok"] else card.get("error", "damaged"),
        )
        for card in bundles
    ]
    text = f"{EMPTY}; `models publish RUN --arm ARM --name NAME` adds a model."
    if rows:
        text = table(("name", "architecture", "pixels", "classes", "state"), rows)
    return Answer({"models": bundles}, text)


def verify_models(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {ok, models: [{name, ok, error}]}; fails where one does not match its card."""
    errors: dict[str, str | None] = {}
    for name in args.name or [bundle.name for bundle in list_bundles(screen.workspace, None)]:
        folder = find_bundle(screen.workspace, name)
        try:
            verify_bundle(folder)
            errors[name] = None
        except BundleError as error:
            errors[name] = str(error)
    rows = [(name, "damaged" if error else "ok") for name, error in errors.items()]
    problem = "; ".join(filter(None, errors.values()))
    models = [{"name": name, "ok": error is None, "error": error} for name, error in errors.items()]
    text = table(("name", "state"), rows) if rows else f"{EMPTY}."
    return Answer({"ok": not problem, "models": models}, text, problem)


def evaluate_models(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state, arms, differences, verdict, …}, as artefacts/study.json has them."""
    config = EvaluateConfig(
        dataset=args.dataset,
        models=tuple(args.name),
        split="all" if args.all else "unseen",
        class_map=names(args.map),
        **given(args, "device"),
    )
    return start(config, args, screen)


def delete_model(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, freed_bytes}. The models that ship with the program are never deleted."""
    folder = find_bundle(screen.workspace, args.name)
    if screen.workspace.models.resolve() not in folder.resolve().parents:
        raise BundleError(
            f"{args.name} ships with the program and is not in this workspace; it was not deleted."
        )
    freed = screen.workspace.remove(folder)
    return Answer(
        {"name": args.name, "freed_bytes": freed}, f"{args.name} deleted, {size(freed)} freed."
    )
