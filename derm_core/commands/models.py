"""`predict`, and `models list | verify | publish | evaluate | export | import | delete`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError
from ..records import to_json
from .output import Answer, Screen, size, table

if TYPE_CHECKING:
    from ..bundles.prediction import Prediction


def add_commands(commands) -> None:
    one = commands.add_parser("predict", help="classify images with several models side by side")
    one.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    one.add_argument(
        "--models", metavar="A,B", help="names from `models list` (default: the shelf's)"
    )
    one.set_defaults(handler=predict)

    parser = commands.add_parser("models", help="the shelf of published models")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="models on the shelf").set_defaults(handler=list_models)
    one = actions.add_parser("verify", help="check every file of a model against its card")
    one.add_argument("name", nargs="*", help="default: all")
    one.set_defaults(handler=verify_models)
    one = actions.add_parser(
        "publish",
        help="put an arm of a finished comparison on the shelf, or a finished pretraining itself",
    )
    one.add_argument(
        "run",
        help="a study, or a pretraining: its encoder and decoder become an extractor to start from",
    )
    one.add_argument("--arm", help="of a study")
    one.add_argument("--name", required=True)
    one.add_argument("--seed", type=int, default=0, help="which seed's classifier (default 0)")
    one.add_argument(
        "--shelf", type=Path, metavar="DIR", help="default: the workspace's models folder"
    )
    one.add_argument(
        "--replace",
        action="store_true",
        help="write the card and reference of a published model anew; its tensors must come out the same",
    )
    one.add_argument(
        "--rates",
        metavar="A,B",
        help="datasets whose rate of images called outliers goes on the card",
    )
    one.set_defaults(handler=publish_model)
    one = actions.add_parser("evaluate", help="test models on a labelled dataset, without a study")
    one.add_argument("name", nargs="+")
    one.add_argument("--dataset", required=True, metavar="NAME")
    one.add_argument(
        "--all",
        action="store_true",
        help="also images that a model is known to have been trained or chosen on",
    )
    one.add_argument(
        "--map",
        metavar="THEIRS=OURS,…",
        help="which class is which, where names do not say; THEIRS= leaves one out",
    )
    one.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    one.add_argument(
        "--detach", action="store_true", help="return at once; `runs show RUN --follow` follows it"
    )
    one.set_defaults(handler=evaluate_models)
    one = actions.add_parser("export", help="write a model as one .zip file")
    one.add_argument("name")
    one.add_argument("--out", type=Path, required=True, metavar="FILE")
    one.add_argument(
        "--private",
        action="store_true",
        help="also features, labels and ids of training images that no licence opens to everybody",
    )
    one.set_defaults(handler=export_model)
    one = actions.add_parser(
        "import", help="put an exported model on the workspace's shelf, checked against its card"
    )
    one.add_argument("file", type=Path)
    one.set_defaults(handler=import_model)
    one = actions.add_parser("delete", help="delete a model of the workspace's shelf")
    one.add_argument("name")
    one.set_defaults(handler=delete_model)


def predict(args, screen: Screen) -> Answer:
    """JSON: {images: [{path, agree, quality, outlier, duplicate, arms: {NAME: {top, probabilities, prediction_set, priority,
    operating_point, neighbours}}}], errors: [{path, error}]}, the records of bundles.prediction."""
    from ..bundles.predict import predict_images

    names = [name.strip() for name in (args.models or "").split(",") if name.strip()]
    predictions = predict_images(
        screen.workspace, names or None, [(str(path), path) for path in args.images]
    )
    refused = "; ".join(image.error for image in predictions.errors)
    return Answer(to_json(predictions), _predictions(predictions.images), refused)


def _predictions(images: Sequence[Prediction]) -> str:
    rows = [
        (
            Path(image.path).name,
            name,
            arm.top,
            f"{arm.probabilities[arm.top]:.1%}",
            ", ".join(arm.prediction_set.classes) if arm.prediction_set else "not on the card",
            "" if image.agree is None else "yes" if image.agree else "no",
        )
        for image in images
        for name, arm in image.arms.items()
    ]
    if not rows:
        return ""
    remarks = [f"{Path(image.path).name}: {text}" for image in images for text in _remarks(image)]
    return "\n".join(
        [
            table(("image", "model", "most likely", "probability", "set (90 %)", "agree"), rows),
            *remarks,
            "Research use only. Not for diagnosis.",
        ]
    )


def _remarks(image: Prediction) -> list[str]:
    """What limits a result, in sentences."""
    remarks = [image.outlier.reason] if image.outlier.reason else []
    if duplicate := image.duplicate:
        which = f" ({duplicate.image_id})" if duplicate.image_id else ""
        remarks.append(f"A near-duplicate of an image {duplicate.name} was trained on{which}.")
    return [*remarks, *image.quality.problems]


def list_models(args, screen: Screen) -> Answer:
    """JSON: {models: [cards, each with ok and error]}."""
    from ..bundles.bundle import list_bundles

    cards = list_bundles(screen.workspace, None)
    rows = [
        (
            card["name"],
            card.get("architecture", ""),
            f"{card.get('input_size', '')}",
            ", ".join(card.get("classes", ())) or f"none: an {card.get('kind', '')}",
            "ok" if card["ok"] else card.get("error", "damaged"),
        )
        for card in cards
    ]
    text = (
        table(("name", "architecture", "pixels", "classes", "state"), rows)
        if rows
        else (
            "No model is on the shelf; `models publish RUN --arm ARM --name NAME` puts one there."
        )
    )
    return Answer({"models": cards}, text)


def verify_models(args, screen: Screen) -> Answer:
    """JSON: {ok, models: [{name, ok, error}]}; fails where one does not match its card."""
    from ..bundles.bundle import find_bundle, list_bundles, verify_bundle

    rows = []
    for name in args.name or [card["name"] for card in list_bundles(screen.workspace, None)]:
        folder = find_bundle(screen.workspace, name)
        try:
            verify_bundle(folder)
            rows.append({"name": name, "ok": True, "error": None})
        except BundleError as error:
            rows.append({"name": name, "ok": False, "error": str(error)})
    problem = "; ".join(row["error"] for row in rows if not row["ok"])
    text = (
        table(("name", "state"), [(row["name"], "ok" if row["ok"] else "damaged") for row in rows])
        if rows
        else ("No model is on the shelf.")
    )
    return Answer({"ok": not problem, "models": rows}, text, problem)


def publish_model(args, screen: Screen) -> Answer:
    """JSON: {name, path, bytes}."""
    from ..files import disk_bytes
    from ..publish.classifier import publish
    from ..publish.extractor import publish_extractor
    from ..records import require

    if args.arm:
        folder = Path(
            publish(
                screen.workspace,
                args.run,
                args.arm,
                args.name,
                shelf=args.shelf,
                seed=args.seed,
                replace=args.replace,
                rates=[name for name in (args.rates or "").split(",") if name],
                progress=screen.counter(f"Measuring {args.name}", "images"),
            )
        )
    else:
        require(
            not args.replace and not args.rates,
            "--arm",
            None,
            "an arm of a study, for --replace and --rates",
        )
        folder = publish_extractor(screen.workspace, args.run, args.name, shelf=args.shelf)
    return Answer(
        {"name": args.name, "path": str(folder), "bytes": disk_bytes(folder)},
        f"{args.name} is on the shelf: {folder} ({size(disk_bytes(folder))}).",
    )


def evaluate_models(args, screen: Screen) -> Answer:
    """JSON: {run_id, state, arms, differences, verdict, …}, as artefacts/study.json has them."""
    from ..config import EvaluateConfig
    from .progress import start

    given = tuple(entry.strip() for entry in (args.map or "").split(",") if entry.strip())
    return start(
        EvaluateConfig(
            dataset=args.dataset,
            models=tuple(args.name),
            split="all" if args.all else "unseen",
            class_map=given,
            device=args.device,
        ),
        args,
        screen,
    )


def export_model(args, screen: Screen) -> Answer:
    """JSON: {name, path, bytes, training_images}: whether features of single training images went with it."""
    from ..bundles.archive import export_bundle, holds_private_images
    from ..bundles.bundle import find_bundle, verify_bundle

    card = verify_bundle(find_bundle(screen.workspace, args.name))
    path = export_bundle(screen.workspace, args.name, args.out, private=args.private)
    left_out = holds_private_images(card) and not args.private
    note = (
        " Features, labels and ids of its training images were left out; --private takes them along."
        if left_out
        else ""
    )
    return Answer(
        {
            "name": args.name,
            "path": str(path),
            "bytes": path.stat().st_size,
            "training_images": bool((card.get("reference") or {}).get("images")) and not left_out,
        },
        f"{args.name} written to {path} ({size(path.stat().st_size)}).{note}",
    )


def import_model(args, screen: Screen) -> Answer:
    """JSON: {name, path}."""
    from ..bundles.archive import import_bundle

    folder = import_bundle(screen.workspace, args.file)
    return Answer(
        {"name": folder.name, "path": str(folder)}, f"{folder.name} is on the shelf: {folder}."
    )


def delete_model(args, screen: Screen) -> Answer:
    """JSON: {name, freed_bytes}. The repository's own models are never deleted."""
    from ..bundles.bundle import find_bundle

    folder = find_bundle(screen.workspace, args.name)
    if screen.workspace.models.resolve() not in folder.resolve().parents:
        raise BundleError(
            f"{args.name} ships with the program and is not in this workspace; it was not deleted."
        )
    freed = screen.workspace.remove(folder)
    return Answer(
        {"name": args.name, "freed_bytes": freed}, f"{args.name} deleted, {size(freed)} freed."
    )
