"""Sample images are generated, labelled so, and the same for the same seed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from derm_core.bundles import outlier
from derm_core.bundles.predictor import load_predictors
from derm_core.bundles.sample_images import sample_images
from derm_core.workspace import Workspace
from tests.bundles.cards import save_bundle


def test_samples_are_labelled_generated_and_follow_the_seed(shelf):
    samples = sample_images(shelf, 3, seed=1)
    assert samples == sample_images(shelf, 3, seed=1) and samples != sample_images(shelf, 3, seed=2)
    assert len(samples) == 3 and len({name for name, _, _ in samples}) == 3
    assert all(
        label.startswith("Generated") and data.startswith(b"\x89PNG") for _, data, label in samples
    )


@pytest.mark.slow
def test_half_of_the_samples_are_drawn_from_a_shipped_decoder(shelf, classifier, decoder, card):
    save_bundle(
        shelf.models / "small",
        classifier,
        {**card, "decoder": {"latent_dim": 4, "size": 32, "width": 16}},
        decoder,
    )
    samples = sample_images(shelf, 4, seed=1)
    drawn = [row for row in samples if "small" in row[2]]
    assert len(drawn) == 2 and Image.open(io.BytesIO(drawn[0][1])).size == (32, 32)
    assert (
        samples == sample_images(shelf, 4, seed=1)
        and samples[2:] != sample_images(shelf, 4, seed=2)[2:]
    )


def test_the_shipped_decoder_draws_what_is_less_unlike_its_training_images_than_the_prior_s(
    tmp_path,
):
    predictors = load_predictors(Workspace.open(tmp_path), ["vae-resnet18-64"])
    predictor, rng = predictors["vae-resnet18-64"], np.random.default_rng(0)
    known = predictor.bundle.reference
    far = [
        np.median(
            outlier.distance(
                known.space,
                predictor.features_and_logits((predictor.draw(z) * 255).astype(np.uint8))[0],
            )
        )
        for z in (
            known.draw_latents(32, rng),
            rng.standard_normal((32, predictor.card.decoder.latent_dim), np.float32),
        )
    ]
    assert far[0] < 0.8 * far[1]
