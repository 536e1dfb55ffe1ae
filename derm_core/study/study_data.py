"""What every arm of a study shares: the dataset's rows, its split by patients, its pixels."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..config import StudyConfig
from ..config.shared import ImageForm
from ..data.manifest import Dataset
from ..data.official_split import OfficialSplit
from ..data.on_demand import open_images
from ..data.splits import SPLITS
from ..data.triage import as_priorities
from ..data.used_images import SplitRule, used_images
from ..data.used_marks import used_marks_file, with_new_labels
from ..errors import DataError, RunError
from ..events import Event
from ..files import read_json, write_atomic, write_json
from ..records import to_json
from ..workspace import RunFiles, Workspace


@dataclass(frozen=True)
class StudyData:
    """A dataset as one study uses it, with its split by patients (or lesions); one entry an image used.

    Args:
        store: the pixels at the study's input size; None where none are needed.
        rows: (n,) row numbers in manifest and store, ascending.
        labels: (n,) class index, -1 without a label.
        groups: (n,) codes of patients or lesions, which a split never parts.
        split: (n,) index into SPLITS.
        fingerprint: names the split, whatever marks leave out of it.
        official: what has to be known of the official split, where it is used.
        other_stores: {how they are decoded: the pixels} of arms that read another size.
    """

    dataset: Dataset
    store: Any
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    split: np.ndarray
    fingerprint: str
    official: OfficialSplit | None = None
    other_stores: Mapping[ImageForm, Any] = field(default_factory=dict)

    def store_at(self, form: ImageForm | None) -> Any:
        """The pixels as an extractor reads them; None: as the study's."""
        return self.other_stores[form] if form else self.store

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @property
    def task(self) -> dict[str, Any]:
        """The labels in study.json: {"kind": "classes"}, or {"kind": "priority", "map", "ours"}."""
        priorities = self.dataset.priorities
        return {"kind": "priority", **to_json(priorities)} if priorities else {"kind": "classes"}

    @property
    def image_ids(self) -> np.ndarray:
        return self.dataset.frame["image_id"].to_numpy()[self.rows]

    @property
    def all_rows(self) -> bool:
        """Whether the study uses the whole dataset."""
        return len(self.rows) == len(self.dataset)

    def members(self, name: str) -> np.ndarray:
        """Positions (into `rows`) of the labelled images of split `name`."""
        return np.flatnonzero((self.split == SPLITS.index(name)) & (self.labels >= 0))

    def labels_of(self, name: str) -> np.ndarray:
        """Class indices of the labelled images of a split."""
        return self.labels[self.members(name)]

    def groups_of(self, name: str) -> np.ndarray:
        """Group codes of the labelled images of a split."""
        return self.groups[self.members(name)]

    def counts(self) -> dict[str, int]:
        """Labelled images of each split."""
        return {name: len(self.members(name)) for name in SPLITS}

    def group_counts(self) -> dict[str, int]:
        """Groups with a labelled image in each split."""
        return {name: len(np.unique(self.groups_of(name))) for name in SPLITS}


def prepare(config, workspace: Workspace) -> Generator[Event, None, StudyData]:
    """`open_study_data` of images that heads can be trained and tested on.

    Raises:
        DataError: where a split has no labelled image or training fewer than two classes; otherwise what
            `open_study_data` raises.
    """
    data = yield from open_study_data(config, workspace)
    _check(data)
    return data


def open_study_data(config, workspace: Workspace) -> Generator[Event, None, StudyData]:
    """The dataset of a study or embedding, its stores and its split by patients.

    The synthetic dataset is made on first need. The split is that of the classes, also where labels
    are priorities or new ones of marks.

    Raises:
        NotFound: for an unknown dataset.
        ConfigError: where the labels are to be priorities and the dataset has none, or the split the
            official one and it has none.
    """
    dataset, store = yield from open_images(workspace, config.dataset, config.input_size)
    other_stores = {}
    for size in getattr(config, "other_sizes", ()):
        _, store_at_size = yield from open_images(workspace, config.dataset, size)
        other_stores[ImageForm(size)] = store_at_size
    rule = SplitRule.of(config)
    used = used_images(dataset, rule)
    rows, split, fingerprint = used.rows, used.split, used.fingerprint(dataset)
    groups = dataset.groups[rows]
    dataset = with_new_labels(dataset, rule.marks)
    if getattr(config, "labels", "classes") == "priority":
        dataset = as_priorities(dataset)
    labels = dataset.labels[rows]
    return StudyData(
        dataset, store, rows, labels, groups, split, fingerprint, used.official, other_stores
    )


def with_stores(
    data: StudyData, workspace: Workspace, forms: Iterable[ImageForm | None]
) -> Generator[Event, None, StudyData]:
    """The data with the pixels in each of these forms, decoded first where they are missing."""
    stores = dict(data.other_stores)
    for form in sorted({form for form in forms if form and form not in stores}):
        opened = open_images(workspace, data.dataset.name, form.size, form.interpolation)
        _, stores[form] = yield from opened
    return replace(data, other_stores=stores)


def record_marks(run: RunFiles, config: StudyConfig, dataset: Dataset) -> None:
    """Keep the marks that a study uses with its run. Raises DataError where they are gone."""
    if config.marks:
        write_atomic(run.marks, used_marks_file(dataset.paths, config.marks))


def record_task(run: RunFiles, data: StudyData) -> None:
    """Note with the run what its labels mean. Raises RunError where a resumed run would mix two meanings."""
    path = run.labels
    if path.exists() and read_json(path) != data.task:
        raise RunError(
            f"The priorities of {data.dataset.name} were changed since this study began: set them back with "
            "`data priority`, or start a new study."
        )
    write_json(path, data.task)


def _check(data: StudyData) -> None:
    for name in SPLITS:
        if not len(data.members(name)):
            raise DataError(
                f"Dataset {data.dataset.name!r} leaves no labelled image for {name}: "
                "use more images, or one with more labelled groups."
            )
    if len(np.unique(data.labels_of("train"))) < 2:
        raise DataError(
            f"The training split of {data.dataset.name!r} has images of one class only; "
            "a comparison needs two classes or more."
        )
