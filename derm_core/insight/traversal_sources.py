"""Opening a latent space to traverse: of a pretraining, an extractor, or a model with a decoder.

A pretraining and an extractor have encoder and decoder. A classifier's bundle has the decoder
alone. Where the pretraining or extractor that its card names is at hand and intact, its encoder is
used; else the linear map from the bundle's own features to latents that stands in its reference
(see bundles.outlier), and KL is estimated from the spread of those latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..bundles.bundle import Bundle, ExtractorBundle, load_bundle, load_extractor
from ..bundles.predictor import Predictor
from ..bundles.reference_file import Reference
from ..errors import BundleError, DermError
from ..files import read_json
from ..nets.vae import VAE, Decoder, load_vae
from ..workspace import Workspace
from .latents import LatentStatistics, posterior, run_statistics
from .traverse import Traversal


def open_traversal(workspace: Workspace, source: str) -> Traversal:
    """The latent space of a VAE.

    The statistics of a pretraining are computed from its validation images once and saved beside
    its weights.

    Args:
        workspace: with runs and bundles.
        source: a finished pretraining's run id, or the name of an extractor or of a model with a
            decoder.

    Raises:
        NotFound: unknown source.
        RunError, BundleError: it is damaged or has no decoder.
    """
    if workspace.run(source).vae.exists():
        return _of_run(workspace, source)
    bundle = load_bundle(source, workspace)
    if isinstance(bundle, ExtractorBundle):
        return _of_extractor(bundle)
    if bundle.decoder is None:
        raise BundleError(f"{source} has no decoder; choose a model that was made from a VAE.")
    bundle.decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _of_bundle(workspace, bundle, bundle.decoder)


def _of_run(workspace: Workspace, run_id: str) -> Traversal:
    vae, card = load_vae(workspace.run(run_id).artefacts)
    # Faster for one image, as in Predictor; torch's annotations lack this form of `to`.
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _of_vae(run_id, vae, run_statistics(workspace, run_id, vae, card), card["sha256"])


def _of_extractor(bundle: ExtractorBundle) -> Traversal:
    """A published VAE, whose card has the statistics of its latents."""
    vae, latent = bundle.vae, bundle.card.latent
    if latent is None:
        raise BundleError(f"The card of {bundle.name} has no statistics of its latents.")
    statistics = LatentStatistics.of(latent.kl, latent.mean, latent.std)
    return _of_vae(bundle.name, vae, statistics, bundle.card.sha256)


def _of_vae(source: str, vae: VAE, statistics: LatentStatistics, sha256: str) -> Traversal:
    def encode(images: np.ndarray) -> np.ndarray:
        return posterior(vae, images)[0]

    return Traversal(source, vae.size, statistics, False, vae.decoder, encode, sha256)


def _of_bundle(workspace: Workspace, bundle: Bundle, decoder: Decoder) -> Traversal:
    """The bundle's decoder with the encoder it was trained with if that is at hand, else with the reference's map."""
    origin = _origin(workspace, bundle.card.initial_weights)
    if origin is not None:
        return replace(origin, source=bundle.name, size=decoder.size, decoder=decoder)
    if bundle.reference is None or bundle.reference.latents is None:
        zero = np.zeros(decoder.stem.in_features, np.float32)
        statistics = LatentStatistics(zero + 1, zero, zero + 1)
        return Traversal(bundle.name, decoder.size, statistics, True, decoder, None)
    return _from_reference(bundle, decoder, bundle.reference, *bundle.reference.latents)


def _origin(workspace: Workspace, weights: Mapping[str, Any]) -> Traversal | None:
    """The VAE that a card's initial weights name, if a run or an extractor of the same sha256 is here."""
    try:
        if weights.get("extractor"):
            bundle = load_extractor(weights["extractor"], workspace)
            return _of_extractor(bundle) if bundle.card.sha256 == weights["sha256"] else None
        intact = read_json(workspace.run(weights["run"]).vae)["sha256"] == weights["sha256"]
        return _of_run(workspace, weights["run"]) if intact else None
    except (DermError, OSError, KeyError, TypeError, ValueError):
        return None  # another machine's run or bundle, or its data are gone


def _from_reference(
    bundle: Bundle,
    decoder: Decoder,
    reference: Reference,
    weight_fz: np.ndarray,
    bias_z: np.ndarray,
) -> Traversal:
    """The latent space by the linear map from features.

    KL_d is about -log(1 - variance of the means) / 2 where the latents of all images together are
    the prior's.
    """
    predictor, space, points = Predictor(bundle), reference.space, reference.points

    def encode(images: np.ndarray) -> np.ndarray:
        return space.standardise(predictor.features_and_logits(images)[0]) @ weight_fz + bias_z

    if points is None:
        mean, variance = bias_z, np.square(space.axes.T @ weight_fz).T @ space.variances[:-1]
    else:
        z_nf = points.known[0] @ space.axes[:, : points.known[0].shape[1]].T
        mean, variance = (z_nf @ weight_fz + bias_z).mean(0), (z_nf @ weight_fz).var(0)
    kl = -0.5 * np.log1p(-np.clip(variance, 0, 1 - 1e-4)) + 0.5 * mean**2
    statistics = LatentStatistics.of(kl, mean, np.sqrt(variance))
    encoder = encode if bundle.card.input_size == decoder.size else None
    return Traversal(bundle.name, decoder.size, statistics, True, decoder, encoder)
