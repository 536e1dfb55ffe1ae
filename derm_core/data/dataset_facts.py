"""What is known of an imported dataset: its source, counts, native resolution, terms and attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..formatting import percent
from ..records import optional
from .cautions import groups_known, known_group_kinds
from .import_options import ImportSource
from .manifest import Dataset, Skipped
from .masks import MasksInfo, mask_info
from .official_split import COLUMN as OFFICIAL

COMMON_SIZES = 5  # that are named; the others are counted
INPUT_SIZES = (64, 128, 192, 224)  # of networks, for which images may have to be enlarged
STATED = ("confirmation", "site", "skin_type", "sex")  # attributes that a data statement names


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The size of images before ours are made from them; side: the shorter one, in pixels.

    Attributes:
        common: "width × height" → images, the COMMON_SIZES commonest first.
        others: images of other sizes.
        below: side of INPUT_SIZES → images whose shorter side is smaller.
    """

    smallest_side: int
    median_side: int
    largest_side: int
    common: dict[str, int]
    others: int
    below: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What is known of a dataset.

    Attributes:
        imported_from: the folder or file.
        created: seconds since 1970.
        source: what its tables and columns were taken for; source_recorded: whether the import
            recorded that. Earlier versions did not, and synthetic images have none.
        groups_known, group_kinds: see `cautions.known_group_kinds`.
        splits: images by part of the official split; empty where there is none.
        attributes: name → value → images, of those in STATED that any image has.
        masks: of the lesions; None without.
    """

    name: str
    imported_from: str
    created: float
    source: ImportSource
    source_recorded: bool
    images: int
    class_counts: dict[str, int]
    unlabelled: int
    groups: int
    groups_known: bool
    group_kinds: dict[str, int]
    splits: dict[str, int]
    resolution: Resolution
    attributes: dict[str, dict[str, int]]
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    license: str | None = optional()
    citation: str | None = optional()
    class_descriptions: dict[str, str] = field(default_factory=dict)
    masks: MasksInfo | None = optional()

    def taken(self) -> list[tuple[str, str]]:
        """What was taken for what, as (name, value), as far as it was recorded."""
        return self.source.described() if self.source_recorded else [("layout", self.source.layout)]


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """The facts about a dataset, counted from its manifest where it holds them."""
    info, frame = dataset.info, dataset.frame
    kinds = known_group_kinds(dataset)
    labels = Counter(frame["label"].dropna())
    return DatasetFacts(
        name=dataset.name,
        imported_from=info.source,
        created=info.created,
        source=info.imported or ImportSource(layout=info.layout),
        source_recorded=info.imported is not None,
        images=len(frame),
        class_counts={name: labels[name] for name in dataset.classes},
        unlabelled=int(frame["label"].isna().sum()),
        groups=int(frame["group"].nunique()),
        groups_known=groups_known(kinds),
        group_kinds=kinds,
        splits=_counts(frame, OFFICIAL),
        resolution=_resolution(frame),
        attributes={name: counts for name in STATED if (counts := _counts(frame, name))},
        notes=info.notes,
        skipped=info.skipped,
        license=info.license,
        citation=info.citation,
        class_descriptions=info.class_descriptions or {},
        masks=mask_info(dataset.paths),
    )


def short_sides(frame: pd.DataFrame) -> np.ndarray:
    """The shorter side of each image of a manifest, before ours are made of it, in pixels."""
    return np.asarray(frame[["width", "height"]].min(axis=1))


def listed_counts(counts: Mapping[str, int], names: Mapping[str, str] | None = None) -> str:
    """Values with their numbers of images: "face (103), not known (12)"; names: of values, in place of them."""
    names = names or {}
    return ", ".join(f"{names.get(value, value)} ({n:,})" for value, n in counts.items())


def describe_enlarged(share: float, size: int) -> str:
    """How many images were smaller than the input of a network; empty where none was.

    Args:
        share: of the images whose shorter side is below `size`, 0 to 1.
        size: side of the input in pixels.
    """
    if not share:
        return ""
    return (
        f"{percent(share)} of the images are smaller than {size} px (their shorter side) and were "
        "enlarged: they have no detail at that size."
    )


def _counts(frame: pd.DataFrame, column: str) -> dict[str, int]:
    """Images by value, the commonest first, images without a value under "" last; empty without values."""
    if column not in frame or not frame[column].notna().any():
        return {}
    counts = {str(value): int(n) for value, n in frame[column].value_counts().items()}
    missing = int(frame[column].isna().sum())
    return counts | ({"": missing} if missing else {})


def _resolution(frame: pd.DataFrame) -> Resolution:
    sides = short_sides(frame)
    sizes = Counter(zip(frame["width"].tolist(), frame["height"].tolist(), strict=True))
    common = sizes.most_common(COMMON_SIZES)
    return Resolution(
        smallest_side=int(sides.min()),
        median_side=int(np.median(sides)),
        largest_side=int(sides.max()),
        common={f"{width} × {height}": n for (width, height), n in common},
        others=len(frame) - sum(n for _, n in common),
        below={str(size): int((sides < size).sum()) for size in INPUT_SIZES},
    )
