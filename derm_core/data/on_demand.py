"""Datasets by name and their decoded images; what is missing is generated or decoded first."""

from __future__ import annotations

import re
from collections.abc import Generator

from .. import formatting
from ..background import Report, in_background
from ..events import Event, log
from ..space import decoded_limit
from ..workspace import Workspace
from .decoded_space import clean_decoded
from .manifest import Dataset, load_dataset
from .masks import mask_paths
from .store import Store, open_store
from .synth.dataset import IMAGES, make_synth

SYNTHETIC = re.compile(r"^synth(?:-([1-9]\d{1,3}))?$")


def open_dataset(workspace: Workspace, name: str, progress: Report | None = None) -> Dataset:
    """`load_dataset`, but "synth" (2,000 images) and "synth-N" are generated where they are missing.

    That takes about 20 seconds for 2,000 images on two cores.

    Args:
        workspace: with the datasets.
        name: of the dataset.
        progress: called with (done, total) images.

    Raises:
        NotFound, DataError: as `load_dataset` does.
    """
    if is_missing_synth(workspace, name):
        return make_synth(workspace, name, synth_images(name), progress=progress)
    return load_dataset(workspace, name)


def open_for_run(workspace: Workspace, name: str) -> Generator[Event, None, Dataset]:
    """`open_dataset` for a run: with progress, and the run can be stopped meanwhile.

    Raises:
        NotFound, DataError: as `load_dataset` does.
    """
    missing = is_missing_synth(workspace, name)
    if missing:
        yield log("Making the synthetic dataset.")
    what = "Generating synthetic images" if missing else f"Reading {name}"
    dataset = yield from in_background(lambda report: open_dataset(workspace, name, report), what)
    return dataset


def open_images(
    workspace: Workspace, name: str, size: int, interpolation: str = "bicubic"
) -> Generator[Event, None, tuple[Dataset, Store]]:
    """A dataset and its store, for a run.

        dataset, store = yield from open_images(workspace, name, size)

    What is missing is made first, with progress. The run can be stopped meanwhile; images that
    were decoded until then are not decoded again. Decoded images of others are brought within their limit.

    Args:
        workspace: with the datasets.
        name: of the dataset.
        size: side of the images in pixels.
        interpolation: filter that resizes them, see `ImageForm`.

    Raises:
        NotFound, DataError: as `load_dataset` does.
        ConfigError: the limit of decoded images is no number.
    """
    dataset = yield from open_for_run(workspace, name)
    store = yield from in_background(
        lambda report: open_store(workspace, dataset, size, interpolation, progress=report),
        f"Decoding {name} at {size} pixels",
    )
    for removed in clean_decoded(workspace, decoded_limit()):
        yield log(
            f"The decoded images of {removed.dataset} at {removed.form} pixels ({formatting.size(removed.bytes)}) "
            "were removed, as they were not used for the longest: the limit is "
            f"{formatting.size(decoded_limit())} (DERM_IMAGES_GB). They are decoded again when needed."
        )
    return dataset, store


def is_missing_synth(workspace: Workspace, name: str) -> bool:
    """Whether `open_dataset` would have to generate the dataset first."""
    return name not in workspace.dataset_names() and 60 <= synth_images(name) <= IMAGES


def will_have_masks(workspace: Workspace, name: str) -> bool:
    """Whether a dataset has lesion masks, or would be generated with them."""
    return is_missing_synth(workspace, name) or mask_paths(workspace.dataset(name)) is not None


def synth_images(name: str) -> int:
    """How many images the synthetic dataset of that name holds; 0 for any other name."""
    match = SYNTHETIC.fullmatch(name)
    return 0 if match is None else int(match[1] or IMAGES)
