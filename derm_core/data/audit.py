"""What a dataset and its split hold, counted: classes, attributes, groups, and that no group crosses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .manifest import Dataset
from .splits import SPLITS

MAX_CATEGORIES = 20  # more distinct texts than this are summed up as "(other)"
BINS = 6  # of a numeric attribute with more distinct values than that
MISSING = "(missing)"
OTHER = "(other)"
NAMED = 20  # leaks that are named; all are counted


def audit(dataset: Dataset, split: np.ndarray) -> dict:
    """Everything a reader asks of a dataset before trusting a study on it, as plain JSON values.

    split: (N,) indices into SPLITS. Keys: images, groups, classes, unlabelled; splits {train, val,
    test: {images, groups, classes {name: images}, class_groups {name: groups}}};
    groups_across_splits and duplicate_images_across_splits (0 in a sound split: both are counted
    anew from the manifest, not taken from how the split was made); crossing {groups, image_ids}: the
    names of the first NAMED groups that cross and of images with equal contents; duplicate_images;
    groups_with_several_classes; group_sizes {size: groups}; images_per_group {mean, largest};
    missing {column: images}; attributes {name: [{value, images, share, train, val, test}]}.
    """
    split = np.asarray(split)
    if split.shape != (len(dataset),) or not np.isin(split, range(len(SPLITS))).all():
        raise ValueError(
            f"split has shape {split.shape}; a value from 0 to 2 for each image is needed ({len(dataset)})"
        )
    frame = dataset.frame
    labels = frame["label"].where(frame["label"].notna(), None)
    sizes = frame["group"].value_counts()
    return {
        "name": dataset.name,
        "images": len(frame),
        "groups": len(sizes),
        "classes": _counts(labels, dataset.classes),
        "unlabelled": int(labels.isna().sum()),
        "splits": {
            name: _describe(frame[split == i], dataset.classes) for i, name in enumerate(SPLITS)
        },
        "groups_across_splits": _crossing(frame["group"], split),
        "duplicate_images_across_splits": _crossing(frame["sha256"], split),
        "crossing": _named(frame, split),
        "duplicate_images": int(frame["sha256"].duplicated().sum()),
        "groups_with_several_classes": int((labels.groupby(frame["group"]).nunique() > 1).sum()),
        "group_sizes": {
            str(size): int(count) for size, count in sizes.value_counts().sort_index().items()
        },
        "images_per_group": {"mean": float(sizes.mean()), "largest": int(sizes.max())},
        "missing": {
            name: int(_is_missing(frame[name]).sum()) for name in ["label", *dataset.attributes]
        },
        "attributes": {name: attribute_table(frame[name], split) for name in dataset.attributes},
    }


def _crossing(keys: pd.Series, split: np.ndarray) -> int:
    """How many distinct keys (groups, or contents) are found in more than one split."""
    return len(_across(keys, split))


def _across(keys: pd.Series, split: np.ndarray) -> pd.Index:
    splits = pd.Series(split, index=keys.index).groupby(keys).nunique()
    return splits.index[splits > 1]


def _named(frame: pd.DataFrame, split: np.ndarray) -> dict[str, list[str]]:
    twice = frame["sha256"].isin(_across(frame["sha256"], split))
    return {
        "groups": [str(name) for name in _across(frame["group"], split)[:NAMED]],
        "image_ids": [str(name) for name in frame["image_id"][twice][:NAMED]],
    }


def _describe(rows: pd.DataFrame, classes: tuple[str, ...]) -> dict:
    groups = rows.drop_duplicates(["group", "label"])
    return {
        "images": len(rows),
        "groups": int(rows["group"].nunique()),
        "classes": _counts(rows["label"], classes),
        "class_groups": _counts(groups["label"], classes),
    }


def _counts(labels: pd.Series, classes: tuple[str, ...]) -> dict[str, int]:
    found = labels.value_counts()
    return {name: int(found.get(name, 0)) for name in classes}


def attribute_table(values: pd.Series, split: np.ndarray) -> list[dict]:
    """Rows {value, images, share, train, val, test} of one attribute; the split columns are shares
    of that split's images. Numbers with many values are binned; missing values have a row of their own.
    """
    categories, order = categorise(values)
    codes = pd.Categorical(categories, categories=order).codes
    totals = [max(int((split == i).sum()), 1) for i in range(len(SPLITS))]
    rows = []
    for code, value in enumerate(order):
        here = codes == code
        rows.append(
            {
                "value": value,
                "images": int(here.sum()),
                "share": float(here.mean()),
                **{
                    name: float(here[split == i].sum() / totals[i]) for i, name in enumerate(SPLITS)
                },
            }
        )
    return rows


def categorise(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """An attribute as texts, and the texts in the order to show them (missing last)."""
    missing = _is_missing(values)
    numbers = pd.to_numeric(values[~missing], errors="coerce")
    is_number = (
        len(numbers) > 0 and np.isfinite(numbers).all() and not pd.api.types.is_bool_dtype(values)
    )
    if is_number and numbers.nunique() > BINS:
        texts, order = _binned(numbers)
    elif is_number:
        texts, order = (
            numbers.map("{:.10g}".format),
            [f"{value:.10g}" for value in sorted(numbers.unique())],
        )
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
    kept = ranked[:MAX_CATEGORIES]
    return texts.where(texts.isin(kept), OTHER), kept + [OTHER]


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
