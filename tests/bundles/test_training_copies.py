"""A picture that was turned and photographed again is recognised where the training images are on this machine."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from derm_core.bundles.prediction import ArmPrediction, Neighbour
from derm_core.bundles.training_copies import COMPARED, have_pictures, pictured_copy
from derm_core.data.synth.generator import generate
from tests.builders import save_images
from tests.bundles.cards import make_card

CARDS = {"own": make_card(training_data={"dataset": "moles"})}
NAMED = make_card(training_data={"dataset": "moles"}, reference={"ids": True})
ELSEWHERE = make_card(training_data={"dataset": "elsewhere"}, reference={"ids": True})


@pytest.fixture
def moles(workspace):
    """(workspace, images): a dataset of four synthetic lesions."""
    images = [image for image, _, _ in generate(12, 160, 3)][::3]
    save_images(workspace, "moles", images, ["nv"] * len(images))
    return workspace, images


def arms(*ids: str | None) -> dict[str, ArmPrediction]:
    near = tuple(Neighbour(name, "nv", 0.5 + i) for i, name in enumerate(ids))
    return {"own": ArmPrediction("nv", None, {"nv": 1.0}, None, None, None, near)}


def seen(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((COMPARED, COMPARED), Image.Resampling.BICUBIC))


def test_a_turned_and_darker_copy_is_named_and_another_lesion_is_not(moles):
    workspace, images = moles
    copy = (np.rot90(images[2]) * 0.85).astype(np.uint8)
    duplicate = pictured_copy(workspace, CARDS, arms("i000", "i002", "i001"), seen(copy))
    assert (
        duplicate.image_id == "i002"
        and duplicate.name == "own"
        and duplicate.distance == 1.5
        and duplicate.correlation > 0.3
    )
    assert pictured_copy(workspace, CARDS, arms("i000", "i001", "i003"), seen(copy)) is None


def test_without_the_pictures_nothing_is_said(moles):
    workspace, images = moles
    assert have_pictures(workspace, {"own": NAMED}) and not have_pictures(workspace, CARDS)
    assert not have_pictures(workspace, {"own": ELSEWHERE, "old": make_card()})
    assert (
        pictured_copy(
            workspace,
            {"own": ELSEWHERE},
            arms("i002"),
            seen(images[2]),
        )
        is None
    )
    assert (
        pictured_copy(
            workspace, {"own": make_card(training_data={})}, arms("i002"), seen(images[2])
        )
        is None
    )
    assert pictured_copy(workspace, CARDS, arms(None, "gone"), seen(images[2])) is None
    (workspace.dataset("moles").images / "i002.png").unlink()
    assert pictured_copy(workspace, CARDS, arms("i002"), seen(images[2])) is None
