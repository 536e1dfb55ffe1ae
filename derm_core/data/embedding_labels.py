"""Do vectors hold the labels that a study is to predict from them?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import DataError
from ..formatting import count

OPTION = "--allow-labels"  # of `derm data embeddings`
FEWEST = 3  # images of a class from which its value can be told from chance
NAMED = 5


def require_no_labels(
    where: str, vectors_nd: np.ndarray, labels_n: np.ndarray, names: Sequence[str]
) -> None:
    """Raise DataError where a feature says the label of every image, or vectors are as few as classes.

    Such a feature takes few values, and each class has one of them, or each of them one class: a column of
    labels, an indicator of a class, a diagnosis as a number.

    Args:
        where: the file's name.
        vectors_nd: (n, D), one an image.
        labels_n: (n,) of these images, −1 without one.
        names: (D,) of the features; empty where they have none.
    """
    labelled = labels_n >= 0
    vectors, labels = vectors_nd[labelled], labels_n[labelled]
    frequent = [label for label in np.unique(labels) if (labels == label).sum() >= FEWEST]
    in_frequent = np.isin(labels, frequent)
    vectors, labels, most = vectors[in_frequent], labels[in_frequent], 2 * len(frequent)
    if len(frequent) < 2 or len(labels) <= most:
        return
    meant = f"or bring the file with `derm data embeddings DATASET FILE {OPTION}` if that is meant."
    telling = [k for k in range(vectors.shape[1]) if _tells(vectors[:, k], labels, most)]
    if telling:
        called = [f"column {names[k]}" if names else f"number {k}" for k in telling[:NAMED]]
        more = ", …" if len(telling) > NAMED else ""
        raise DataError(
            f"{where}: the labels of the dataset decide {count(len(telling), 'feature')} ({', '.join(called)}{more}). "
            f"With labels as features every result is too good: leave them out of the file, {meant}"
        )
    if len(labels) >= 2 * most and len({row.tobytes() for row in vectors}) <= most:
        raise DataError(
            f"{where} has no more than {most} different vectors for {count(len(labels), 'image')}, as labels or "
            f"predictions have and an extractor has not: bring the vectors of the extractor, {meant}"
        )


def _tells(values: np.ndarray, labels: np.ndarray, most: int) -> bool:
    """Whether each class has one value of at most `most`, or each value one class."""
    if len(np.unique(values[: 8 * most])) > most:  # decides for nearly all features at once
        return False
    codes, different = pd.factorize(values)
    if not 2 <= len(different) <= most:
        return False
    pairs = len({*zip(codes.tolist(), labels.tolist(), strict=True)})
    return pairs in (len(different), len(np.unique(labels)))
