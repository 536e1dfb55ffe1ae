"""Latents of a VAE's validation images: their KL and spread per dimension, computed once and kept beside its weights."""

from __future__ import annotations

import numpy as np

from ..data.manifest import load_dataset
from ..data.splits import SPLITS, split_for
from ..data.store import open_store
from ..errors import DermError, RunError
from ..files import read_json, write_json
from ..workspace import Workspace


def posterior(vae, images_nssc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and log variances (n, D) of uint8 images."""
    from ..bundles.predictor import compute_slot
    from ..nets.vae import encode

    with compute_slot():
        return encode(vae, images_nssc)


def kept_statistics(workspace: Workspace, run_id: str, vae, card: dict) -> dict:
    """{"kl", "mean", "std"} per dimension from the run's folder, else computed from its validation images and kept."""
    path = workspace.run(run_id).latents
    try:
        kept = read_json(path)
        if kept["sha256"] == card["sha256"] and len(kept["kl"]) == vae.latent_dim:
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the first time, or of other weights
    means, log_variances = posterior(vae, _validation_images(workspace, run_id, card))
    kl = 0.5 * (means**2 + np.exp(log_variances) - 1 - log_variances).mean(0)
    kept = {
        "sha256": card["sha256"],
        "images": len(means),
        "kl": kl.tolist(),
        "mean": means.mean(0).tolist(),
        "std": means.std(0).tolist(),
    }
    write_json(path, kept)
    return kept


def _validation_images(workspace: Workspace, run_id: str, card: dict) -> np.ndarray:
    from ..config import PretrainConfig, from_dict

    try:
        config = from_dict(card["config"], PretrainConfig)
        dataset = load_dataset(workspace, config.dataset)
    except (DermError, KeyError) as error:
        raise RunError(
            f"The latents of run {run_id} have no statistics yet, and its dataset cannot be read to make them: "
            f"{error}"
        ) from error
    rows = dataset.subset(config.max_images, config.split_seed)
    split = split_for(config, dataset.labels[rows], dataset.groups[rows])
    chosen = rows[split == SPLITS.index("val")]
    return np.asarray(open_store(workspace, dataset, config.input_size).images[chosen])
