"""Predictions from bundles on the CPU: one at a time, two threads, calibrated where a temperature is known."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from threadpoolctl import ThreadpoolController

from ..data.decode import prepare
from ..errors import NotFound
from ..nets.backbone import normalise
from ..processes import cores_are_busy
from ..workspace import Workspace
from .bundle import Bundle, load_classifier
from .library import list_cards
from .turn_queue import REQUESTS, TurnQueue

THREADS = 2
BATCH = 32
COMPUTATIONS = TurnQueue()


@functools.cache
def blas_libraries() -> ThreadpoolController:
    """The BLAS libraries loaded before the first computation. Listing them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def compute_slot() -> Iterator[None]:
    """One computation at a time: other callers wait in order of arrival.

    It runs on THREADS threads, or on one where other requests or other processes keep the machine busy: two threads that
    synchronise at every operation are then slower than one. NumPy has one thread in any case: its matrices here are too
    small for a second one (python -m benchmarks load). The thread counts are restored afterwards.
    """
    with COMPUTATIONS.take() as waited:
        if waited is None:
            yield
            return
        before = torch.get_num_threads()
        torch.set_num_threads(1 if waited or REQUESTS.crowded or cores_are_busy() else THREADS)
        try:
            with blas_libraries().limit(limits=1):
                yield
        finally:
            torch.set_num_threads(before)


class Predictor:
    """Class probabilities of one bundle. calibrated: whether a fitted temperature is applied."""

    def __init__(self, bundle: Bundle):
        self.bundle, self.card, self.name = bundle, bundle.card, bundle.name
        self.classes, self.size = bundle.card.classes, bundle.card.input_size
        self.temperature = bundle.card.temperature.value if bundle.card.temperature else 1.0
        self.calibrated = bundle.card.temperature is not None
        for network in (bundle.classifier, bundle.decoder):
            if network is not None:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster for one image

    def features_and_logits(self, images_nssc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (N, S, S, 3), S the card's input size -> float32 features (N, D) and logits (N, C), from one pass."""
        expected = (self.size, self.size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 (N, {self.size}, {self.size}, 3), got {images_nssc.dtype} "
                f"{images_nssc.shape}"
            )
        classifier = self.bundle.classifier
        features = [np.empty((0, self.card.features), np.float32)]
        logits = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(images_nssc), BATCH):
            batch_bssc = torch.from_numpy(np.array(images_nssc[start : start + BATCH]))
            with compute_slot(), torch.inference_mode():  # others compute between batches
                features_bd = classifier.backbone.pooled(
                    normalise(batch_bssc, self.card.mean, self.card.std)
                )
                features.append(features_bd.float().numpy())
                logits.append(classifier.classify(features_bd).float().numpy())
        return np.concatenate(features), np.concatenate(logits)

    def logits(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> float32 logits (N, C), before the temperature."""
        return self.features_and_logits(images_nssc)[1]

    def calibrate(self, logits_nc: np.ndarray) -> np.ndarray:
        """Logits -> probabilities at the fitted temperature, float64 rows that sum to 1."""
        return softmax(logits_nc.astype(np.float64) / self.temperature)

    def latents(self, features_nd: np.ndarray) -> np.ndarray:
        """Features (N, D) -> latents of the bundle's decoder (N, Z), by the linear map it carries."""
        reference = self.bundle.reference
        if reference is None or reference.latents is None:
            raise ValueError(f"{self.card.name} has no map from features to latents")
        weight, bias = reference.latents
        return reference.space.standardise(features_nd) @ weight + bias

    def draw(self, latents_nz: np.ndarray) -> np.ndarray:
        """Latents (N, Z) -> what the bundle's decoder draws, float32 (N, S, S, 3) from 0 to 1, S the decoder's size."""
        decoder = self.bundle.decoder
        if decoder is None or self.card.decoder is None:
            raise ValueError(f"{self.card.name} has no decoder")
        size = self.card.decoder.size
        drawn = [np.empty((0, size, size, 3), np.float32)]
        for start in range(0, len(latents_nz), BATCH):
            with compute_slot(), torch.inference_mode():
                images_bchw = decoder(torch.from_numpy(latents_nz[start : start + BATCH]))
                drawn.append(images_bchw.clamp(-1, 1).permute(0, 2, 3, 1).numpy())
        return (np.concatenate(drawn) + 1) / 2

    def residuals(self, drawn_nssc: np.ndarray, images_nssc: np.ndarray) -> np.ndarray:
        """(N, S, S) difference of what is drawn to uint8 images of the predictor's size, root mean square over colours."""
        size = drawn_nssc.shape[1]
        if images_nssc.shape[1] != size:
            images_nssc = np.stack([prepare(Image.fromarray(image), size) for image in images_nssc])
        return np.sqrt(np.square(drawn_nssc - images_nssc.astype(np.float32) / 255).mean(3))

    def reconstruction_errors(self, features_nd: np.ndarray, images_nssc: np.ndarray) -> np.ndarray:
        """(N,) root mean squared error, 0 to 1, of what the bundle's decoder draws from the features' latents.

        images: uint8 (N, S, S, 3), S the predictor's size. The bundle must carry decoder and latent map.
        """
        errors = [np.empty(0, np.float32)]
        for start in range(0, len(features_nd), BATCH):
            part = slice(start, start + BATCH)
            errors.append(
                root_mean_square(
                    self.residuals(self.draw(self.latents(features_nd[part])), images_nssc[part])
                )
            )
        return np.concatenate(errors)

    def predict(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> probabilities (N, C), float64 rows that sum to 1."""
        return self.calibrate(self.logits(images_nssc))


def root_mean_square(residual_nss: np.ndarray) -> np.ndarray:
    """(N,) of residuals (N, S, S)."""
    return np.sqrt(np.square(residual_nss).mean((1, 2)))


def softmax(logits_nc: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    shifted = np.exp(logits_nc - logits_nc.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def load_predictors(
    workspace: Workspace, names: Sequence[str] | None = None
) -> dict[str, Predictor]:
    """Predictors by name; all intact bundles where no name is given. Raises NotFound and BundleError."""
    if not names:
        names = [card.name for card in list_cards(workspace)]
        if not names:
            raise NotFound(
                "There is no model in the library yet: publish one from a finished study, or import one."
            )
    return {name: Predictor(load_classifier(name, workspace)) for name in names}
