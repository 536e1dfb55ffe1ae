"""What study.json says of its data, its split, and the protocol that was fixed before the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..config.shared import UsedMarks
from ..data.official_split import OfficialSplit
from ..records import optional


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The dataset that was compared on: numbers of images, classes and groups.

    Args:
        groups_known: whether a patient or lesion is known of any image.
        group_kinds: patient, lesion or image → how many of its images are grouped by it.
        license, citation: of the dataset, where they are known.
        enlarged: share of the images whose shorter side is below the input size, 0 to 1.
        source_size: median width and height of the images before resizing, in pixels.
        source: name of the folder or file that was imported.
        known_as: name of the public data set that it is.
        patients, lesions: how many are known.
        unlabelled: images of those used that have no label.
        excluded: {reason: files that the import left out}.
        attributes: {name: images of those used that have a value}.
        marks: marks of its images that were used: exclusions and changed labels.

    What earlier versions did not record is None.
    """

    name: str
    images: int
    classes: int
    groups: int
    fingerprint: str
    groups_known: bool | None = optional()
    group_kinds: dict[str, int] | None = optional()
    license: str | None = optional()
    citation: str | None = optional()
    enlarged: float | None = optional()
    source_size: tuple[int, ...] | None = optional()
    source: str | None = optional()
    known_as: str | None = optional()
    patients: int | None = optional()
    lesions: int | None = optional()
    unlabelled: int | None = optional()
    excluded: dict[str, int] | None = optional()
    attributes: dict[str, int] | None = optional()
    marks: UsedMarks | None = optional()


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Images and groups of each part.

    Args:
        looked_before: earlier runs on the very same split, of results of earlier versions; `looks`
            of the result counts them for each image.
        folds: number of folds; 0 for a single split.
        name: of an evaluation, "unseen" or "all".
        official: what has to be known of the dataset's official split, where it was used.
    """

    fingerprint: str = optional("")
    counts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    looked_before: int = optional(0)
    folds: int = optional(0)
    name: str | None = optional()
    official: OfficialSplit | None = optional()


@dataclass(frozen=True, kw_only=True)
class FixedProtocol:
    """What a study fixed before it read a test image; see protocol_record.

    Args:
        sha256: of the content's canonical JSON.
        created: seconds since 1970; in folds that of the first.
        content: arms, tests, margins, grid, split and every other setting, as JSON values.
    """

    sha256: str
    created: float
    content: dict[str, Any] = field(default_factory=dict)
