"""Whether an image is like those a model was trained on: feature distance, and what its VAE can draw of it.

Mahalanobis distance (Lee et al. 2018, arXiv 1807.03888, here for all classes together) with Ledoit and Wolf's
shrinkage (2004). Of the two scores tried on the shipped models' own features it separated better than the
distance to the fifth training neighbour: 99 to 100 % against 94 to 99 % of photographs of other things, and
all of 600 drawn pictures, at 4 to 6 % of HAM10000's test images. Earlier layers added nothing to it.

Where a bundle carries a VAE's decoder, its error on the image is a second score. The VAE's own encoder is not
in a bundle, and perhaps the backbone was fine-tuned since: a linear map (ridge regression) takes the features
to the latents the encoder gave. On HAM10000 it explains 96 % of their variance, and the error of what is drawn
from them is 0.077 against 0.075 with the encoder. Both scores together flag 5 % of calibration images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

RATE = 0.05  # of images like those of training that are flagged
MAX_AXES = 256  # beyond these, what is left of a feature vector counts with one mean variance
RIDGE = 0.004  # per training image


@dataclass(frozen=True)
class Space:
    """The Gaussian of training features, float32.

    Attributes:
        mean, std: (D,).
        axes: (D, r) orthonormal, of falling variance, in standardised features.
        variances: (r + 1,) shrunk, along each axis, and last the mean of those left out (1 where none is).
    """

    mean: np.ndarray
    std: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    def standardise(self, features_nd: np.ndarray) -> np.ndarray:
        """Features less the mean, over the standard deviation; float32."""
        return np.asarray((features_nd - self.mean) / self.std, np.float32)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, D) standardised features from the Gaussian of the training images', float32."""
        noise = rng.standard_normal((count, len(self.mean)), dtype=np.float32)
        along, spread = noise @ self.axes, np.sqrt(self.variances)
        rest: np.ndarray = (noise - along @ self.axes.T) * spread[-1]
        return (along * spread[:-1]) @ self.axes.T + rest


def distance(space: Space, features_nd: np.ndarray) -> np.ndarray:
    """(n,) Mahalanobis distance to the mean over √D."""
    z = space.standardise(features_nd)
    along = z @ space.axes
    squared = (along**2 / space.variances[:-1]).sum(1)
    if space.axes.shape[1] < z.shape[1]:
        squared = squared + np.maximum((z**2).sum(1) - (along**2).sum(1), 0) / space.variances[-1]
    return np.sqrt(np.asarray(squared) / z.shape[1])


def fit_latents(
    space: Space, features_nd: np.ndarray, mu_nz: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ridge regression from standardised features to a VAE's latent means: weight (D, Z), bias (Z,), float32."""
    z = space.standardise(features_nd).astype(np.float64)
    bias = mu_nz.mean(0)
    weight = np.linalg.solve(z.T @ z + RIDGE * len(z) * np.eye(z.shape[1]), z.T @ (mu_nz - bias))
    return weight.astype(np.float32), bias.astype(np.float32)


def joint_thresholds(
    distance_n: np.ndarray, reconstruction_n: np.ndarray | None = None, rate: float = RATE
) -> tuple[float, float | None]:
    """Thresholds of which at least one is passed by about a share `rate` of new images like these.

    Both stand at the same rank of their score. The rank is that of split-conformal prediction, exact for one score.
    """
    n = len(distance_n)
    kinds = [distance_n] if reconstruction_n is None else [distance_n, reconstruction_n]
    ranks = np.max(
        [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in kinds], axis=0
    )
    place = np.sort(ranks)[min(math.ceil((n + 1) * (1 - rate) - 1e-9), n) - 1]
    thresholds = [float(np.sort(values)[place]) for values in kinds]
    return thresholds[0], thresholds[1] if len(thresholds) > 1 else None


@dataclass(frozen=True)
class OutlierScore:
    """One model's scores of an image, each with the threshold that 5 % of images like those of training exceed.

    Attributes:
        distance: Mahalanobis distance of the features, per feature.
        reconstruction: root mean squared error of the decoder's image, 0 to 1; None without a decoder.
        flagged: whether a score exceeds its threshold.
    """

    distance: float
    threshold: float
    reconstruction: float | None = None
    reconstruction_threshold: float | None = None
    flagged: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "flagged", self.excess > 1)

    @property
    def excess(self) -> float:
        """The larger of both scores over their thresholds: 1 at the threshold."""
        return max(self.distance / self.threshold, self.reconstruction_excess)

    @property
    def reconstruction_excess(self) -> float:
        """The reconstruction error over its threshold; 0 where it was not computed."""
        if self.reconstruction is None or not self.reconstruction_threshold:
            return 0.0
        return self.reconstruction / self.reconstruction_threshold


@dataclass(frozen=True)
class Outlier:
    """Whether an image is unlike the training images, over all models that have statistics.

    Attributes:
        reason: a sentence where it is flagged.
        scores: by model name.
    """

    flagged: bool
    reason: str | None
    scores: Mapping[str, OutlierScore]


def judge(scores: Mapping[str, OutlierScore]) -> Outlier:
    """Flag an image where the mean excess over the models is above 1.

    The mean keeps about the rate each model was calibrated to, whatever their number; "any of them" would
    flag more of the images like those of training with each model, "all of them" fewer.
    """
    excesses = [score.excess for score in scores.values()]
    flagged = bool(excesses) and sum(excesses) / len(excesses) > 1
    return Outlier(flagged, _reason(scores) if flagged else None, dict(scores))


def _reason(scores: Mapping[str, OutlierScore]) -> str:
    parts = []
    for name, score in scores.items():
        by_decoder = score.reconstruction_excess > score.distance / score.threshold
        kind = "reconstruction error" if by_decoder else "feature distance"
        parts.append(f"{name}: {kind} {score.excess:.1f} times the limit")
    whose = "this model was" if len(parts) == 1 else "these models were"
    return (
        f"Not like the images {whose} trained on ({'; '.join(parts)}, which {RATE:.0%} of images like those "
        "of training pass). The probabilities mean little here."
    )
