"""Clinical metadata as numbers: age, sex and site of each image, as a classifier reads them.

Age is standardised, sex and site are one-hot, as usual beside dermoscopic images (Gessert et al. 2020,
doi:10.1016/j.mex.2020.100864). What is missing is a category of its own: of sex and site one more
column, of age a column that marks it, with the mean in the place of the age. Mean, standard deviation
and categories are those of the training images; what none of them lacks has no such column, which
nothing could be learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import DataError
from ..formatting import count, listed
from .manifest import Dataset

FIELDS = ("age", "sex", "site")
MISSING = "missing"


@dataclass(frozen=True)
class EncodedMetadata:
    """The metadata of a dataset's images as features.

    Attributes:
        values_nd: (N, D) float32, one row for each image of the dataset.
        columns: (D,) what each feature is: "age", "age missing", "sex male", "site missing" …
        fields: those of FIELDS that the dataset has.
        missing: {field: images of the dataset that lack it}.
        unseen: {field: images with a value that no training image has}; they have 0 in all its columns, as
            those have that lack what no training image lacks.
    """

    values_nd: np.ndarray
    columns: tuple[str, ...]
    fields: tuple[str, ...]
    missing: Mapping[str, int]
    unseen: Mapping[str, int]

    def describe(self) -> str:
        """How the metadata became features, in one or two sentences."""
        categories = [name for name in self.fields if name != "age"]
        parts = []
        if "age" in self.fields:
            marked = f"age {MISSING}" in self.columns
            parts.append(
                "age standardised over the training images, where it is missing their mean"
            )
            parts[-1] += " and a feature that marks it" * marked
        if categories:
            parts.append(f"{listed(categories)} one-hot")
            own = [name for name in categories if f"{name} {MISSING}" in self.columns]
            if own:
                of = "" if own == categories else f" of {listed(own)}"
                parts[-1] += f", missing values{of} a category of their own"
        missing = ", ".join(
            f"{name} of {count(number, 'image')}" for name, number in self.missing.items() if number
        )
        text = f"{len(self.columns)} features: {'; '.join(parts)} (missing: {missing or 'none'})."
        if unseen := [f"{name} ({number:,})" for name, number in self.unseen.items() if number]:
            text += (
                f" Images with a value that no training image has count as none of the categories: "
                f"{', '.join(unseen)}."
            )
        late = [
            f"{name} ({self.missing[name]:,})"
            for name in self.fields
            if self.missing[name] and f"{name} {MISSING}" not in self.columns
        ]
        if late:
            text += (
                f" No training image lacks {', '.join(late)}: images that do have 0 in all its features, which for "
                "age is the mean."
            )
        return text


def known_fields(dataset: Dataset, rows: np.ndarray | None = None) -> tuple[str, ...]:
    """Those of FIELDS that at least one image has, of all or of some rows."""
    frame = dataset.frame if rows is None else dataset.frame.iloc[rows]
    return tuple(name for name in FIELDS if name in frame and _known(frame[name], name).any())


def require_metadata(dataset: Dataset, rows: np.ndarray | None = None) -> tuple[str, ...]:
    """`known_fields`. Raises DataError where there are none."""
    fields = known_fields(dataset, rows)
    if not fields:
        where = "its training images" if rows is not None else "its images"
        raise DataError(
            f"The dataset {dataset.name} has no age, sex or site of {where}, which the metadata arms need: import it "
            "again with a table that has such a column beside the image names (`derm data import`), or leave these "
            "arms out."
        )
    return fields


def encode_metadata(dataset: Dataset, train: np.ndarray) -> EncodedMetadata:
    """Age, sex and site of every image, as far as the dataset has them.

    Args:
        train: manifest rows of the training images, from which mean, standard deviation and categories
            come.

    Raises:
        DataError: no training image has any of the three.
    """
    fields = require_metadata(dataset, train)
    blocks: list[np.ndarray] = []
    columns: list[str] = []
    missing, unseen = {}, {}
    for name in fields:
        values, known = dataset.frame[name], _known(dataset.frame[name], name)
        missing[name] = int((~known).sum())
        if name == "age":
            block, names = _age(values, known, train)
        else:
            block, names, unseen[name] = _category(name, values, known, train)
        blocks.append(block)
        columns += names
    values_nd = np.concatenate(blocks, 1).astype(np.float32)
    return EncodedMetadata(values_nd, tuple(columns), fields, missing, unseen)


def _known(values: pd.Series, name: str) -> np.ndarray:
    """(N,) bool."""
    if name == "age":
        return np.isfinite(_numbers(values))
    known: np.ndarray = (
        values.notna().to_numpy() & (values.astype(str).str.strip() != "").to_numpy()
    )
    return known


def _numbers(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _age(values: pd.Series, known: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The standardised age, 0 where it is missing, and where training images lack it a mark of that."""
    age, of_train = _numbers(values), train[known[train]]
    mean, std = age[of_train].mean(), age[of_train].std()
    standardised = np.where(known, (age - mean) / (std if std > 0 else 1.0), 0.0)
    if known[train].all():
        return standardised[:, None], ["age"]
    return np.stack([standardised, ~known], 1), ["age", f"age {MISSING}"]


def _category(
    name: str, values: pd.Series, known: np.ndarray, train: np.ndarray
) -> tuple[np.ndarray, list[str], int]:
    """A column for each value of the training images, missing the last of them; images with another known value."""
    texts = np.where(known, values.astype(str).str.strip().str.casefold(), "")
    categories = sorted(set(texts[train]) - {""})
    categories += [""] * bool((~known[train]).any())
    block = texts[:, None] == np.array(categories, dtype=object)[None]
    names = [f"{name} {category or MISSING}" for category in categories]
    return block, names, int((known & ~block.any(1)).sum())
