"""The limit of decoded images: which go first, and which stay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from derm_core.data.decoded_space import RemovedImages, clean_decoded
from derm_core.data.manifest import load_dataset
from derm_core.data.on_demand import open_images
from derm_core.data.store import CARD, open_store
from derm_core.files import disk_bytes
from tests.builders import write_dataset

DAY = 24 * 3600


@pytest.fixture
def decoded(workspace):
    """Decodes "tiny" at some pixels, last used some days ago; returns the folder."""
    write_dataset(workspace, images=6)
    dataset = load_dataset(workspace, "tiny")

    def decode(size: int, days: float) -> Path:
        open_store(workspace, dataset, size, processes=1)
        folder = dataset.paths.store(size)
        os.utime(folder / CARD, (time.time() - days * DAY,) * 2)
        return folder

    return decode


def test_those_not_used_for_the_longest_go_first_and_are_decoded_again_when_needed(
    workspace, decoded
):
    old, middle, new = decoded(16, 9), decoded(24, 5), decoded(8, 3)
    left = disk_bytes(middle) + disk_bytes(new)
    assert clean_decoded(workspace, left + disk_bytes(old)) == []
    bytes_of_old = disk_bytes(old)
    assert clean_decoded(workspace, left) == [RemovedImages("tiny", "16", bytes_of_old)]
    assert not old.exists() and middle.exists() and new.exists()
    store = open_store(workspace, load_dataset(workspace, "tiny"), 16, processes=1)
    assert store.images.shape == (6, 16, 16, 3) and old.exists()


def test_those_in_use_stay_and_opening_them_is_a_use(workspace, decoded):
    folder = decoded(16, 9)
    open_store(workspace, load_dataset(workspace, "tiny"), 16)
    assert clean_decoded(workspace, 0) == [] and folder.exists()


def test_those_that_cannot_be_decoded_again_stay(workspace, decoded):
    folder = decoded(16, 9)
    path = Path(load_dataset(workspace, "tiny").frame["path"].iloc[3])
    moved = path.rename(path.with_suffix(".moved"))
    assert clean_decoded(workspace, 0) == [] and (folder / CARD).exists()
    moved.rename(path)
    load_dataset(workspace, "tiny").paths.manifest.write_bytes(b"damaged")
    assert clean_decoded(workspace, 0) == [] and (folder / CARD).exists()


def test_a_run_that_opens_images_brings_the_others_within_the_limit_and_says_so(
    workspace, decoded, monkeypatch
):
    old = decoded(16, 9)
    monkeypatch.setenv("DERM_IMAGES_GB", "0")
    steps, said = open_images(workspace, "tiny", 24), []
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            _, store = end.value
            break
        said += [event.value] if event.kind == "log" else []
    assert store.images.shape == (6, 24, 24, 3) and not old.exists()
    assert "of tiny at 16 pixels" in said[-1] and "DERM_IMAGES_GB" in said[-1]
