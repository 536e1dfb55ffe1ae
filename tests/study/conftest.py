"""Fixtures of the study's tests: the dataset `tiny`, and one thread."""

from __future__ import annotations

import pytest
import torch

from tests.builders import write_dataset


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks here are so small that a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(workspace):
    """The dataset `tiny` of the test's workspace."""
    return write_dataset(workspace)
