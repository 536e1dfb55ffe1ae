"""Parts of a map: filters, search, the contents of a selection, a sample of many points.

Points are a map's table (map.parquet).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from ..seeds import stream_seed
from .saved_map import PredictionSlot

MANY_VALUES = 12  # a number with more values than this is a scale, with fewer a category
Filters = Mapping[str, "tuple[float, float] | Sequence[str]"]


def is_scale(values: pd.Series) -> bool:
    """Whether a column is a measure (filtered by a range) and not a category (filtered by values)."""
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return number and values.nunique() > MANY_VALUES


def categories(values: pd.Series) -> pd.Series:
    """A column as text: booleans are "yes" and "no", whole numbers lose their ".0", what is missing is "unknown"."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        text = values.map(lambda value: f"{value:g}", na_action="ignore")
    else:
        text = values.astype(object).map(
            lambda value: {True: "yes", False: "no"}.get(value, str(value)), na_action="ignore"
        )
    return text.astype(object).where(values.notna(), "unknown")


def narrow(points: pd.DataFrame, filters: Filters) -> np.ndarray:
    """bool (n,): the images inside all filters. A range (low, high) holds both ends and no missing values.

    Columns that the map does not have are passed over, so that a link made for one map opens
    another.
    """
    inside = np.ones(len(points), bool)
    for column, allowed in filters.items():
        if column not in points:
            continue
        if isinstance(allowed, tuple):
            inside &= pd.to_numeric(points[column], errors="coerce").between(*allowed).to_numpy()
        else:
            inside &= categories(points[column]).isin(list(allowed)).to_numpy()
    return inside


def write_filters(filters: Filters) -> str:
    """Filters as a part of an address: "label:mel,nv;confidence_a:0.5..1"."""

    def written(allowed: tuple[float, float] | Sequence[str]) -> str:
        if isinstance(allowed, tuple):
            return f"{allowed[0]:.6g}..{allowed[1]:.6g}"
        return ",".join(quote(value, safe="").replace(".", "%2E") for value in allowed)

    return ";".join(
        f"{quote(column, safe='')}:{written(allowed)}"
        for column, allowed in filters.items()
        if len(allowed)
    )


def read_filters(text: str) -> dict[str, tuple[float, float] | list[str]]:
    """The filters that `write_filters` wrote; what cannot be read is left out.

    >>> read_filters("label:mel,nv;age:40..60;nonsense")
    {'label': ['mel', 'nv'], 'age': (40.0, 60.0)}
    """
    filters: dict[str, tuple[float, float] | list[str]] = {}
    for part in text.split(";"):
        column, _, allowed = part.partition(":")
        low, dots, high = allowed.partition("..")
        if column and allowed and dots:
            with contextlib.suppress(ValueError):
                filters[unquote(column)] = (float(low), float(high))
        elif column and allowed:
            filters[unquote(column)] = [unquote(value) for value in allowed.split(",")]
    return filters


def find(points: pd.DataFrame, text: str, most: int = 200) -> list[int]:
    """Manifest rows of the image with the id `text`, else of those whose id holds it (letters of either case)."""
    query = text.strip().lower()
    ids = points["image_id"].astype(str).str.lower()
    matches = ids == query
    if query and not matches.any():
        matches = ids.str.contains(query, regex=False)
    return [int(row) for row in points.loc[matches, "row"][:most]]


def sample(points: pd.DataFrame, most: int, seed: int = 0) -> pd.DataFrame:
    """At most `most` points, every class in proportion (largest remainders) and with at least one image.

    With more classes than `most`, one image a class.
    """
    if len(points) <= most:
        return points
    rng = np.random.default_rng(stream_seed(seed, "points shown"))
    labels = points["label"].astype(object).where(points["label"].notna(), "").to_numpy()
    _, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    share = most * counts / len(points)
    quota = np.maximum(np.floor(share).astype(int), 1)
    quota[np.argsort(-(share - quota), kind="stable")[: max(most - quota.sum(), 0)]] += 1
    # The one image of a rare class is taken from the largest class.
    quota[quota.argmax()] -= min(max(quota.sum() - most, 0), quota.max() - 1)
    chosen = [
        rng.permutation(np.flatnonzero(codes == code))[:count] for code, count in enumerate(quota)
    ]
    return points.iloc[np.sort(np.concatenate(chosen))]


def class_mix(points: pd.DataFrame, rows: Sequence[int]) -> pd.DataFrame:
    """Classes inside a selection, the most frequent first: label, images, share, share_of_map, their ratio."""
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


DECISION_COLUMNS = {  # decision (formatting.DECISIONS): columns of its class and of whether it is right
    "most_probable": ("prediction", "correct"),
    "adjusted": ("adjusted", "adjusted_correct"),
}


@dataclass(frozen=True)
class PartAccuracy:
    """Accuracy on some images of a selection, and on all such images of the map; None without labels.

    Attributes:
        balanced: balanced accuracy on all such images of the map, over the classes that they have.
    """

    images: int
    accuracy: float | None
    overall: float | None
    balanced: float | None


@dataclass(frozen=True)
class ModelAccuracy:
    """Accuracy of one decision of a model inside a selection, on images it may have been trained on and on others.

    Attributes:
        name: of the model.
        decision: a key of DECISION_COLUMNS.
    """

    name: str
    decision: str
    unseen: PartAccuracy
    train: PartAccuracy


def accuracies(
    points: pd.DataFrame, rows: Sequence[int], models: Sequence[PredictionSlot]
) -> list[ModelAccuracy]:
    """Accuracy of each decision of each model that a map has predictions of.

    Args:
        points: the map's table.
        rows: manifest rows of the selection.
        models: the map's models.
    """
    inside = points["row"].isin(list(rows)).to_numpy()
    train = (points["split"] == "train").to_numpy()
    return [
        ModelAccuracy(
            model.name,
            decision,
            _accuracy(correct, points["label"], inside, ~train),
            _accuracy(correct, points["label"], inside, train),
        )
        for model in models
        for decision, (_, column) in DECISION_COLUMNS.items()
        if (correct := points.get(f"{column}_{model.slot}")) is not None
        and (decision == "most_probable" or correct.notna().any())
    ]


def _accuracy(
    correct: pd.Series, labels: pd.Series, inside: np.ndarray, member: np.ndarray
) -> PartAccuracy:
    known = member & correct.notna().to_numpy()
    right = correct.where(correct.notna(), False).astype(bool).to_numpy()
    count = int((known & inside).sum())
    return PartAccuracy(
        count,
        float(right[known & inside].mean()) if count else None,
        float(right[known].mean()) if known.any() else None,
        float(pd.Series(right[known]).groupby(labels[known].to_numpy()).mean().mean())
        if known.any()
        else None,
    )
