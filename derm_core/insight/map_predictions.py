"""Predictions of published models for every image of a map: class, confidence, correctness, and outlier score."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import pandas as pd
import torch

from ..arms import in_order
from ..bundles import outlier
from ..bundles.model_library import list_cards
from ..bundles.predictor import Predictor, load_predictors
from ..config import EmbedConfig
from ..data.manifest import Dataset
from ..data.on_demand import open_images
from ..errors import DermError
from ..events import Event, log
from ..machine import pick_device
from ..study.arms import build_extractors
from ..study.features import extract
from ..workspace import Workspace
from .saved_map import PredictionSlot

MOST_MODELS = 6


@dataclass(frozen=True)
class MapPredictions:
    """Predictions of several models.

    Attributes:
        slots: one a model.
        columns: one row an image; for slot S prediction_S (the most probable class), confidence_S (its
            probability, 0 to 1), correct_S (True, False, None without a label or where the classes are
            others), adjusted_S (the class after adjusting for class frequency, None where the class
            shares of training are not known), adjusted_correct_S and outlier_S (feature distance over
            its threshold; NaN where the card has none); with two or more slots also disagree: whether
            the most probable classes differ.
        features: (n, D) by model.
    """

    slots: tuple[PredictionSlot, ...]
    columns: pd.DataFrame
    features: dict[str, np.ndarray]


def fitting_bundles(workspace: Workspace, classes: Sequence[str]) -> list[str]:
    """Names of the intact bundles that know exactly these classes, in the order of the arms."""
    cards = [
        card for card in list_cards(workspace) if classes and set(card.classes) == set(classes)
    ]
    arms = in_order({card.arm for card in cards})
    cards.sort(key=lambda card: (arms.index(card.arm), card.name))
    return [card.name for card in cards]


def predict_map(
    config: EmbedConfig, workspace: Workspace, dataset: Dataset, rows: np.ndarray
) -> Generator[Event, None, MapPredictions]:
    """Predictions of the models that the config names, else of those that fit the dataset's classes.

    Args:
        config: of the map.
        workspace: with the bundles.
        dataset: all images.
        rows: (n,) manifest rows of the images on the map.

    Raises:
        NotFound, BundleError, DataError: of a model that the config names; others are left out.
    """
    names = list(config.opinions) or fitting_bundles(workspace, dataset.classes)[:MOST_MODELS]
    labels = dataset.frame["label"].to_numpy(object)[rows]
    slots: list[PredictionSlot] = []
    columns: dict[str, np.ndarray] = {}
    features: dict[str, np.ndarray] = {}
    for name in names:
        try:
            predictor, features[name] = yield from _features(config, workspace, name, rows)
        except DermError as error:
            if config.opinions:
                raise
            yield log(f"The model {name} is left out: {error}")
            continue
        slot = ascii_lowercase[len(slots)]
        slots.append(PredictionSlot(slot, name, predictor.card.arm))
        predictions = predict_images(predictor, features[name], labels, dataset.classes)
        columns |= {f"{column}_{slot}": values for column, values in predictions.items()}
    if len(slots) > 1:
        classes = np.stack([columns[f"prediction_{slot.slot}"] for slot in slots])
        columns["disagree"] = (classes != classes[0]).any(0)
    return MapPredictions(tuple(slots), pd.DataFrame(columns, index=range(len(rows))), features)


def _features(
    config: EmbedConfig, workspace: Workspace, name: str, rows: np.ndarray
) -> Generator[Event, None, tuple[Predictor, np.ndarray]]:
    predictor = load_predictors(workspace, [name])[name]
    extractor = build_extractors(f"bundle:{name}", config, workspace)[0]
    dataset, store = yield from open_images(
        workspace, config.dataset, predictor.size, predictor.form.interpolation
    )
    features = yield from extract(
        extractor,
        store,
        workspace,
        dataset.name,
        None if len(rows) == len(dataset) else rows,
        device=pick_device(config.device),
        what=f"Predictions: {name}",
    )
    return predictor, features


def predict_images(
    predictor: Predictor, features_nd: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Predictions of one model.

    Args:
        predictor: the model.
        features_nd: of the images.
        labels: (n,) class names, or None.
        classes: of the dataset.

    Returns:
        The columns of a MapPredictions by name, without the slot.
    """
    with torch.inference_mode():
        logits = predictor.bundle.classifier.classify(torch.from_numpy(features_nd)).float().numpy()
    probabilities = predictor.calibrate(logits)
    names = np.array(predictor.classes, dtype=object)
    predicted, decided = names[probabilities.argmax(1)], predictor.adjusted(probabilities)
    adjusted = np.full(len(labels), None, object) if decided is None else names[decided]
    comparable = set(predictor.classes) == set(classes)

    def correct(answers: np.ndarray) -> np.ndarray:
        known = [
            bool(answer == label) if comparable and None not in (label, answer) else None
            for answer, label in zip(answers, labels, strict=True)
        ]
        return np.array(known, object)

    thresholds, reference = predictor.card.outlier, predictor.bundle.reference
    excess = np.full(len(labels), np.nan)
    if thresholds and reference:
        excess = outlier.distance(reference.space, features_nd) / thresholds.distance.threshold
    return {
        "prediction": predicted,
        "confidence": probabilities.max(1).astype(np.float32),
        "correct": correct(predicted),
        "adjusted": adjusted,
        "adjusted_correct": correct(adjusted),
        "outlier": excess.astype(np.float32),
    }
