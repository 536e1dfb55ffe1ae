"""A classifier's probabilities on the CPU: one computation at a time, two threads."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from threadpoolctl import ThreadpoolController
from torch import Tensor

from ..data.decode import prepare
from ..errors import NotFound
from ..nets.backbone import normalise
from ..nets.batchnorm import fold
from ..nets.vae import in_batches
from ..processes import cores_are_busy
from ..stats.metrics import decide
from ..workspace import Workspace
from .bundle import Bundle, load_classifier
from .model_library import list_cards
from .turn_queue import REQUESTS, TurnQueue

THREADS = 2
BATCH = 32
CPU = torch.device("cpu")
COMPUTATIONS = TurnQueue()


@functools.cache
def blas_libraries() -> ThreadpoolController:
    """The BLAS libraries loaded before the first computation. Listing them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def compute_slot() -> Iterator[None]:
    """One computation at a time: other callers wait in order of arrival.

    It runs on THREADS threads, or on one where other requests or processes keep the machine busy: two threads that
    synchronise at every operation are then slower than one. NumPy has one thread in any case: its matrices here are
    too small for a second one (python -m benchmarks load). The thread counts are restored afterwards.
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
    """Class probabilities of a classifier on the CPU.

    Attributes:
        temperature: that divides the logits; 1 where none was fitted.
        calibrated: whether one was fitted.
        log_prior: (C,) log class shares of training; None where neither card nor bundle has them.
        size, form: pixels a side of the images it reads, S below, and how they are decoded.

    D features, C classes, Z latent dimensions.
    """

    def __init__(self, bundle: Bundle):
        self.bundle, self.card, self.name = bundle, bundle.card, bundle.name
        self.classes, self.size = bundle.card.classes, bundle.card.input_size
        self.form = bundle.card.form
        self.calibrated = bundle.card.temperature is not None
        self.temperature = bundle.card.temperature.value if bundle.card.temperature else 1.0
        self.log_prior = bundle.log_prior()
        for network in (bundle.classifier, bundle.decoder):
            if network is not None:  # channels last: a fifth faster for one image
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(1, 3, self.size, self.size, generator=generator)
        with compute_slot():  # two threads on busy cores would take several times as long
            self._classifier = fold(bundle.classifier, example)

    def features_and_logits(self, images_nssc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (N, S, S, 3) -> float32 features (N, D) and logits (N, C), before the temperature.

        Raises:
            ValueError: another shape or type.
        """
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != (self.size, self.size, 3):
            raise ValueError(
                f"images must be uint8 (N, {self.size}, {self.size}, 3), got {images_nssc.dtype} {images_nssc.shape}"
            )
        classifier, width = self._classifier, self.card.features

        def forward(images_bssc: Tensor) -> Tensor:
            with compute_slot(), torch.inference_mode():  # others compute between batches
                x_bchw = normalise(images_bssc, self.card.mean, self.card.std)
                features_bd = classifier.backbone.pooled(x_bchw)
                logits_bc = classifier.classify(features_bd)
                return torch.cat([features_bd.float(), logits_bc.float()], 1)

        both = in_batches(forward, images_nssc, (width + len(self.classes),), CPU)
        return both[:, :width], both[:, width:]

    def logits(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> float32 logits (N, C), before the temperature."""
        return self.features_and_logits(images_nssc)[1]

    def calibrate(self, logits_nc: np.ndarray) -> np.ndarray:
        """Logits -> probabilities at the fitted temperature, float64 rows that sum to 1."""
        return softmax(logits_nc.astype(np.float64) / self.temperature)

    def predict(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> probabilities (N, C), float64 rows that sum to 1."""
        return self.calibrate(self.logits(images_nssc))

    def uncalibrated(self, probabilities_nc: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, C) -> the plain softmax, before the temperature."""
        powers_nc = np.asarray(probabilities_nc, np.float64) ** self.temperature
        plain_nc: np.ndarray = powers_nc / powers_nc.sum(1, keepdims=True)
        return plain_nc

    def adjusted(self, probabilities_nc: np.ndarray) -> np.ndarray | None:
        """Indices (N,) of the classes after adjusting calibrated probabilities (N, C) for class frequency.

        The temperature is taken back first: this is the decision that studies and cards measure. None where the class
        shares of training are not known.
        """
        if self.log_prior is None:
            return None
        return decide(self.uncalibrated(probabilities_nc), self.log_prior)

    def latents(self, features_nd: np.ndarray) -> np.ndarray:
        """Features (N, D) -> latents of the bundle's decoder (N, Z), by its linear map."""
        reference = self.bundle.reference
        assert reference and reference.latents, f"{self.name} has no latent map"
        weight, bias = reference.latents
        latents_nz: np.ndarray = reference.space.standardise(features_nd) @ weight + bias
        return latents_nz

    def draw(self, latents_nz: np.ndarray) -> np.ndarray:
        """Latents (N, Z) -> the decoder's images, float32 (N, S, S, 3) from 0 to 1, S the decoder's size."""
        decoder = self.bundle.decoder
        assert decoder, f"{self.name} has no decoder"

        def forward(z_bz: Tensor) -> Tensor:
            with compute_slot(), torch.inference_mode():
                x_bchw: Tensor = decoder(z_bz).clamp(-1, 1)
                return (x_bchw.permute(0, 2, 3, 1) + 1) / 2

        return in_batches(forward, latents_nz, (decoder.size, decoder.size, 3), CPU)

    def residuals(self, drawn_nssc: np.ndarray, images_nssc: np.ndarray) -> np.ndarray:
        """(N, S, S) difference of the decoder's images from uint8 images, root mean square over colours."""
        size = drawn_nssc.shape[1]
        if images_nssc.shape[1] != size:
            images_nssc = np.stack([prepare(Image.fromarray(image), size) for image in images_nssc])
        squared_nssc = np.square(drawn_nssc - images_nssc.astype(np.float32) / 255)
        return np.sqrt(np.asarray(squared_nssc.mean(3)))

    def reconstruction_errors(self, features_nd: np.ndarray, images_nssc: np.ndarray) -> np.ndarray:
        """(N,) root mean squared error, 0 to 1, of the decoder's images of the features' latents.

        Args:
            features_nd: of the images.
            images_nssc: uint8 (N, S, S, 3).
        """
        errors = [np.empty(0, np.float32)]
        for start in range(0, len(features_nd), BATCH):
            part = slice(start, start + BATCH)
            drawn_nssc = self.draw(self.latents(features_nd[part]))
            errors.append(root_mean_square(self.residuals(drawn_nssc, images_nssc[part])))
        return np.concatenate(errors)


def root_mean_square(residual_nss: np.ndarray) -> np.ndarray:
    """(N,) of residuals (N, S, S)."""
    return np.sqrt(np.asarray(np.square(residual_nss).mean((1, 2))))


def softmax(logits_nc: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    shifted: np.ndarray = np.exp(logits_nc - logits_nc.max(axis=1, keepdims=True))
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
