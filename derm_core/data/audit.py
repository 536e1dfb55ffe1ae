"""What a dataset and its split hold, counted: classes, attributes, groups, and which groups cross."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .cautions import cautions, groups_known, known_group_kinds
from .manifest import Dataset
from .splits import SPLITS

MAX_CATEGORIES = 20  # more distinct texts than this are summed up as "(other)"
BINS = 6  # of a numeric attribute with more distinct values than that
MISSING = "(missing)"
OTHER = "(other)"
NAMED = 20  # leaks that are named; all are counted


@dataclass(frozen=True)
class SplitContents:
    """Counts of one split; classes, class_groups: images and groups by class name."""

    images: int
    groups: int
    classes: dict[str, int]
    class_groups: dict[str, int]


@dataclass(frozen=True)
class Crossing:
    """The names of the first NAMED groups in more than one split, and of images of equal content."""

    groups: tuple[str, ...]
    image_ids: tuple[str, ...]


@dataclass(frozen=True)
class GroupSize:
    """Images in a group."""

    mean: float
    largest: int


@dataclass(frozen=True)
class AttributeValue:
    """How many images have a value of an attribute, and their share of all and of each split."""

    value: str
    images: int
    share: float
    train: float
    val: float
    test: float


@dataclass(frozen=True)
class Audit:
    """Everything to know of a dataset and its split before trusting a study on them.

    Attributes:
        classes, missing: images by name of the class, and without a value by name of the column.
        groups_across_splits, duplicate_images_across_splits: 0 in a sound split. Both are counted
            from the manifest, not taken from how the split was made. Where no patient and no lesion
            is known, groups_across_splits is None; `crossing` still names groups that cross, such as
            those of copies.
        groups_known: whether a patient or lesion is known of any image.
        images_without_group: without a known patient or lesion; None where an import of an earlier
            version did not count them.
        cautions: sentences on what limits the dataset.
        group_sizes: groups by their number of images.
    """

    name: str
    images: int
    groups: int
    classes: dict[str, int]
    unlabelled: int
    splits: dict[str, SplitContents]
    groups_across_splits: int | None
    groups_known: bool
    images_without_group: int | None
    duplicate_images_across_splits: int
    cautions: tuple[str, ...]
    crossing: Crossing
    duplicate_images: int
    groups_with_several_classes: int
    group_sizes: dict[str, int]
    images_per_group: GroupSize
    missing: dict[str, int]
    attributes: dict[str, tuple[AttributeValue, ...]]


def audit(dataset: Dataset, split: np.ndarray) -> Audit:
    """Count what a dataset and its split hold.

    Args:
        dataset: N images.
        split: (N,) indices into SPLITS.
    """
    split = np.asarray(split)
    if split.shape != (len(dataset),) or not np.isin(split, range(len(SPLITS))).all():
        raise ValueError(
            f"split has shape {split.shape}; a value from 0 to 2 for each image is needed ({len(dataset)})"
        )
    frame = dataset.frame
    labels = frame["label"].where(frame["label"].notna(), None)
    sizes = frame["group"].value_counts()
    groups, contents = (crossing(frame[column], split) for column in ("group", "sha256"))
    twice = frame["image_id"][frame["sha256"].isin(contents)]
    kinds = known_group_kinds(dataset)
    known, counted = groups_known(kinds), bool(dataset.info.group_kinds)
    limits = cautions(labels.tolist(), frame["group"], frame["sha256"], kinds)
    return Audit(
        name=dataset.name,
        images=len(frame),
        groups=len(sizes),
        classes=_counts(labels, dataset.classes),
        unlabelled=int(labels.isna().sum()),
        splits={
            name: _describe(frame[split == i], dataset.classes) for i, name in enumerate(SPLITS)
        },
        groups_across_splits=len(groups) if known else None,
        groups_known=known,
        images_without_group=kinds.get("image", 0) if counted or not known else None,
        duplicate_images_across_splits=len(contents),
        cautions=tuple(limits),
        crossing=Crossing(tuple(map(str, groups[:NAMED])), tuple(map(str, twice[:NAMED]))),
        duplicate_images=int(frame["sha256"].duplicated().sum()),
        groups_with_several_classes=int((labels.groupby(frame["group"]).nunique() > 1).sum()),
        group_sizes={str(k): int(n) for k, n in sizes.value_counts().sort_index().items()},
        images_per_group=GroupSize(float(sizes.mean()), int(sizes.max())),
        missing={
            name: int(_is_missing(frame[name]).sum()) for name in ["label", *dataset.attributes]
        },
        attributes={name: _attribute_values(frame[name], split) for name in dataset.attributes},
    )


def crossing(keys: pd.Series, split: np.ndarray) -> pd.Index:
    """The distinct keys (groups, or contents) in more than one split."""
    splits = pd.Series(split, index=keys.index).groupby(keys).nunique()
    return splits.index[splits > 1]


def _describe(rows: pd.DataFrame, classes: tuple[str, ...]) -> SplitContents:
    groups = rows.drop_duplicates(["group", "label"])
    images_of, groups_of = (_counts(part["label"], classes) for part in (rows, groups))
    return SplitContents(len(rows), int(rows["group"].nunique()), images_of, groups_of)


def _counts(labels: pd.Series, classes: tuple[str, ...]) -> dict[str, int]:
    counts = labels.value_counts()
    return {name: int(counts.get(name, 0)) for name in classes}


def _attribute_values(values: pd.Series, split: np.ndarray) -> tuple[AttributeValue, ...]:
    """The values of one attribute; numbers with many values are binned, missing ones have a row."""
    categories, order = categorise(values)
    codes = pd.Categorical(categories, categories=order).codes
    members = [split == i for i in range(len(SPLITS))]
    rows = []
    for code, value in enumerate(order):
        has_value = codes == code
        shares = [float(has_value[member].sum() / max(int(member.sum()), 1)) for member in members]
        rows.append(AttributeValue(value, int(has_value.sum()), float(has_value.mean()), *shares))
    return tuple(rows)


def categorise(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """An attribute as texts, and the texts in the order to list them in (missing last)."""
    missing = _is_missing(values)
    numbers = pd.to_numeric(values[~missing], errors="coerce")
    is_number = (
        len(numbers) > 0 and np.isfinite(numbers).all() and not pd.api.types.is_bool_dtype(values)
    )
    if is_number and numbers.nunique() > BINS:
        texts, order = _binned(numbers)
    elif is_number:
        texts = numbers.map("{:.10g}".format)
        order = [f"{value:.10g}" for value in sorted(numbers.unique())]
    else:
        texts, order = _common(values[~missing].astype(str))
    result = pd.Series(MISSING, index=values.index, dtype=object)
    result[~missing] = texts
    return result, order + [MISSING] * bool(missing.any())


def _common(texts: pd.Series) -> tuple[pd.Series, list[str]]:
    counts = texts.value_counts().reset_index()
    counts.columns = ["value", "images"]
    ranked = counts.sort_values(["images", "value"], ascending=[False, True])["value"].tolist()
    if len(ranked) <= MAX_CATEGORIES:
        return texts, ranked
    common = ranked[:MAX_CATEGORIES]
    return texts.where(texts.isin(common), OTHER), [*common, OTHER]


def _binned(numbers: pd.Series) -> tuple[pd.Series, list[str]]:
    """Numbers in about BINS intervals of equal, round width, named "low to high" (high excluded)."""
    low, high = float(numbers.min()), float(numbers.max())
    width = _round_width((high - low) / BINS)
    index = np.floor(numbers.astype(float) / width + 1e-9).astype(int)
    names = {
        i: f"{i * width:.10g} to {(i + 1) * width:.10g}"
        for i in range(index.min(), index.max() + 1)
    }
    return index.map(names), list(names.values())


def _round_width(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9)))


def _is_missing(values: pd.Series) -> pd.Series:
    return values.isna() | values.astype(str).str.strip().str.lower().isin(["", "nan", "none"])
