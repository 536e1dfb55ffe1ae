"""A store whose images are gone, or whose disk is full: said by name, and nothing half made is taken for a store."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from derm_core import files
from derm_core.data.store import _copy_rows, build_store
from derm_core.errors import DataError, StorageError
from tests.data.test_store import dataset  # noqa: F401  (a fixture)


def test_an_image_that_vanished_since_the_import_is_named(workspace, dataset):  # noqa: F811
    gone = Path(dataset.frame["path"][70])
    gone.unlink()
    with pytest.raises(DataError, match=f"{gone.name} is no longer what was imported"):
        build_store(workspace, dataset, 16, processes=1)


@pytest.mark.parametrize("number, said", [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written")])
def test_a_store_that_could_not_be_written_is_finished_when_it_can(workspace, dataset, monkeypatch, number, said):  # noqa: F811
    def full(descriptor):
        raise OSError(number, os.strerror(number))
    with monkeypatch.context() as patch, pytest.raises(StorageError, match=said):
        patch.setattr(files.os, "fsync", full)
        build_store(workspace, dataset, 16, processes=1)
    assert build_store(workspace, dataset, 16, processes=1).images.shape == (150, 16, 16, 3)


def test_chosen_rows_are_copied_in_their_order(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "old.npy", pixels)
    _copy_rows(tmp_path / "old.npy", tmp_path / "new.npy", np.array([1, 4, 8]))
    assert np.array_equal(np.load(tmp_path / "new.npy", mmap_mode="r"), pixels[[1, 4, 8]])
