"""Classify images by several models: probabilities, and what supports or limits each result.

One forward pass of a model serves all of it; only a VAE's decoder runs once more, on the latents computed from the
features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.shared import ImageForm
from ..data.decode import open_picture, prepare
from ..errors import ImageError
from ..workspace import Workspace
from . import neighbours, outlier
from .image_quality import ImageQuality, check_quality
from .outlier import OutlierScore
from .prediction import (
    ArmPrediction,
    Neighbour,
    Prediction,
    Predictions,
    RefusedImage,
    closest_duplicate,
    operating_point,
    prediction_set,
    priorities,
)
from .predictor import Predictor, compute_slot, load_predictors
from .training_copies import COMPARED, have_pictures, pictured_copy


def predict_images(
    workspace: Workspace,
    names: Sequence[str] | None,
    sources: Sequence[tuple[str, bytes | Path | Image.Image]],
    predictors: Mapping[str, Predictor] | None = None,
) -> Predictions:
    """Classify images by several models.

    Args:
        workspace: where models and training images are looked up.
        names: of the models; None: all intact ones.
        sources: (name to report, and bytes, path or decoded picture) of each image.
        predictors: models that are loaded already, in place of `names`.

    Returns:
        A prediction for each image that could be read; one that is refused does not stop the others.

    Raises:
        NotFound: no model of that name, or none at all.
        BundleError: a model is damaged.
    """
    predictors = predictors or load_predictors(workspace, names)
    forms = {predictor.form for predictor in predictors.values()}
    largest = max(form.size for form in forms)
    cards = {name: predictor.card for name, predictor in predictors.items()}
    compare_pictures = have_pictures(workspace, cards)
    needed = forms | ({ImageForm(COMPARED)} if compare_pictures else set())
    readable, batches, errors = _read_images(sources, largest, needed)
    if not readable:
        return Predictions((), errors)
    with compute_slot() if len(readable) == 1 else nullcontext():  # many: others compute between
        results = {
            name: predict_batch(predictor, batches[predictor.form])
            for name, predictor in predictors.items()
        }
    comparable = len({predictor.classes for predictor in predictors.values()}) == 1
    images = []
    for i, (path, quality) in enumerate(readable):
        arms = {name: rows[i][0] for name, rows in results.items()}
        scores = {name: score for name, rows in results.items() if (score := rows[i][1])}
        duplicate = closest_duplicate(cards, arms)
        if compare_pictures and not duplicate:
            duplicate = pictured_copy(workspace, cards, arms, batches[ImageForm(COMPARED)][i])
        agree = len({arm.top for arm in arms.values()}) == 1
        images.append(
            Prediction(
                path=path,
                agree=agree if comparable and len(arms) > 1 else None,
                quality=quality,
                outlier=outlier.judge(scores),
                duplicate=duplicate,
                arms=arms,
            )
        )
    return Predictions(tuple(images), errors)


def _read_images(
    sources: Sequence[tuple[str, bytes | Path | Image.Image]],
    input_size: int,
    forms: set[ImageForm],
) -> tuple[list[tuple[str, ImageQuality]], dict[ImageForm, np.ndarray], tuple[RefusedImage, ...]]:
    """(name, quality) of each readable image, their squares (n, S, S, 3) by form, and those that were refused."""
    readable, errors = [], []
    pixels: dict[ImageForm, list[np.ndarray]] = {form: [] for form in forms}
    for name, source in sources:
        try:
            picture = open_picture(source, name)
        except ImageError as error:
            errors.append(RefusedImage(name, str(error)))
            continue
        readable.append((name, check_quality(picture, input_size)))
        for form, squares in pixels.items():
            squares.append(prepare(picture, form.size, form.interpolation))
    batches = {form: np.stack(squares) for form, squares in pixels.items() if squares}
    return readable, batches, tuple(errors)


def predict_batch(
    predictor: Predictor, images_nssc: np.ndarray
) -> list[tuple[ArmPrediction, OutlierScore | None]]:
    """One model's result and outlier score for each image, uint8 (n, S, S, 3), S the predictor's size.

    The score is None where the bundle has no outlier statistics.
    """
    features_nd, logits_nc = predictor.features_and_logits(images_nssc)
    rows = zip(
        predictor.calibrate(logits_nc),
        nearest_images(predictor, features_nd),
        outlier_scores(predictor, features_nd, images_nssc),
        strict=True,
    )
    return [
        (arm_prediction(predictor, probabilities_c, near), score)
        for probabilities_c, near, score in rows
    ]


def arm_prediction(
    predictor: Predictor, probabilities_c: np.ndarray, near: tuple[Neighbour, ...]
) -> ArmPrediction:
    """What follows from a model's probabilities (C,) of one image."""
    card, adjusted = predictor.card, predictor.adjusted(probabilities_c[None])
    probabilities = dict(zip(predictor.classes, map(float, probabilities_c), strict=True))
    return ArmPrediction(
        top=predictor.classes[int(probabilities_c.argmax())],
        top_adjusted=None if adjusted is None else predictor.classes[int(adjusted[0])],
        probabilities=probabilities,
        prediction_set=prediction_set(card, probabilities),
        priority=priorities(card, probabilities),
        operating_point=operating_point(card, probabilities),
        neighbours=near,
    )


def outlier_scores(
    predictor: Predictor, features_nd: np.ndarray, images_nssc: np.ndarray
) -> list[OutlierScore | None]:
    """The outlier score of each image, None where the bundle has no statistics."""
    reference, thresholds = predictor.bundle.reference, predictor.card.outlier
    if reference is None or not thresholds:
        return [None] * len(features_nd)
    threshold = thresholds.distance.threshold
    distances = outlier.distance(reference.space, features_nd)
    if not (second := thresholds.reconstruction):
        return [OutlierScore(float(distance), threshold) for distance in distances]
    errors = predictor.reconstruction_errors(features_nd, images_nssc)
    return [
        OutlierScore(float(distance), threshold, float(error), second.threshold)
        for distance, error in zip(distances, errors, strict=True)
    ]


def nearest_images(predictor: Predictor, features_nd: np.ndarray) -> list[tuple[Neighbour, ...]]:
    """The nearest training images of each image, nearest first; none where the bundle does not have their features."""
    reference = predictor.bundle.reference
    if reference is None or reference.points is None:
        return [()] * len(features_nd)
    points = reference.points
    near_nk, distances_nk = neighbours.nearest(reference.space, points, features_nd)
    return [
        tuple(
            Neighbour(
                points.ids[i] if points.ids else None,
                predictor.classes[points.labels[i]],
                float(distance),
            )
            for i, distance in zip(near_k, distances_k, strict=True)
        )
        for near_k, distances_k in zip(near_nk, distances_nk, strict=True)
    ]
