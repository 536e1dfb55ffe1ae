"""What publishing measures of an extractor, after its rounding to float16: on training and validation images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from ..bundles.bundle import ExtractorBundle
from ..bundles.card_parts import LatentStatistics, Memorisation, NearestNeighbours, Reconstruction
from ..bundles.predictor import compute_slot
from ..errors import BundleError
from ..heads.grid import standardisation
from ..nets.vae import VAE, active_units, decode_colours, encode, latents_like
from ..seeds import stream_seed
from ..training.pretrain import PretrainingData
from .memorisation import memorisation

MOST_TRAINING = 20_000  # images that the neighbours and the memorisation check look at
SAMPLES = 64  # of the decoder, for the memorisation check
NEIGHBOURS = 10
TOLERANCE = 0.02  # change of features by rounding to float16, in their standard deviations
STEP = 256  # images whose reconstructions are compared at once


@dataclass(frozen=True)
class Measured:
    """The measured fields of an extractor's card."""

    reconstruction: Reconstruction
    latent: LatentStatistics
    knn: NearestNeighbours | None
    memorisation: Memorisation


def measure(bundle: ExtractorBundle, exact: VAE, material: PretrainingData, seed: int) -> Measured:
    """Measure an extractor.

    Args:
        bundle: with the rounded VAE.
        exact: the VAE before rounding.
        material: of its pretraining.
        seed: of the draws.

    Raises:
        BundleError: rounding changes its features.
    """
    rng = np.random.default_rng(stream_seed(seed, "extractor"))
    train = np.sort(rng.permutation(material.train)[:MOST_TRAINING])
    train_nssc, val_nssc = (np.asarray(material.images[rows]) for rows in (train, material.val))
    with compute_slot():
        train_nd, val_nd = bundle.features(train_nssc), bundle.features(val_nssc)
        _check_rounding(bundle, exact, val_nssc, val_nd)
        reconstruction, latent = _latent(bundle, val_nssc)
        samples_nssc = _samples(bundle.vae, train_nd, seed)
    knn = _knn(train_nd, material.labels[train], val_nd, material.labels[material.val])
    copies = memorisation(samples_nssc, train_nssc, val_nssc)
    return Measured(reconstruction, latent, knn, copies)


def _check_rounding(
    bundle: ExtractorBundle, exact: VAE, images_nssc: np.ndarray, rounded_nd: np.ndarray
) -> None:
    """Raise BundleError where float16 changes features by more than a fiftieth of their spread."""
    few = images_nssc[:256]
    exact_nd = ExtractorBundle(bundle.name, bundle.folder, bundle.card, exact).features(few)
    spread = max(float(exact_nd.std(0).mean()), 1e-6)
    change = np.abs(exact_nd - rounded_nd[: len(few)]).mean() / spread
    if not change <= TOLERANCE:
        raise BundleError(
            f"Rounded to float16 this VAE gives other features (by {change:.3f} of their standard "
            "deviation); nothing was published."
        )


def _latent(
    bundle: ExtractorBundle, images_nssc: np.ndarray
) -> tuple[Reconstruction, LatentStatistics]:
    """What the posterior and the decoder do on validation images."""
    mu_nz, logvar_nz = encode(bundle.vae, images_nssc)
    mu, logvar = mu_nz.astype(np.float64), logvar_nz.astype(np.float64)
    kl_z = (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)).mean(0)
    squared = []
    for start in range(0, len(images_nssc), STEP):
        part = slice(start, start + STEP)
        residual = bundle.decode(mu_nz[part]) - images_nssc[part].astype(np.float32)
        squared.append(np.square(residual / 255).mean((1, 2, 3)))
    reconstruction = Reconstruction(
        pixel_mse=float(np.concatenate(squared).mean()),
        kl=float(kl_z.sum()),
        active_units=active_units(torch.from_numpy(mu)),
        images=len(images_nssc),
        note="validation images; squared error of the decoded posterior mean, colours 0 to 1; "
        "KL in nats an image; a unit is active where its mean varies by more than 0.01",
    )
    latent = LatentStatistics(
        kl=tuple(kl_z.tolist()),
        mean=tuple(mu.mean(0).tolist()),
        std=tuple(mu.std(0, ddof=1).tolist()),
        images=len(images_nssc),
    )
    return reconstruction, latent


def _knn(
    train_nd: np.ndarray, train_labels: np.ndarray, val_nd: np.ndarray, val_labels: np.ndarray
) -> NearestNeighbours | None:
    """The vote of the ten nearest training images for validation images, features standardised; None without labels."""
    train, val = train_labels >= 0, val_labels >= 0
    if len(np.unique(train_labels[train])) < 2 or not val.any():
        return None
    mean, std = standardisation(train_nd[train])
    model = KNeighborsClassifier(min(NEIGHBOURS, int(train.sum())), algorithm="brute")
    model.fit((train_nd[train] - mean) / std, train_labels[train])
    predicted = model.predict((val_nd[val] - mean) / std)
    return NearestNeighbours(
        accuracy=float(np.mean(predicted == val_labels[val])),
        balanced_accuracy=float(balanced_accuracy_score(val_labels[val], predicted)),
        neighbours=NEIGHBOURS,
        images=int(val.sum()),
        split="val",
    )


def _samples(vae: VAE, features_nd: np.ndarray, seed: int) -> np.ndarray:
    """SAMPLES images drawn like those of `features_nd`, (SAMPLES, S, S, 3) from 0 to 1."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "memorisation"))
    with torch.inference_mode():
        posterior = vae.posterior(torch.from_numpy(features_nd))
        drawn_bchw = decode_colours(vae.decoder, latents_like(*posterior, SAMPLES, generator))
    return drawn_bchw.permute(0, 2, 3, 1).numpy()
