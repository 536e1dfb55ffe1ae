"""`models list | verify | publish | evaluate | export | import | delete`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..bundles.model_library import find_bundle, list_bundles, verify_bundle
from ..config import EvaluateConfig
from ..errors import BundleError
from .output import HELP, Answer, Screen, add_action, size, table
from .start import add_detach, add_fields, given, names, start

EMPTY = "The library is empty"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `models` and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add_action(actions, "models list", list_models)
    one = add_action(actions, "models verify", verify_models)
    one.add_argument("name", nargs="*", help=HELP["models verify name"])
    _add_publish_arguments(add_action(actions, "models publish", "bundles:publish_model"))
    _add_evaluate_arguments(add_action(actions, "models evaluate", evaluate_models))
    one = add_action(actions, "models export", "bundles:export_model", "name")
    one.add_argument("--out", type=Path, required=True, metavar="FILE")
    one.add_argument("--private", action="store_true", help=HELP["models export --private"])
    one.add_argument("--onnx", action="store_true", help=HELP["models export --onnx"])
    one = add_action(actions, "models import", "bundles:import_model")
    one.add_argument("file", type=Path)
    add_action(actions, "models delete", delete_model, "name")


def _add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help=HELP["models publish run"])
    parser.add_argument("--arm", help=HELP["models publish --arm"])
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, default=0, help=HELP["models publish --seed"])
    parser.add_argument(
        "--library", type=Path, metavar="DIR", help=HELP["models publish --library"]
    )
    parser.add_argument(
        "--shelf", dest="library", type=Path, help=argparse.SUPPRESS
    )  # earlier name
    parser.add_argument("--replace", action="store_true", help=HELP["models publish --replace"])
    parser.add_argument("--rates", metavar="A,B", help=HELP["models publish --rates"])


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="+")
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--all", action="store_true", help=HELP["models evaluate --all"])
    parser.add_argument("--map", metavar="THEIRS=OURS,…", help=HELP["models evaluate --map"])
    add_fields(parser, EvaluateConfig, "device")
    add_detach(parser)


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
            f"{args.name} is not in this workspace: it ships with the program, or is the shared server's. It was not "
            "deleted."
        )
    freed = screen.workspace.remove(folder)
    return Answer(
        {"name": args.name, "freed_bytes": freed}, f"{args.name} deleted, {size(freed)} freed."
    )
