"""Traversal of a VAE's latent space: encoding, decoding, and paths between images and towards classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..bundles.predictor import Predictor, compute_slot
from ..errors import BundleError
from ..nets.vae import Decoder, decode
from .latents import LatentStatistics

# Of a whole path towards a class, in standard deviations: about as far as two images lie apart.
PATH_LENGTH = 16.0
INNER_STEPS = 3  # of the gradient, for each that is shown
MOMENTUM = 0.8


@dataclass(frozen=True)
class Traversal:
    """A VAE ready to be traversed. Latents are float32 (n, D), images uint8 (n, S, S, 3); two CPU threads.

    Attributes:
        source: the run or bundle that was asked for.
        size: side S of the images in pixels.
        statistics: of the latents of validation images.
        estimated: whether KL was inferred from the spread of latents alone.
        decoder: latents to images.
        encoder: uint8 images to (n, D); None where the source has nothing to encode with.
        vae: sha256 of the VAE whose encoder that is; empty where latents are estimated from features.
    """

    source: str
    size: int
    statistics: LatentStatistics
    estimated: bool
    decoder: Decoder
    encoder: Callable[[np.ndarray], np.ndarray] | None
    vae: str = ""

    @property
    def can_encode(self) -> bool:
        """Whether images can be encoded."""
        return self.encoder is not None

    def encode(self, images_nssc: np.ndarray) -> np.ndarray:
        """Posterior means (n, D) of images. Raises ValueError for other images, BundleError without an encoder."""
        if self.encoder is None:
            raise BundleError(
                f"{self.source} has no way from an image to its latent; open the pretraining it comes "
                "from."
            )
        expected = (self.size, self.size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 (n, {self.size}, {self.size}, 3), got {images_nssc.dtype} "
                f"{images_nssc.shape}"
            )
        return self.encoder(images_nssc)

    def decode(self, z_nd: np.ndarray) -> np.ndarray:
        """(n, D) -> mean images, uint8 (n, S, S, 3)."""
        with compute_slot():
            return decode(self.decoder, z_nd)

    def between(self, z0_d: np.ndarray, z1_d: np.ndarray, steps: int) -> np.ndarray:
        """(steps, D): the straight line from z0 to z1, both ends included."""
        share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        return ((1 - share) * z0_d + share * z1_d).astype(np.float32)

    def mean_of(self, mu_nd: np.ndarray) -> np.ndarray:
        """(D,): the mean latent of some images; decoded, their mean image."""
        return np.asarray(mu_nd, np.float32).mean(0)

    def towards(
        self, z_d: np.ndarray, target: str, predictor: Predictor, steps: int = 9
    ) -> tuple[np.ndarray, np.ndarray]:
        """A path from z towards a class: what the classifier looks for, not how a lesion would change.

        The first point is z itself. Each next one follows the gradient of the class's
        log-probability through decoder and classifier, with momentum, by a length in standard
        deviations that is halved where it would lower the probability. The path stays as near to
        the mean as latents of images lie (the root of their dimension, in standard deviations) or
        as z does: farther out the decoder draws what no image looks like, and a classifier is
        easily convinced by it.

        Args:
            z_d: where the path starts.
            target: a class name.
            predictor: the classifier.
            steps: points of the path.

        Returns:
            Latents (steps, D), and the predictor's calibrated probabilities (steps, C) of the
            decoded images before their rounding to bytes.

        Raises:
            ValueError: the predictor does not know the class.
        """
        if target not in predictor.classes:
            raise ValueError(f"{predictor.name} knows {', '.join(predictor.classes)}, not {target}")
        start, index = np.asarray(z_d, np.float32), predictor.classes.index(target)
        with compute_slot():
            return self._climb(start, index, predictor, steps)

    def _climb(
        self, z_d: np.ndarray, target: int, predictor: Predictor, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        mean = torch.from_numpy(self.statistics.mean_d)
        scale = torch.from_numpy(np.maximum(self.statistics.std_d, 1e-3).astype(np.float32))

        def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
            """Log-probabilities (C,) at u, and the direction (D,) in which the target's grows."""
            with torch.enable_grad():
                u = u.detach().requires_grad_()
                drawn_bchw = self.decoder((mean + scale * u)[None]).clamp(-1, 1)
                log_p = _log_probabilities(drawn_bchw, predictor)[0]
                (slope,) = torch.autograd.grad(log_p[target], u)
            return log_p.detach(), slope / slope.norm().clamp_min(1e-12)

        u = (torch.from_numpy(z_d) - mean) / scale  # in standard deviations
        farthest = max(float(u.norm()), len(u) ** 0.5)
        length = longest = PATH_LENGTH / max(steps - 1, 1) / INNER_STEPS
        log_p, slope = evaluate(u)
        path, log_probabilities, velocity = [u], [log_p], torch.zeros_like(u)
        for step in range(1, (steps - 1) * INNER_STEPS + 1):
            velocity = MOMENTUM * velocity + slope
            for _ in range(3):
                moved = u + velocity / velocity.norm().clamp_min(1e-12) * length
                moved = moved * min(1.0, farthest / max(float(moved.norm()), 1e-12))
                new_log_p, new_slope = evaluate(moved)
                if new_log_p[target] >= log_p[target]:
                    u, log_p, slope = moved, new_log_p, new_slope
                    length = min(1.5 * length, longest)
                    break
                velocity, length = slope, length / 2
            if step % INNER_STEPS == 0:
                path.append(u)
                log_probabilities.append(log_p)
        latents = (mean + scale * torch.stack(path)).numpy()
        latents[0] = z_d  # to the last bit
        return latents, torch.stack(log_probabilities).exp().numpy().astype(np.float64)


def _log_probabilities(drawn_bchw: Tensor, predictor: Predictor) -> Tensor:
    """Calibrated log-probabilities (B, C) of images in [-1, 1], at the predictor's size and normalisation."""
    if drawn_bchw.shape[-1] != predictor.size:
        drawn_bchw = F.interpolate(
            drawn_bchw, size=(predictor.size,) * 2, mode="bilinear", antialias=True
        )
    card = predictor.card
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.mean, card.std))
    classifier = predictor.bundle.classifier
    features = classifier.backbone.pooled(((drawn_bchw + 1) / 2 - mean) / std)
    return F.log_softmax(classifier.classify(features).float() / predictor.temperature, dim=1)
