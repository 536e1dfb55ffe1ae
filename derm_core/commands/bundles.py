"""`models publish | export | import`: the actions that read or write a model's tensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..bundles.archive import export_bundle, import_bundle
from ..bundles.bundle import load_bundle
from ..bundles.model_library import find_bundle, verify_bundle
from ..bundles.onnx_export import USE, export_onnx
from ..files import disk_bytes
from ..publish.classifier import publish
from ..publish.extractor import publish_extractor
from ..records import require
from .output import Answer, Screen, size
from .reports import write_file
from .start import names


def publish_model(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, path, bytes}."""
    if args.arm:
        folder = publish(
            screen.workspace,
            args.run,
            args.arm,
            args.name,
            shelf=args.library,
            seed=args.seed,
            replace=args.replace,
            rates=list(names(args.rates)),
            progress=screen.counter(f"Measuring {args.name}", "images"),
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
        f"{args.name} is in the library: {folder} ({size(disk_bytes(folder))}).",
    )


def export_model(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, path, bytes, training_images: whether features of training images are in it}.

    With --onnx {name, path, bytes, outputs, difference}.
    """
    if args.onnx:
        return _export_onnx(args, screen)
    card = verify_bundle(find_bundle(screen.workspace, args.name))
    path = export_bundle(screen.workspace, args.name, args.out, private=args.private)
    assert isinstance(path, Path)
    left_out = card.holds_private_images and not args.private
    note = (
        " Features, labels and ids of its training images were left out; --private adds them."
        if left_out
        else ""
    )
    value = {
        "name": args.name,
        "path": str(path),
        "bytes": path.stat().st_size,
        "training_images": bool(card.reference and card.reference.images) and not left_out,
    }
    return Answer(value, f"{args.name} written to {path} ({size(path.stat().st_size)}).{note}")


def _export_onnx(args: argparse.Namespace, screen: Screen) -> Answer:
    """The model as ONNX, compared with PyTorch where onnxruntime is installed."""
    require(
        not args.private, "--private", True, "nothing beside --onnx, which holds no training images"
    )
    model = export_onnx(load_bundle(args.name, screen.workspace))
    path = write_file(args.out, model.data)
    compared = "not compared with PyTorch, as onnxruntime is not installed"
    if model.difference is not None:
        compared = f"at most {model.difference:.1g} from PyTorch's values on random images"
    text = f"{args.name} written to {path} ({size(len(model.data))}): {', '.join(model.outputs)}; {compared}."
    value = {
        "name": args.name,
        "path": str(path),
        "bytes": len(model.data),
        "outputs": model.outputs,
        "difference": model.difference,
    }
    return Answer(value, f"{text}\n{USE}")


def import_model(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, path}."""
    folder = import_bundle(screen.workspace, args.file)
    return Answer(
        {"name": folder.name, "path": str(folder)}, f"{folder.name} is in the library: {folder}."
    )
