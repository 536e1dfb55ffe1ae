"""The small classifier and the workspace of its own library that tests of bundles use; pictures drawn once."""

from __future__ import annotations

import functools

import pytest

from derm_core.publish import statistics
from tests.bundles.conftest import card, classifier, decoder, shelf  # noqa: F401

draw_once = functools.cache(statistics.nonlesion_images)


@pytest.fixture(autouse=True)
def pictures_of_other_things(monkeypatch):
    """Every publication draws the same hundreds of pictures; here they are drawn once."""
    monkeypatch.setattr(statistics, "nonlesion_images", draw_once)
