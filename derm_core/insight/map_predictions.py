"""What published models say of every image of a map: class, confidence, whether right, how unlike their training images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bundles import outlier
from ..bundles.library import list_cards
from ..config import EmbedConfig
from ..data.manifest import Dataset
from ..errors import DermError
from ..events import Event, log
from ..workspace import Workspace

if TYPE_CHECKING:
    from ..bundles.predictor import Predictor


def fitting_bundles(workspace: Workspace, classes: Sequence[str]) -> list[str]:
    """Names of the intact bundles that know exactly these classes, in the order of the arms."""
    from ..arms import in_order

    cards = [
        card for card in list_cards(workspace) if classes and set(card.classes) == set(classes)
    ]
    arms = in_order({card.arm for card in cards})
    cards.sort(key=lambda card: (arms.index(card.arm), card.name))
    return [card.name for card in cards]


def ask(
    config: EmbedConfig, workspace: Workspace, dataset: Dataset, rows: np.ndarray
) -> Generator[Event, None, tuple[list[dict], pd.DataFrame, dict[str, np.ndarray]]]:
    """Slots [{"slot", "name", "arm"}], their columns (len(rows)) and each bundle's features (len(rows), D) by name.

    Bundles that the config names, else those in the library that know the dataset's classes (at most six).
    Columns per slot: prediction_S, confidence_S (0 to 1), correct_S (True, False, None without a label or where the
    classes are others), outlier_S (feature distance over its threshold; NaN where the card has none); with two or
    more slots also disagree. Raises NotFound, BundleError and DataError for models that the config names; others are
    left out.
    """
    names = list(config.opinions) or fitting_bundles(workspace, dataset.classes)[:6]
    slots, columns, features = [], {}, {}
    for name in names:
        try:
            predictor, features[name] = yield from _features(config, workspace, name, rows)
        except DermError as error:
            if config.opinions:
                raise
            yield log(f"The model {name} is not asked about these images: {error}")
            continue
        slot = ascii_lowercase[len(slots)]
        slots.append({"slot": slot, "name": name, "arm": predictor.card.arm})
        found = judge(
            predictor,
            features[name],
            dataset.frame["label"].to_numpy(object)[rows],
            dataset.classes,
        )
        columns |= {f"{column}_{slot}": values for column, values in found.items()}
    if len(slots) > 1:
        answers = np.stack([columns[f"prediction_{slot['slot']}"] for slot in slots])
        columns["disagree"] = (answers != answers[0]).any(0)
    return slots, pd.DataFrame(columns, index=range(len(rows))), features


def _features(
    config: EmbedConfig, workspace: Workspace, name: str, rows: np.ndarray
) -> Generator[Event, None, tuple[Predictor, np.ndarray]]:
    from ..bundles.predictor import load_predictors
    from ..data.on_demand import open_images
    from ..machine import pick_device
    from ..study.arms import build_extractors
    from ..study.features import extract

    predictor = load_predictors(workspace, [name])[name]
    extractor = build_extractors(f"bundle:{name}", config, workspace)[0]
    dataset, store = yield from open_images(workspace, config.dataset, predictor.size)
    chosen = None if len(rows) == len(dataset) else rows
    features = yield from extract(
        extractor,
        store,
        workspace,
        dataset.name,
        chosen,
        device=pick_device(config.device),
        what=f"Predictions: {name}",
    )
    return predictor, features


def judge(
    predictor: Predictor, features_nd: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """prediction, confidence, correct and outlier of images with these features (n, D) and label names (n,) or None."""
    import torch

    with torch.inference_mode():
        logits = predictor.bundle.classifier.classify(torch.from_numpy(features_nd)).float().numpy()
    probabilities = predictor.calibrate(logits)
    answers = np.array(predictor.classes, dtype=object)[probabilities.argmax(1)]
    comparable = set(predictor.classes) == set(classes)
    known = [comparable and label is not None for label in labels]
    thresholds = predictor.card.outlier
    limit = thresholds.distance.threshold if thresholds else None
    space = predictor.bundle.reference.space if predictor.bundle.reference else None
    far = (
        outlier.distance(space, features_nd) / limit
        if limit and space is not None
        else np.full(len(labels), np.nan)
    )
    correct = [
        bool(answer == label) if k else None
        for answer, label, k in zip(answers, labels, known, strict=True)
    ]
    return {
        "prediction": answers,
        "confidence": probabilities.max(1).astype(np.float32),
        "correct": np.array(correct, object),
        "outlier": far.astype(np.float32),
    }
