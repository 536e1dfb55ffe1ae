"""MedMNIST .npz files: arrays of images and labels become PNG files in the dataset's own folder."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError
from ..files import private_file, read_json, write_json
from .decode_all import Progress
from .facts import ListedImage
from .import_options import ImportSource
from .known_datasets import array_of, notes_on
from .listing import Listing

SPLITS = ("train", "val", "test")
MAX_ARRAY_BYTES = 16 * 2**30
# A larger array that shrinks to less than 1/200 holds no photographs.
FREE_BYTES, MAX_RATIO = 2**28, 200
DERMAMNIST = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
REPORT_EVERY = 200


def list_images(array: Path, folder: Path) -> Listing:
    """The images of an .npz file under the paths that `unpack` writes them to.

    The file's own split becomes the attribute `official_split`. Raises DataError.
    """
    labels = _labels(array)
    classes = _class_names(array, labels)
    listed = [
        ListedImage(
            f"{split}-{i:06d}",
            str(folder / f"{split}-{i:06d}.png"),
            classes[label],
            {"official_split": split},
        )
        for split, values in labels.items()
        for i, label in enumerate(values)
    ]
    present = {image.label for image in listed}
    known = array_of(array.name) if classes == list(DERMAMNIST) else None
    source = ImportSource(
        layout="medmnist",
        table=array.name,
        label_column="labels",
        split_column="split",
        known_as=known.name if known else None,
    )
    classes = [name for name in classes if name in present]
    return Listing(listed, classes, notes=notes_on(known) if known else [], source=source)


def unpack(array: Path, folder: Path, progress: Progress | None) -> tuple[Listing, Progress | None]:
    """Write the images of an .npz file into `folder` as PNG files.

    Images that an interrupted import has already written stay. Nothing pickled is ever loaded.

    Returns:
        The listing, and the progress of the decoding that follows, which is the second half of the
        work.

    Raises:
        DataError: the file is damaged, or no MedMNIST file.
    """
    listing = list_images(array, folder)
    total = len(listing.images)
    version = {"bytes": array.stat().st_size, "changed": array.stat().st_mtime_ns}
    if not _is_version(folder, version):
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / "source.json", version)
    counts = Counter(image.known("official_split") or "" for image in listing.images)
    pixels, split_of_pixels, first = np.empty(0), "", 0
    for i, image in enumerate(listing.images):
        split, path = image.known("official_split") or "", Path(image.path)
        if split != split_of_pixels:
            split_of_pixels, first, pixels = split, i, np.empty(0)
        if not path.exists():
            pixels = pixels if len(pixels) else _images(array, split, counts[split])
            _write_png(path, pixels[i - first])
        if progress and (i + 1) % REPORT_EVERY == 0:
            progress(i + 1, 2 * total)
    if progress is None:
        return listing, None
    return listing, lambda done, count: progress(total + done, total + count)


def _is_version(folder: Path, version: dict[str, int]) -> bool:
    """Whether `folder` holds the images of this version of the file."""
    try:
        return bool(read_json(folder / "source.json") == version)
    except (OSError, ValueError):
        return False


def _write_png(path: Path, pixels: np.ndarray) -> None:
    temporary = path.with_suffix(".part")
    Image.fromarray(pixels).save(private_file(temporary), format="PNG", compress_level=1)
    os.replace(temporary, path)


def _open_array(array: Path, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(array) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > MAX_ARRAY_BYTES:
                raise DataError(
                    f"{array.name}: {name} is larger than {MAX_ARRAY_BYTES // 2**30} GB."
                )
            if member.file_size > max(FREE_BYTES, MAX_RATIO * member.compress_size):
                raise DataError(
                    f"{array.name}: {name} unpacks to more than {MAX_RATIO} times its size; these are no images."
                )
        with np.load(array, allow_pickle=False) as arrays:
            values = arrays[name]
        if not isinstance(values, np.ndarray):  # numpy returns bytes where there is no header
            raise ValueError("it is no array")
        return values
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise almost anything over a damaged file
        raise DataError(
            f"{array.name} is not a MedMNIST file: {name} cannot be read ({str(error)[:200]})."
        ) from error


def _labels(array: Path) -> dict[str, np.ndarray]:
    """(N,) integer labels for each split that the file holds."""
    try:
        with zipfile.ZipFile(array) as archive:
            present = set(archive.namelist())
    except Exception as error:  # zipfile raises almost anything over a damaged directory
        raise DataError(f"{array.name} is not an .npz file ({str(error)[:200]}).") from error
    splits = [
        split for split in SPLITS if {f"{split}_images.npy", f"{split}_labels.npy"} <= present
    ]
    if not splits:
        raise DataError(
            f"{array.name} is not a MedMNIST file: it lacks train_images and train_labels."
        )
    labels = {}
    for split in splits:
        values = _open_array(array, f"{split}_labels")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1 or values.dtype.kind not in "iu" or (len(values) and values.min() < 0):
            raise DataError(
                f"{array.name}: {split}_labels has shape {values.shape} and type {values.dtype}; "
                "one class number per image is expected."
            )
        labels[split] = values.astype(np.int64)
    return labels


def _images(array: Path, split: str, count: int) -> np.ndarray:
    images = _open_array(array, f"{split}_images")
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (grey or colour) or len(images) != count:
        raise DataError(
            f"{array.name}: {split}_images has shape {images.shape} and type {images.dtype}; "
            f"{count} two-dimensional uint8 images, grey or RGB, are expected."
        )
    return images


def _class_names(array: Path, labels: dict[str, np.ndarray]) -> list[str]:
    count = 1 + max((int(values.max()) for values in labels.values() if len(values)), default=-1)
    if array.name.lower().startswith("dermamnist") and count <= len(DERMAMNIST):
        return list(DERMAMNIST)
    if count > 1000:
        raise DataError(
            f"{array.name} has class numbers up to {count - 1}; at most 1000 classes are allowed."
        )
    return [f"class-{number}" for number in range(count)]
