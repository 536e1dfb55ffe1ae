"""The uint8 store: a dataset's images in one form as a memory-mapped array, rows as in the manifest.

Derived and rebuildable. Its fingerprint ties it to the manifest, the size and the preprocessing.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.shared import ImageForm
from ..errors import DataError
from ..files import private_file, private_folder, read_json, storage_errors, write_json
from ..locks import hold
from ..workspace import Workspace
from .decode import PREPROCESSING_VERSION
from .decode_all import DecodedImages, Progress, decode_images, source_key
from .manifest import Dataset

IMAGES, CARD = "images.npy", "store.json"
COPY_ROWS = 1024


@dataclass(frozen=True)
class Store:
    """images: (N, size, size, 3) uint8, memory-mapped read-only; fingerprint: of manifest, size, preprocessing."""

    size: int
    images: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        return len(self.images)


def store_fingerprint(dataset: Dataset, size: int, interpolation: str = "bicubic") -> str:
    """The fingerprint that a store of `dataset` at `size` must have to be used."""
    key = f"{dataset.fingerprint} {ImageForm(size, interpolation)} {PREPROCESSING_VERSION}"
    return hashlib.sha256(key.encode()).hexdigest()


def _current(dataset: Dataset, size: int, interpolation: str) -> Store | None:
    fingerprint = store_fingerprint(dataset, size, interpolation)
    for folder in dataset.paths.ready_stores(size, interpolation):
        try:
            if read_json(folder / CARD)["fingerprint"] != fingerprint:
                continue
            images = np.load(folder / IMAGES, mmap_mode="r")
        except (OSError, ValueError, KeyError):
            continue
        if images.dtype == np.uint8 and images.shape == (len(dataset), size, size, 3):
            with contextlib.suppress(OSError):  # of another user
                os.utime(folder / CARD)  # decoded images are removed by when they were last used
            return Store(size, images, fingerprint)
    return None


def open_store(
    workspace: Workspace,
    dataset: Dataset,
    size: int,
    interpolation: str = "bicubic",
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """The store of `dataset` at `size` pixels, built first where it is missing or outdated.

    Interrupted, a repeated call goes on from there.

    Args:
        workspace: with the dataset.
        dataset: the images.
        size: side of the square images in pixels, 8 to 2048.
        interpolation: filter that resizes them, see `ImageForm`.
        processes: by default one per core.
        progress: called with (done, total) images.

    Raises:
        DataError: an image was moved or changed since the import.
    """
    if store := _current(dataset, size, interpolation):
        return store
    if not 8 <= size <= 2048:
        raise DataError(f"A store of {size} px cannot be built; allowed are 8 to 2048 pixels.")
    stores, form = dataset.paths.stores, ImageForm(size, interpolation)
    with storage_errors(stores):
        private_folder(stores)
    with hold(stores / f"{form}.lock", patience=math.inf):
        if store := _current(dataset, size, interpolation):
            return store
        paths = dataset.frame["path"].tolist()
        key = store_fingerprint(dataset, size, interpolation) + source_key(paths, [size])
        decoded = decode_images(
            stores / f"{form}-staging",
            paths,
            [size],
            key=hashlib.sha256(key.encode()).hexdigest(),
            processes=processes,
            progress=progress,
            interpolation=interpolation,
        )
        _check_unchanged(dataset, decoded)
        write_store(dataset, size, decoded, interpolation)
        decoded.discard()
    store = _current(dataset, size, interpolation)
    if store is None:
        raise DataError(
            f"The store of dataset {dataset.name} at {size} px could not be written; check the disk."
        )
    return store


def _check_unchanged(dataset: Dataset, decoded: DecodedImages) -> None:
    for path, expected, file in zip(
        dataset.frame["path"], dataset.frame["sha256"], decoded.files, strict=True
    ):
        if file.sha256 != expected:
            decoded.discard()
            raise DataError(
                f"Dataset {dataset.name}: {path} is no longer what was imported "
                f"({file.reason or 'its content changed'}) Import the dataset again."
            )


def write_store(
    dataset: Dataset, size: int, decoded: DecodedImages, interpolation: str = "bicubic"
) -> None:
    """Turn a decoded array into the dataset's store; rows of unreadable files are left out."""
    folder = dataset.paths.store(size, interpolation)
    shutil.rmtree(folder, ignore_errors=True)
    private_folder(folder)
    if decoded.readable.all():
        os.replace(decoded.arrays[size], folder / IMAGES)
    else:
        _copy_rows(decoded.arrays[size], folder / IMAGES, np.flatnonzero(decoded.readable))
    fingerprint = store_fingerprint(dataset, size, interpolation)
    card = {"fingerprint": fingerprint, "size": size, "images": len(dataset)}
    write_json(folder / CARD, {**card, "preprocessing": PREPROCESSING_VERSION})


def _copy_rows(source: Path, target: Path, rows: np.ndarray) -> None:
    """Write some rows of an array file; not through a memory map, since on a full disk that is a SIGBUS."""
    old = np.load(source, mmap_mode="r")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *old.shape[1:])}
    with storage_errors(target), open(private_file(target), "wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for start in range(0, len(rows), COPY_ROWS):
            handle.write(old[rows[start : start + COPY_ROWS]].data)
