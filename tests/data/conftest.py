"""A dataset of noise that several tests of the store share."""

from __future__ import annotations

import pytest

from tests.builders import save_files, write_noise


@pytest.fixture
def dataset(workspace, tmp_path):
    """150 images of two classes, each its own group, whose files lie outside the workspace."""
    paths = write_noise(tmp_path / "images", 150, 24, 28)
    return save_files(workspace, "set", paths, ["a", "b"] * 75)
