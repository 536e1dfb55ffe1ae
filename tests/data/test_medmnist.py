"""MedMNIST files that are broken or mean harm are refused with a reason."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from derm_core.data import medmnist
from derm_core.errors import DataError


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return path


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "labels",
    [
        b"no array",
        b"",
        npy(np.zeros((2, 3), int)),
        npy(np.array([0.5, 1])),
        npy(np.array([-1, 0])),
        npy(np.array([0, 10**9])),
        npy(np.zeros(2, int))[:-3],
        b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 500,
    ],
)
def test_a_broken_npz_is_refused(labels, tmp_path):
    path = archive(
        tmp_path / "x.npz", train_images=npy(np.zeros((2, 4, 4), np.uint8)), train_labels=labels
    )
    with pytest.raises(DataError):
        medmnist.unpack(path, tmp_path / "images", None)


def test_an_array_that_shrinks_to_nothing_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "FREE_BYTES", 1000)
    path = archive(
        tmp_path / "x.npz",
        train_images=npy(np.zeros((2, 900, 900), np.uint8)),
        train_labels=npy(np.zeros(2, int)),
    )
    with pytest.raises(DataError, match="times its size"):
        medmnist.unpack(path, tmp_path / "images", None)
