"""Parts of a map: which images a filter leaves, which are looked for, what is inside a selection, a sample of many.

Points are a map's table (map.parquet); opinions is map.json's list [{"slot": "a", "name": …, "arm": …}].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from ..seeds import stream_seed

COORDINATES = ("umap_x", "umap_y", "pca_x", "pca_y")
MANY_VALUES = 12  # a number with more values than this is a scale, with fewer a category
Filters = Mapping[str, "tuple[float, float] | Sequence[str]"]


def is_scale(values: pd.Series) -> bool:
    """Whether a column is a measure (a range to choose) and not a category (values to choose)."""
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return number and values.nunique() > MANY_VALUES


def categories(values: pd.Series) -> pd.Series:
    """A column as words: booleans are "yes" and "no", whole numbers lose their ".0", what is missing is "unknown"."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        text = values.map(lambda value: f"{value:g}", na_action="ignore")
    else:
        text = values.astype(object).map(
            lambda value: {True: "yes", False: "no"}.get(value, str(value)), na_action="ignore"
        )
    return text.astype(object).where(values.notna(), "unknown")


def narrow(points: pd.DataFrame, filters: Filters) -> np.ndarray:
    """bool (n,): the images inside all filters. A range (low, high) holds both ends and no missing values.

    Columns that the map does not have are passed over, so that a link made for one map opens another.
    """
    kept = np.ones(len(points), bool)
    for column, wanted in filters.items():
        if column not in points:
            continue
        if isinstance(wanted, tuple):
            kept &= pd.to_numeric(points[column], errors="coerce").between(*wanted).to_numpy()
        else:
            kept &= categories(points[column]).isin(list(wanted)).to_numpy()
    return kept


def write_filters(filters: Filters) -> str:
    """Filters as a part of an address: "label:mel,nv;confidence_a:0.5..1"."""

    def told(wanted) -> str:
        if isinstance(wanted, tuple):
            return f"{wanted[0]:.6g}..{wanted[1]:.6g}"
        return ",".join(quote(value, safe="").replace(".", "%2E") for value in wanted)

    return ";".join(
        f"{quote(column, safe='')}:{told(wanted)}"
        for column, wanted in filters.items()
        if len(wanted)
    )


def read_filters(text: str) -> dict[str, tuple[float, float] | list[str]]:
    """The filters that `write_filters` wrote; what cannot be read is left out.

    >>> read_filters("label:mel,nv;age:40..60;nonsense")
    {'label': ['mel', 'nv'], 'age': (40.0, 60.0)}
    """
    found: dict[str, tuple[float, float] | list[str]] = {}
    for part in filter(None, text.split(";")):
        column, _, wanted = part.partition(":")
        low, dots, high = wanted.partition("..")
        try:
            if column and wanted:
                values = (
                    (float(low), float(high))
                    if dots
                    else [unquote(value) for value in wanted.split(",")]
                )
                found[unquote(column)] = values
        except ValueError:
            continue
    return found


def find(points: pd.DataFrame, text: str, most: int = 200) -> list[int]:
    """Manifest rows of the image with the id `text`, else of those whose id holds it (letters of either case)."""
    wanted = text.strip().lower()
    ids = points["image_id"].astype(str).str.lower()
    exact = points.loc[ids == wanted, "row"]
    found = (
        exact
        if len(exact)
        else points.loc[ids.str.contains(wanted, regex=False), "row"]
        if wanted
        else exact
    )
    return [int(row) for row in found[:most]]


def sample(points: pd.DataFrame, most: int, seed: int = 0) -> pd.DataFrame:
    """`most` points, every class in proportion (largest remainders) and with at least one image; all where there are no
    more. With more classes than `most`, one image a class."""
    if len(points) <= most:
        return points
    rng = np.random.default_rng(stream_seed(seed, "points shown"))
    labels = points["label"].astype(object).where(points["label"].notna(), "").to_numpy()
    _, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    wanted = most * counts / len(points)
    quota = np.maximum(np.floor(wanted).astype(int), 1)
    quota[np.argsort(-(wanted - quota), kind="stable")[: max(most - quota.sum(), 0)]] += 1
    quota[quota.argmax()] -= min(
        max(quota.sum() - most, 0), quota.max() - 1
    )  # what the one of a rare class took
    chosen = [
        rng.permutation(np.flatnonzero(codes == code))[:count] for code, count in enumerate(quota)
    ]
    return points.iloc[np.sort(np.concatenate(chosen))]


def class_mix(points: pd.DataFrame, rows: Sequence[int]) -> pd.DataFrame:
    """Classes inside a selection, the commonest first: label, images, share, share_of_map, ratio of the two shares."""
    labels = points["label"].astype(object).where(points["label"].notna(), "no label")
    inside = labels[points["row"].isin(list(rows))].value_counts()
    everywhere = labels.value_counts()[inside.index] / max(len(points), 1)
    share = inside / max(int(inside.sum()), 1)
    return pd.DataFrame(
        {
            "label": inside.index,
            "images": inside.to_numpy(),
            "share": share.to_numpy(),
            "share_of_map": everywhere.to_numpy(),
            "ratio": (share / everywhere).to_numpy(),
        }
    )


def accuracies(
    points: pd.DataFrame, rows: Sequence[int], opinions: Sequence[Mapping]
) -> list[dict]:
    """How right each model is inside a selection, and on the whole map, by whether it may have seen the images.

    For each opinion: name, arm, and for "unseen" (validation and test images) and "train": images, accuracy inside
    (None without labelled images) and overall, the accuracy on all images of the map in that part.
    """
    inside = points["row"].isin(list(rows)).to_numpy()
    parts = {
        "unseen": (points["split"] != "train").to_numpy(),
        "train": (points["split"] == "train").to_numpy(),
    }
    return [
        {
            "name": opinion["name"],
            "arm": opinion["arm"],
            **{
                part: _accuracy(points[f"correct_{opinion['slot']}"], inside, member)
                for part, member in parts.items()
            },
        }
        for opinion in opinions
        if f"correct_{opinion['slot']}" in points
    ]


def _accuracy(correct: pd.Series, inside: np.ndarray, member: np.ndarray) -> dict:
    known = member & correct.notna().to_numpy()
    right = correct.where(correct.notna(), False).astype(bool).to_numpy()
    count = int((known & inside).sum())
    return {
        "images": count,
        "accuracy": float(right[known & inside].mean()) if count else None,
        "overall": float(right[known].mean()) if known.any() else None,
    }
