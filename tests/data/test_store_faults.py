"""A store whose images are gone, or whose disk is full: the error names it, and no half store is left."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from derm_core import files
from derm_core.data import decode_all
from derm_core.data.decode import read_image
from derm_core.data.decode_all import DecodedFile, DecodedImages
from derm_core.data.store import open_store, write_store
from derm_core.errors import DataError, DermError, StorageError
from derm_core.workspace import Workspace
from tests.builders import save_files, write_noise
from tests.steps import fill_up


def test_an_image_that_vanished_since_the_import_is_named(workspace, dataset):
    gone = Path(dataset.frame["path"][70])
    gone.unlink()
    with pytest.raises(DataError, match=f"{gone.name} is no longer what was imported"):
        open_store(workspace, dataset, 16, processes=1)


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written")]
)
def test_a_store_that_could_not_be_written_is_finished_when_it_can(
    workspace, dataset, monkeypatch, number, message
):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(StorageError, match=message):
        patch.setattr(files.os, "fsync", full)
        open_store(workspace, dataset, 16, processes=1)
    assert open_store(workspace, dataset, 16, processes=1).images.shape == (150, 16, 16, 3)


class Full:
    """An open file on a disk without room for what is written to it."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.handle.close()

    def __getattr__(self, name):
        return getattr(self.handle, name)

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("mode", "fails_at", "done"),
    [("r+b", 2, 64), ("a", 1, 0)],
    ids=["pixels of the second chunk", "its record"],
)
def test_a_disk_that_fills_while_pixels_are_stored_leaves_no_store_and_says_what_to_do(
    workspace, dataset, monkeypatch, mode, fails_at, done
):
    opened, calls = [], []

    def limited(path, how="r", *given, **named):
        handle = open(path, how, *given, **named)  # noqa: SIM115
        opened.append(how)
        return Full(handle) if how == mode and opened.count(mode) >= fails_at else handle

    with monkeypatch.context() as patch, pytest.raises(DermError, match=r"[Mm]ake room"):
        patch.setattr(decode_all, "open", limited, raising=False)
        open_store(workspace, dataset, 16, processes=1)
    assert opened.count(mode) == fails_at and not dataset.paths.store(16).exists()
    store = open_store(
        workspace, dataset, 16, processes=1, progress=lambda *call: calls.append(call)
    )
    assert calls[0] == (done, 150)  # what was whole before it is not read again
    assert all(
        np.array_equal(store.images[row], read_image(Path(dataset.frame["path"][row]), 16))
        for row in range(150)
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_on_a_disk_that_is_really_full_a_store_is_given_up_and_finished_when_there_is_room(
    disk, tmp_path, processes
):
    room = disk("size=1m")
    workspace, filler = Workspace.open(room / "home"), room / "filler"
    paths = write_noise(tmp_path / "images", 150, 24, 28)
    known = save_files(workspace, "set", paths, ["a"] * 150)

    def fill(done: int, total: int) -> None:
        if not filler.exists():
            fill_up(filler)

    with pytest.raises(DermError, match=r"[Mm]ake room"):
        open_store(workspace, known, 32, processes=processes, progress=fill)
    assert not known.paths.store(32).exists()
    filler.unlink()
    store = open_store(workspace, known, 32, processes=processes)
    assert all(np.array_equal(store.images[row], read_image(paths[row], 32)) for row in range(150))


def test_rows_of_unreadable_files_are_left_out(workspace, tmp_path):
    paths = write_noise(tmp_path / "images", 3)
    dataset = save_files(workspace, "set", paths, ["a"] * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    files = [DecodedFile("hash" if i in (1, 4, 8) else None) for i in range(9)]
    write_store(dataset, 16, DecodedImages(tmp_path, files, {16: tmp_path / "pixels.npy"}))
    assert np.array_equal(open_store(workspace, dataset, 16).images, pixels[[1, 4, 8]])
