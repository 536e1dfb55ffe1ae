"""A tiny labelled dataset on disk: images whose colour depends on the class, one to two per group."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from derm_core.data.manifest import save_dataset

COLOURS = np.array([[200, 120, 90], [90, 60, 50], [150, 90, 140]])
CLASSES = ("amber", "brown", "violet")


def write_dataset(workspace, name="tiny", images=90, size=32, seed=0):
    """Save `images` noisy PNG files of three classes as dataset `name`."""
    rng = np.random.default_rng(seed)
    folder = workspace.dataset(name).images
    folder.mkdir(parents=True)
    rows = []
    for i in range(images):
        label = (i // 2) % 3
        pixels = COLOURS[label] + rng.normal(0, 35, (size, size, 3)) + rng.normal(0, 25, (1, 1, 3))
        path = folder / f"i{i:03d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        rows.append(
            {
                "image_id": path.stem,
                "path": str(path),
                "label": CLASSES[label],
                "group": f"g{i // 2}",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "width": size,
                "height": size,
            }
        )
    info = {
        "layout": "synthetic",
        "source": "test",
        "classes": list(CLASSES),
        "created": "2026-01-01T00:00:00",
        "skipped": [],
        "seconds": 0.0,
        "notes": [],
    }
    return save_dataset(workspace, name, pd.DataFrame(rows), info)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks here are so small that a second thread costs more than it brings."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(workspace):
    """The dataset `tiny` of the test's workspace."""
    return write_dataset(workspace)
