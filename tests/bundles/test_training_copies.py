"""A picture that was turned and photographed again is recognised where the training images are on this machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from derm_core.bundles.training_copies import COMPARED, have_pictures, pictured_copy
from derm_core.data.manifest import save_dataset
from derm_core.data.synth.generator import generate

CARDS = {"own": {"training_data": {"dataset": "moles"}}}


@pytest.fixture
def moles(workspace):
    """(workspace, images): a dataset of four painted lesions."""
    images = [image for image, _, _ in generate(12, 160, 3)][::3]
    folder = workspace.dataset("moles").images
    folder.mkdir(parents=True)
    rows = []
    for number, image in enumerate(images):
        path = folder / f"i{number}.png"
        Image.fromarray(image).save(path)
        rows.append(
            {
                "image_id": path.stem,
                "path": str(path),
                "label": "nv",
                "group": path.stem,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "width": 160,
                "height": 160,
            }
        )
    save_dataset(
        workspace,
        "moles",
        pd.DataFrame(rows),
        {
            "layout": "folders",
            "source": "test",
            "classes": ["nv"],
            "created": 0.0,
            "skipped": [],
            "seconds": 0.0,
            "notes": [],
        },
    )
    return workspace, images


def arms(*ids: str | None) -> dict:
    return {
        "own": {
            "neighbours": [
                {"image_id": name, "label": "nv", "distance": 0.5 + i} for i, name in enumerate(ids)
            ]
        }
    }


def seen(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((COMPARED, COMPARED), Image.Resampling.BICUBIC))


def test_a_turned_and_darker_copy_is_named_and_another_lesion_is_not(moles):
    workspace, images = moles
    copy = (np.rot90(images[2]) * 0.85).astype(np.uint8)
    found = pictured_copy(workspace, CARDS, arms("i0", "i2", "i1"), seen(copy))
    assert (
        found["image_id"] == "i2"
        and found["name"] == "own"
        and found["distance"] == 1.5
        and found["correlation"] > 0.3
    )
    assert pictured_copy(workspace, CARDS, arms("i0", "i1", "i3"), seen(copy)) is None


def test_without_the_pictures_nothing_is_said(moles):
    workspace, images = moles
    named = {"reference": {"ids": True}}
    assert have_pictures(workspace, {"own": {**CARDS["own"], **named}}) and not have_pictures(
        workspace, CARDS
    )
    assert not have_pictures(
        workspace, {"own": {**named, "training_data": {"dataset": "elsewhere"}}, "old": {}}
    )
    assert (
        pictured_copy(
            workspace,
            {"own": {"training_data": {"dataset": "elsewhere"}}},
            arms("i2"),
            seen(images[2]),
        )
        is None
    )
    assert (
        pictured_copy(workspace, {"own": {"training_data": {}}}, arms("i2"), seen(images[2]))
        is None
    )
    assert pictured_copy(workspace, CARDS, arms(None, "gone"), seen(images[2])) is None
    (workspace.dataset("moles").images / "i2.png").unlink()
    assert pictured_copy(workspace, CARDS, arms("i2"), seen(images[2])) is None
