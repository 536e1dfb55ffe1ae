"""How often test images have been looked at: counted for each image, over folds, splits and studies.

`test_looks.json` beside a dataset names the images that every run has tested; runs that test the same
images share one list. Earlier versions counted runs by split: what these tested is read from their
predictions, and where those are gone, the run is counted without its images.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError
from ..files import private_folder, read_json, write_json
from ..locks import hold
from ..records import from_json, optional, to_json
from ..workspace import Workspace

SCHEMA = 2  # of test_looks.json


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often other runs of this workspace had tested the same images before.

    Args:
        mean, max: over the images.
        unplaced: earlier runs of which it is not known which images they tested.
    """

    mean: float
    max: int
    unplaced: int = optional(0)


@dataclass(frozen=True, kw_only=True)
class LookRecord:
    """What test_looks.json holds.

    Args:
        runs: {run id: name of its list of images}, in the order of their looks.
        images: {name: image ids}.
        unplaced: ids of runs whose images are not known.
    """

    schema: int = SCHEMA
    runs: dict[str, str] = field(default_factory=dict)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unplaced: tuple[str, ...] = ()

    def with_look(self, run_id: str, image_ids: Sequence[str]) -> LookRecord:
        """The record with one more run."""
        ids = tuple(sorted(image_ids))
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        return replace(self, runs={**self.runs, run_id: name}, images={**self.images, name: ids})

    def before(self, run_id: str, image_ids: np.ndarray, own: set[str]) -> Looks:
        """Looks at images (n,) by runs earlier than `run_id`, but for those in `own`."""
        listed = list(self.runs)
        earlier = listed[: listed.index(run_id)] if run_id in self.runs else listed
        lists = Counter(self.runs[run] for run in earlier if run not in own)
        ids, counts = pd.Index(image_ids), np.zeros(len(image_ids), np.int64)
        for name, runs in lists.items():
            counts += runs * ids.isin(self.images[name])
        unplaced = len(set(self.unplaced) - own - {run_id})
        return Looks(mean=float(counts.mean()), max=int(counts.max()), unplaced=unplaced)


def count_looks(
    workspace: Workspace,
    dataset: str,
    run_id: str,
    image_ids: np.ndarray,
    fold_runs: np.ndarray | None = None,
) -> Looks:
    """Note that a run tests images of a dataset; returns how often others had tested them before.

    A resumed run is one look. A comparison that joins folds is none at an image that the image's own
    fold has tested already.

    Args:
        workspace: with the dataset and the runs.
        dataset: its name.
        run_id: of the run that tests.
        image_ids: (n,) of the tested images.
        fold_runs: (n,) id of the run that tested each image, where `run_id` joins folds.

    Raises:
        DataError: the count cannot be read.
    """
    path = workspace.dataset(dataset).test_looks
    private_folder(path.parent)
    with hold(path.with_suffix(".lock"), patience=math.inf):
        record = _read(workspace, dataset)
        own = set() if fold_runs is None else set(fold_runs.tolist())
        looks = record.before(run_id, image_ids, own)
        if run_id not in record.runs:
            counted = np.zeros(len(image_ids), bool)
            if fold_runs is not None:
                counted = pd.Index(fold_runs).isin([*record.runs, *record.unplaced])
            record = record.with_look(run_id, image_ids[~counted].tolist())
            write_json(path, to_json(record))
    return looks


def _read(workspace: Workspace, dataset: str) -> LookRecord:
    path = workspace.dataset(dataset).test_looks
    try:
        body = read_json(path)
        if "schema" in body:
            return from_json(LookRecord, body, error=DataError)
    except FileNotFoundError:
        return LookRecord()
    except (ValueError, DataError) as error:
        raise DataError(
            f"{path} cannot be read ({error}), so that earlier looks at the test images would be "
            "forgotten; restore it, or delete it to count from now on."
        ) from error
    return _of_earlier_version(workspace, body)


def _of_earlier_version(workspace: Workspace, body: dict[str, list[str]]) -> LookRecord:
    """The record of {split fingerprint: run ids}."""
    record, unplaced = LookRecord(), []
    runs = dict.fromkeys(run for listed in body.values() for run in listed)
    for run_id in runs:
        folds = _config(workspace, run_id).get("fold_runs") or []
        if folds and set(folds) <= set(runs):
            continue  # joins what its folds have tested
        try:
            table = pd.read_parquet(
                workspace.run(run_id).predictions, columns=["image_id", "split"]
            )
        except (OSError, ValueError):
            unplaced.append(run_id)
            continue
        tested = table["image_id"][table["split"] == "test"].unique()
        record = record.with_look(run_id, tested.tolist())
    return replace(record, unplaced=tuple(unplaced))


def _config(workspace: Workspace, run_id: str) -> dict[str, Any]:
    try:
        config: dict[str, Any] = read_json(workspace.run(run_id).config)
    except (OSError, ValueError):
        return {}
    return config
