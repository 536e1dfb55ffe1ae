"""`predict`: images classified by several models side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..bundles.predict import predict_images
from ..bundles.prediction import Prediction
from ..formatting import NOTICE
from ..glossary import TERMS
from .output import HELP, Answer, Screen, table
from .start import names

ABOUT_COLUMNS = (
    "adjusted: the class after adjusting for class frequency, not known where a model lacks the class shares of its "
    f"training. {TERMS['two-decisions'].text} agree: whether the most probable classes are the same. The set and "
    "the probability belong to neither decision."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--models", metavar="A,B", help=HELP["predict --models"])
    parser.set_defaults(handler=predict)


def predict(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {images: [{path, …, arms: {NAME: {top, top_adjusted, probabilities, …}}}], errors: [{path, error}]}.

    The records are those of `derm_core.bundles.prediction`.
    """
    images = [(str(path), path) for path in args.images]
    predictions = predict_images(screen.workspace, list(names(args.models)) or None, images)
    problem = "; ".join(image.error for image in predictions.errors)
    return Answer(predictions, _text(predictions.images), problem)


def _text(images: Sequence[Prediction]) -> str:
    rows = [
        (
            Path(image.path).name,
            name,
            arm.top,
            f"{arm.probabilities[arm.top]:.1%}",
            arm.top_adjusted or "not known",
            ", ".join(arm.prediction_set.classes) if arm.prediction_set else "not on the card",
            "" if image.agree is None else "yes" if image.agree else "no",
        )
        for image in images
        for name, arm in image.arms.items()
    ]
    if not rows:
        return ""
    header = ("image", "model", "most probable", "probability", "adjusted", "set (90 %)", "agree")
    remarks = [f"{Path(image.path).name}: {text}" for image in images for text in _remarks(image)]
    return "\n".join([table(header, rows), *remarks, ABOUT_COLUMNS, NOTICE])


def _remarks(image: Prediction) -> list[str]:
    """What limits a result, in sentences."""
    remarks = [image.outlier.reason] if image.outlier.reason else []
    if duplicate := image.duplicate:
        which = f" ({duplicate.image_id})" if duplicate.image_id else ""
        remarks.append(f"A near-duplicate of an image {duplicate.name} was trained on{which}.")
    return [*remarks, *image.quality.problems]
