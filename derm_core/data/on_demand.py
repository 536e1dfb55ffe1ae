"""Datasets by name, with the synthetic ones made on first need, and their pixels, decoded on first need."""

from __future__ import annotations

import re
from collections.abc import Generator

from ..background import Report, in_background
from ..events import Event, log
from ..workspace import Workspace
from .manifest import Dataset, load_dataset
from .store import Store, open_store
from .synth.generator import IMAGES, ensure_synth

SYNTHETIC = re.compile(r"^synth(?:-([1-9]\d{1,3}))?$")


def open_dataset(workspace: Workspace, name: str, progress: Report | None = None) -> Dataset:
    """`load_dataset`, but "synth" (2,000 images) and "synth-N" are painted first where they are missing.

    Painting takes about 20 seconds for 2,000 images on two cores. progress: called with (done, total).
    Raises NotFound and DataError.
    """
    if is_missing_synth(workspace, name):
        return ensure_synth(workspace, scale=synth_images(name) / IMAGES, progress=progress)
    return load_dataset(workspace, name)


def open_images(
    workspace: Workspace, name: str, size: int
) -> Generator[Event, None, tuple[Dataset, Store]]:
    """A dataset and its store at `size` pixels, for a run: `dataset, store = yield from open_images(…)`.

    What is missing is made first, with progress; the run can be stopped meanwhile, and what was decoded
    by then is kept. Raises NotFound and DataError.
    """
    if is_missing_synth(workspace, name):
        yield log("Making the synthetic dataset.")
    what = "Generating synthetic images" if is_missing_synth(workspace, name) else f"Reading {name}"
    dataset = yield from in_background(lambda report: open_dataset(workspace, name, report), what)
    store = yield from in_background(
        lambda report: open_store(workspace, dataset, size, progress=report),
        f"Decoding {name} at {size} pixels",
    )
    return dataset, store


def is_missing_synth(workspace: Workspace, name: str) -> bool:
    """Whether `open_dataset` would have to paint: for a caller that says so first."""
    return name not in workspace.dataset_names() and 60 <= synth_images(name) <= IMAGES


def synth_images(name: str) -> int:
    """How many images the synthetic dataset of that name holds; 0 for any other name."""
    found = SYNTHETIC.fullmatch(name)
    return 0 if found is None else int(found[1] or IMAGES)
