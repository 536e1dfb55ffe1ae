"""Prediction records: the result of one image, and what follows from a model's probabilities and its card.

What a card does not have (bundles of earlier versions) is None in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.triage import default_map
from ..records import named, optional
from . import conformal
from .card import PRIORITIES, Card
from .image_quality import ImageQuality
from .outlier import Outlier


@dataclass(frozen=True)
class PredictionSet:
    """The classes that cannot be ruled out at a coverage (0 to 1), the most probable first."""

    coverage: float
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The decision for one class at the threshold that keeps a specificity on validation.

    Attributes:
        sensitivity: on the test split, None where it was not measured.
        called: whether the class's probability is above the threshold.
    """

    class_name: str = field(metadata=named("class"))
    threshold: float
    specificity: float
    sensitivity: float | None
    called: bool


@dataclass(frozen=True)
class Neighbour:
    """A near training image.

    Attributes:
        image_id: None where the bundle does not name its training images.
        distance: between features, in standard deviations of a feature.
    """

    image_id: str | None
    label: str
    distance: float


@dataclass(frozen=True)
class Duplicate:
    """The training image that an image nearly repeats, according to the model `name`.

    Attributes:
        correlation: of the registered pictures, where they were compared.
    """

    name: str
    image_id: str | None
    distance: float
    correlation: float | None = optional()


@dataclass(frozen=True)
class ArmPrediction:
    """One model's result for one image.

    Attributes:
        top: the most probable class.
        top_adjusted: the class after adjusting for class frequency; None where the class shares of training are not
            known.
        probabilities: by class, calibrated where the card has a temperature.
        priority: probability of high, medium and low priority; None where the classes have none.
        neighbours: the nearest training images, nearest first.
    """

    top: str
    top_adjusted: str | None
    probabilities: Mapping[str, float]
    prediction_set: PredictionSet | None
    priority: Mapping[str, float] | None
    operating_point: OperatingPoint | None
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Prediction:
    """The result for one image by all models.

    Attributes:
        path: the image's name as it was given.
        agree: whether all models have the same most probable class; None for one model, or where their classes differ.
        duplicate: the training image it nearly repeats, None where there is none.
        arms: by model name.
        crop: the square that was classified, where it was not the middle one: centre_x, centre_y, side as shares.
    """

    path: str
    agree: bool | None
    quality: ImageQuality
    outlier: Outlier
    duplicate: Duplicate | None
    arms: Mapping[str, ArmPrediction]
    crop: Mapping[str, float] | None = optional()


@dataclass(frozen=True)
class RefusedImage:
    """An image that could not be read, and why."""

    path: str
    error: str


@dataclass(frozen=True)
class Predictions:
    """What `predict --json` prints: the images in their order, and those that were refused."""

    images: tuple[Prediction, ...]
    errors: tuple[RefusedImage, ...]


def prediction_set(
    card: Card, probabilities: Mapping[str, float], coverage: float = conformal.SHOWN
) -> PredictionSet | None:
    """The prediction set of {class: probability}; None where the card has no threshold for this coverage."""
    limits = card.conformal.coverages if card.conformal else {}
    if conformal.key(coverage) not in limits:
        return None
    p = np.array([probabilities[c] for c in card.classes])
    members = conformal.prediction_set(p, limits[conformal.key(coverage)])
    return PredictionSet(coverage, tuple(card.classes[i] for i in members))


def priorities(card: Card, probabilities: Mapping[str, float]) -> dict[str, float] | None:
    """{"high", "medium", "low": probability}, sums over classes; None where the classes have no priority."""
    if (card.labels or {}).get("kind") == "priority":
        mapping: Mapping[str, str] | None = {c: c for c in card.classes}
    else:
        mapping = (card.priority and card.priority.map) or default_map(card.classes)
    if not mapping:
        return None
    return {
        level: float(sum(probabilities[c] for c in card.classes if mapping[c] == level))
        for level in PRIORITIES
    }


def operating_point(card: Card, probabilities: Mapping[str, float]) -> OperatingPoint | None:
    """The decision at the card's operating point; None where it has none."""
    point = card.operating_point
    if not point:
        return None
    return OperatingPoint(
        class_name=point.class_name,
        threshold=point.threshold,
        specificity=point.specificity,
        sensitivity=(point.sensitivity or {}).get("mean"),
        called=probabilities[point.class_name] > point.threshold,
    )


def closest_duplicate(
    cards: Mapping[str, Card], arms: Mapping[str, ArmPrediction]
) -> Duplicate | None:
    """Of the nearest training images below their model's threshold, the one furthest below it."""
    candidates = []
    for name, arm in arms.items():
        reference = cards[name].reference
        limit = reference.duplicate.threshold if reference and reference.duplicate else None
        if arm.neighbours and limit is not None and arm.neighbours[0].distance <= limit:
            nearest = arm.neighbours[0]
            ratio = nearest.distance / limit if limit else 0.0
            candidates.append((ratio, Duplicate(name, nearest.image_id, nearest.distance)))
    return min(candidates, key=lambda pair: pair[0])[1] if candidates else None


@dataclass(frozen=True)
class Agreement:
    """Test images of the study that two models come from, on which their most probable classes agreed, or did not.

    Attributes:
        images: their number.
        accuracy: share of them whose most probable class was right, by model name; None without images.
    """

    images: int
    accuracy: Mapping[str, float | None]


def agreement_of(cards: Sequence[Card]) -> tuple[Agreement, Agreement] | None:
    """(where they agreed, where they disagreed) on the test split of the study both models come from.

    None for models of different studies or seeds, and for any other number of models than two.
    """
    if len(cards) != 2:
        return None
    own, other = cards
    parts = (own.agreement or {}).get(other.arm)
    same_study = own.run and own.run == other.run
    if not parts or not same_study or own.seed != other.seed:
        return None
    if own.classes != other.classes:
        return None
    names = {own.arm: own.name, other.arm: other.name}

    def part(key: str) -> Agreement:
        accuracy = parts[key]["accuracy"]
        return Agreement(
            parts[key]["images"], {names[arm]: share for arm, share in accuracy.items()}
        )

    return part("agree"), part("disagree")
