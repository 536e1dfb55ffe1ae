"""A generator that repeats a training image is caught, one that draws new images is not."""

from __future__ import annotations

import numpy as np

from derm_core.data.synth.generator import generate
from derm_core.publish.memorisation import memorisation

IMAGES = np.stack([image for image, _, _ in generate(90, 64, 0)])


def test_copies_are_counted_and_new_images_are_not():
    training, new = IMAGES[:70], IMAGES[70:]
    blurred = (training[:5].astype(float) * 0.98 + 2) / 255
    found = memorisation(np.concatenate([blurred, new[:10] / 255]), training, new)
    assert found.copies == 5 and found.samples == 15 and found.ratio["least"] < 0.2
    assert memorisation(new[:10], training, new[10:]).copies == 0


def test_the_nearest_distance_is_a_loops():
    training, held_out = IMAGES[:20], IMAGES[20:24]
    small = [(x.astype(float) / 255).reshape(32, 2, 32, 2, 3).mean((1, 3)) for x in IMAGES[:24]]
    expected = [min(np.sqrt(np.mean((a - b) ** 2)) for b in small[:20]) for a in small[20:]]
    found = memorisation(held_out, training, held_out)
    assert np.isclose(found.nearest_rmse["least"], min(expected), rtol=1e-3)
    assert np.isclose(found.nearest_rmse["median"], np.median(expected), rtol=1e-3)
