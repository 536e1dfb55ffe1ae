"""Predictions from bundles on the CPU: one at a time, two threads, calibrated where a temperature is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..data.decode import read_sizes
from ..errors import ImageError, NotFound
from ..workspace import Workspace
from .bundle import Bundle, find_bundle, list_bundles, load_bundle
from .card import temperature_of

THREADS = 2
BATCH = 32
_LOCK = threading.Lock()


@contextmanager
def two_threads() -> Iterator[None]:
    """The one place that computes: other callers wait, torch's thread count is put back afterwards."""
    import torch
    with _LOCK:
        before = torch.get_num_threads()
        torch.set_num_threads(THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class Predictor:
    """Class probabilities of one bundle. calibrated: whether a fitted temperature is applied."""

    def __init__(self, bundle: Bundle):
        import torch

        self.bundle, self.card, self.name = bundle, bundle.card, bundle.name
        self.classes, self.size = tuple(bundle.card["classes"]), bundle.card["input_size"]
        self.temperature = temperature_of(bundle.card)
        self.calibrated = bundle.card.get("temperature") is not None
        bundle.classifier.to(memory_format=torch.channels_last)   # a fifth faster for one image

    def logits(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3), S the card's input size -> float32 logits (N, C), before the temperature."""
        import torch

        from ..nets.backbone import normalise
        expected = (self.size, self.size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(f"images must be uint8 (N, {self.size}, {self.size}, 3), got {images_nssc.dtype} "
                             f"{images_nssc.shape}")
        parts = [np.empty((0, len(self.classes)), np.float32)]
        with two_threads(), torch.inference_mode():
            for start in range(0, len(images_nssc), BATCH):
                batch = torch.from_numpy(np.array(images_nssc[start:start + BATCH]))
                x_bchw = normalise(batch, self.card["mean"], self.card["std"])
                parts.append(self.bundle.classifier(x_bchw).float().numpy())
        return np.concatenate(parts)

    def predict(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> probabilities (N, C), float64 rows that sum to 1."""
        return softmax(self.logits(images_nssc).astype(np.float64) / self.temperature)


def softmax(logits_nc: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    shifted = np.exp(logits_nc - logits_nc.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def load_predictors(workspace: Workspace, names: Sequence[str] | None = None) -> dict[str, Predictor]:
    """Predictors by name; all intact bundles where no name is given. Raises NotFound and BundleError."""
    if not names:
        names = [card["name"] for card in list_bundles(workspace) if card["ok"]]
        if not names:
            raise NotFound("There is no model on the shelf yet: publish one from a finished study, or import one.")
    return {name: Predictor(load_bundle(find_bundle(workspace, name))) for name in names}


def predict_images(workspace: Workspace, names: Sequence[str] | None,
                   sources: Sequence[tuple[str, bytes | Path]],
                   predictors: Mapping[str, Predictor] | None = None) -> dict:
    """Classify images by several bundles.

    sources: (name to show, bytes or path). predictors: already loaded ones, in place of `names`.
    Returns {"images": [{path, arms: {NAME: {top, probabilities: {class: p}}}, agree}],
    "errors": [{path, error}]}: an image that is refused does not stop the others. agree: whether
    all models name the same class; null for models that do not share their classes, or a single one.
    """
    predictors = predictors or load_predictors(workspace, names)
    sizes = {predictor.size for predictor in predictors.values()}
    accepted: list[str] = []
    pixels: dict[int, list[np.ndarray]] = {size: [] for size in sizes}
    errors = []
    for name, source in sources:
        try:
            square = read_sizes(source, sizes, name)
        except ImageError as error:
            errors.append({"path": name, "error": str(error)})
            continue
        accepted.append(name)
        for size in sizes:
            pixels[size].append(square[size])
    images = [{"path": name, "arms": {}, "agree": None} for name in accepted]
    for arm, predictor in predictors.items():
        if accepted:
            for row, probabilities in zip(images, predictor.predict(np.stack(pixels[predictor.size])), strict=True):
                row["arms"][arm] = {
                    "top": predictor.classes[int(probabilities.argmax())],
                    "probabilities": dict(zip(predictor.classes, map(float, probabilities), strict=True))}
    comparable = len(predictors) > 1 and len({predictor.classes for predictor in predictors.values()}) == 1
    for row in images:
        if comparable:
            row["agree"] = len({arm["top"] for arm in row["arms"].values()}) == 1
    return {"images": images, "errors": errors}
