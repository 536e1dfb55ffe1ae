"""Statistics of a VAE's latents over its validation images, computed once and saved beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..bundles.predictor import compute_slot
from ..config import PretrainConfig, from_dict
from ..data.manifest import load_dataset
from ..data.store import open_store
from ..data.used_images import SplitRule, used_images
from ..errors import DermError, RunError
from ..files import read_json, write_json
from ..nets.vae import VAE, encode
from ..workspace import Workspace

ACTIVE_KL = 0.01  # nats; a dimension with less carries no information about an image


@dataclass(frozen=True)
class LatentStatistics:
    """Statistics of each latent dimension.

    Attributes:
        kl_d: (D,) mean KL divergence to the prior, nats.
        mean_d, std_d: (D,) of the posterior means.
    """

    kl_d: np.ndarray
    mean_d: np.ndarray
    std_d: np.ndarray

    @property
    def active_d(self) -> np.ndarray:
        """Indices of the dimensions with a KL above ACTIVE_KL, the largest first."""
        order = np.argsort(-self.kl_d, kind="stable")
        return order[self.kl_d[order] > ACTIVE_KL]

    @classmethod
    def of(cls, kl: ArrayLike, mean: ArrayLike, std: ArrayLike) -> LatentStatistics:
        """Statistics from lists or arrays, as float32."""
        return cls(*(np.array(values, np.float32) for values in (kl, mean, std)))


def posterior(vae: VAE, images_nssc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and log variances (n, D) of uint8 images, when it is this request's turn."""
    with compute_slot():
        return encode(vae, images_nssc)


def run_statistics(
    workspace: Workspace, run_id: str, vae: VAE, card: dict[str, Any]
) -> LatentStatistics:
    """Statistics from the run's folder, else computed from its validation images and saved there."""
    path = workspace.run(run_id).latents
    try:
        saved = read_json(path)
        if saved["sha256"] == card["sha256"] and len(saved["kl"]) == vae.latent_dim:
            return LatentStatistics.of(saved["kl"], saved["mean"], saved["std"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the first time, or of other weights
    means, log_variances = posterior(vae, validation_images(workspace, run_id, card))
    kl = 0.5 * (means**2 + np.exp(log_variances) - 1 - log_variances).mean(0)
    mean, std = means.mean(0), means.std(0)
    lists = {"kl": kl.tolist(), "mean": mean.tolist(), "std": std.tolist()}
    write_json(path, {"sha256": card["sha256"], "images": len(means), **lists})
    return LatentStatistics.of(kl, mean, std)


def validation_images(workspace: Workspace, run_id: str, card: dict[str, Any]) -> np.ndarray:
    """The images that a pretraining was validated on. Raises RunError where its dataset is gone."""
    try:
        config = from_dict(card["config"], PretrainConfig)
        dataset = load_dataset(workspace, config.dataset)
    except (DermError, KeyError) as error:
        raise RunError(
            f"The latents of run {run_id} have no statistics yet, and its dataset cannot be read to "
            f"compute them: {error}"
        ) from error
    chosen = used_images(dataset, SplitRule.of(config)).members("val")
    return np.asarray(open_store(workspace, dataset, config.input_size).images[chosen])
