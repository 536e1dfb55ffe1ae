"""Reconstruction: the decoder's image of an image's latents, and the error behind the outlier score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.outlier import distance
from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference
from derm_core.insight.reconstruct import can_reconstruct, reconstruct
from derm_core.publish.statistics import fit_space
from tests.bundles.cards import complete_bundle, save_bundle
from tests.bundles.conftest import card, classifier, decoder, shelf  # noqa: F401

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def predictor(shelf, classifier, decoder, card) -> Predictor:
    """A bundle with a decoder and a latent map of some size, whose thresholds no image passes."""
    with torch.no_grad():
        decoder.stem.weight.mul_(3)  # enough contrast that its images differ
    folder = shelf.models / "small"
    save_bundle(
        folder,
        classifier,
        {**card, "decoder": {"latent_dim": 4, "size": 32, "width": 16}},
        decoder,
    )
    features = Predictor(load_bundle(folder)).features_and_logits(IMAGES)[0]
    rng, space = np.random.default_rng(1), fit_space(features)
    weight = rng.normal(0, 0.1, (64, 4)).astype(np.float32)
    complete_bundle(
        folder,
        {
            "outlier": {
                "distance": {"threshold": float(distance(space, features).max()) * 9},
                "reconstruction": {"threshold": 5.0},
            },
            "reference": {"public": True},
        },
        Reference(space, None, (weight, rng.normal(size=4).astype(np.float32))),
    )
    return Predictor(load_bundle(folder))


@pytest.mark.slow
def test_the_images_are_the_decoders_of_the_mapped_features(predictor):
    result, known = reconstruct(predictor, IMAGES[:3]), predictor.bundle.reference
    features = predictor.features_and_logits(IMAGES[:3])[0]
    z = ((features - known.space.mean) / known.space.std) @ known.latents[0] + known.latents[1]
    with torch.no_grad():
        expected = (
            predictor.bundle.decoder(torch.from_numpy(z)).clamp(-1, 1).permute(0, 2, 3, 1).numpy()
            / 2
            + 0.5
        )
    assert result.latents_nz == pytest.approx(z, abs=1e-5)
    assert np.abs(result.images_nssc / 255 - expected).max() < 0.003 and np.ptp(expected) > 0.05
    residual = np.sqrt(((expected - IMAGES[:3] / 255) ** 2).mean(3))
    assert result.residual_nss == pytest.approx(residual, abs=1e-5)
    assert result.rmse == pytest.approx(np.sqrt((residual**2).mean((1, 2))), rel=1e-5)


@pytest.mark.slow
def test_the_error_shown_is_the_one_the_outlier_score_holds(predictor, shelf):
    from PIL import Image

    row = predict_images(shelf, None, [("a.png", Image.fromarray(IMAGES[5]))]).images[0]
    assert row.outlier.scores["small"].reconstruction == pytest.approx(
        reconstruct(predictor, IMAGES[5:6]).rmse[0], abs=1e-6
    )


def test_a_decoder_of_another_size_is_compared_at_its_own(predictor):
    half = np.full((2, 16, 16, 3), 0.5, np.float32)
    grey = np.full((2, 32, 32, 3), 204, np.uint8)
    assert predictor.residuals(half, grey).shape == (2, 16, 16)
    assert predictor.residuals(half, grey) == pytest.approx(0.3, abs=1e-6)


def test_what_cannot_be_reconstructed_is_said(predictor):
    card = predictor.card
    assert (
        can_reconstruct(card)
        and not can_reconstruct(replace(card, decoder=None))
        and not can_reconstruct(replace(card, reference=None))
    )
    predictor.card = replace(card, reference=None)
    with pytest.raises(ValueError, match="no map"):
        reconstruct(predictor, IMAGES[:1])
