"""Travel in a VAE's latent space: which dimensions carry something, what decodes where, and paths between images.

    travel = open_travel(workspace, "pretrain-…" or a bundle's name)
    travel.decode(travel.between(*travel.encode(two_images), steps=9))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..workspace import Workspace

if TYPE_CHECKING:
    from ..serve.predictor import Predictor

ACTIVE_KL = 0.01      # nats; a dimension with less says nothing of an image


@dataclass
class Travel:
    """A VAE ready to be travelled in. Latents are float32 (n, D), images uint8 (n, S, S, 3); two CPU threads.

    source: the run or bundle asked for. size: S. can_encode: whether the encoder is at hand (a bundle alone
    carries a decoder; its VAE's encoder is that of the pretraining it names, where that run is in the workspace).
    kl_d (D,): mean KL per dimension over validation images, nats. active_d: indices with a KL above 0.01, largest
    first. mean_d, std_d (D,): of the posterior means over validation images. kl and scales of a bundle without its run
    are those of a standard normal prior: kl_d is None, active_d the dimensions its decoder reacts to most.
    """

    source: str
    size: int
    can_encode: bool
    kl_d: np.ndarray | None
    active_d: np.ndarray
    mean_d: np.ndarray
    std_d: np.ndarray

    def encode(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) -> posterior means (n, D)."""
        raise NotImplementedError

    def decode(self, z_nd: np.ndarray) -> np.ndarray:
        """(n, D) -> mean images, uint8 (n, S, S, 3)."""
        raise NotImplementedError

    def between(self, z0_d: np.ndarray, z1_d: np.ndarray, steps: int) -> np.ndarray:
        """(steps, D): the straight line from z0 to z1, both ends included."""
        raise NotImplementedError

    def mean_of(self, mu_nd: np.ndarray) -> np.ndarray:
        """(D,): the mean latent of some images; decoded, their mean image."""
        raise NotImplementedError

    def towards(self, z_d: np.ndarray, target: str, predictor: Predictor, steps: int = 9) -> tuple[np.ndarray, np.ndarray]:
        """A path from z towards the class `target` of a predictor: latents (steps, D), probabilities (steps, C).

        The first is z itself; the probabilities are those of the decoded images.
        """
        raise NotImplementedError


def open_travel(workspace: Workspace, source: str) -> Travel:
    """The VAE of a finished pretraining (its run id) or of a bundle that carries a decoder (its name).

    Raises NotFound for an unknown source, RunError or BundleError for one that is damaged or has no decoder.
    """
    raise NotImplementedError
