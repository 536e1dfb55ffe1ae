"""Sample images are generated, labelled so, and the same for the same seed."""

from __future__ import annotations

import io

from PIL import Image

from derm_core.serve.bundle import save_bundle
from derm_core.serve.samples import sample_images


def test_samples_are_labelled_generated_and_follow_the_seed(shelf):
    samples = sample_images(shelf, 3, seed=1)
    assert samples == sample_images(shelf, 3, seed=1) and samples != sample_images(shelf, 3, seed=2)
    assert len(samples) == 3 and len({name for name, _, _ in samples}) == 3
    assert all(label.startswith("Generated") and data.startswith(b"\x89PNG") for _, data, label in samples)


def test_half_of_the_samples_are_drawn_from_a_shipped_decoder(shelf, classifier, decoder, card):
    extra = {f"decoder.{key}": value for key, value in decoder.state_dict().items()}
    save_bundle(shelf.models / "small", classifier,
                {**card, "decoder": {"latent_dim": 4, "size": 32, "width": 16}}, extra)
    samples = sample_images(shelf, 4, seed=1)
    drawn = [row for row in samples if "small" in row[2]]
    assert len(drawn) == 2 and Image.open(io.BytesIO(drawn[0][1])).size == (32, 32)
    assert samples == sample_images(shelf, 4, seed=1) and samples[2:] != sample_images(shelf, 4, seed=2)[2:]
