"""Pictures of a page: thumbnails are sent in 6 KB at most, whatever they show."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pages.ui import images

SIDE = images.THUMBNAIL
RNG = np.random.default_rng(0)
HARD = {
    "coloured noise": RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
    "black or white noise": np.repeat(
        RNG.integers(0, 2, (SIDE, SIDE, 1), dtype=np.uint8) * 255, 3, 2
    ),
    "full colours": RNG.integers(0, 2, (SIDE, SIDE, 3), dtype=np.uint8) * 255,
    "coarse noise": np.kron(
        RNG.integers(0, 2, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8) * 255,
        np.ones((4, 4, 1), np.uint8),
    ),
    "a checkerboard": np.repeat(
        (np.indices((SIDE, SIDE)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_a_thumbnail_is_sent_in_six_kilobytes_at_most(tmp_path, name):
    Image.fromarray(HARD[name]).save(tmp_path / "one.png")
    dataset = type(
        "Dataset",
        (),
        {"frame": pd.DataFrame({"path": [str(tmp_path / "one.png")], "sha256": [name]})},
    )
    assert len(images.data_url(images.thumbnail(dataset, 0))) <= 6_000


def test_an_easy_picture_keeps_its_quality():
    plain = Image.fromarray(np.full((SIDE, SIDE, 3), 200, np.uint8))
    assert images.small_webp(plain) == images.webp(plain)
