"""Standardised features, and classes by the vote of neighbours outside an image's own group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHOWN_NEIGHBOURS = 10
TRUST_SAMPLE = 2000
LEAST_STD = 1e-6


@dataclass(frozen=True)
class FeatureSpace:
    """Features of n images, and the nearest neighbours in them.

    Attributes:
        features: (n, D) standardised.
        positions, distances: (n, k) of the nearest, nearest first.
    """

    features: np.ndarray
    positions: np.ndarray
    distances: np.ndarray


def standardise(features_nd: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features less the mean, over the standard deviation, of the rows `reference` (bool); as for the heads.

    Features that do not vary there become 0.
    """
    mean, std = features_nd[reference].mean(0), features_nd[reference].std(0)
    scaled = (features_nd - mean) / np.maximum(std, LEAST_STD)
    return np.where(std > LEAST_STD, scaled, 0).astype(np.float32)


def search_depth(groups: np.ndarray, count: int) -> int:
    """How many neighbours to look up so that `count` lie outside an image's own group, mostly."""
    largest = int(np.unique(groups, return_counts=True)[1].max())
    return min(len(groups) - 1, count + min(largest - 1, 20))


def vote_outside_group(
    positions: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: int,
    count: int = SHOWN_NEIGHBOURS,
) -> np.ndarray:
    """(n,) class voted for by the nearest `count` labelled images of other groups, -1 where there is none.

    Views of the same lesion are no evidence of a class, so they have no vote; the nearer wins a
    tie.
    """
    eligible = (groups[positions] != groups[:, None]) & (labels[positions] >= 0)
    rank = eligible.cumsum(1) - 1
    eligible &= rank < count
    votes = np.zeros((len(labels), max(classes, 1)))
    image, place = np.nonzero(eligible)
    np.add.at(votes, (image, labels[positions[image, place]]), 1 + 1e-3 / (1 + rank[image, place]))
    return np.where(eligible.any(1), votes.argmax(1), -1)


def neighbour_accuracy(voted: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Accuracy and balanced accuracy of the neighbours' vote over the labelled images; None without any."""
    known = labels >= 0
    if not known.any():
        return {"knn_accuracy": None, "knn_balanced_accuracy": None}
    right = voted[known] == labels[known]
    recalls = [right[labels[known] == c].mean() for c in np.unique(labels[known])]
    return {"knn_accuracy": float(right.mean()), "knn_balanced_accuracy": float(np.mean(recalls))}
