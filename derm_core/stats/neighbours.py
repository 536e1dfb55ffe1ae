"""Nearest neighbours and principal axes of a feature space, and how well a flat map keeps its neighbours.

Apart from `feature_space`, which needs no scikit-learn and opens quickly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from ..seeds import stream_seed
from .approximate_neighbours import Neighbours, approximate_neighbours
from .feature_space import TRUST_SAMPLE

APPROXIMATE_FROM = 20_000  # rows; the time of an exact search grows with their square


def principal_axes(space_nd: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """(n, 2) coordinates on the first two principal axes and the share of variance on each."""
    solver = "full" if min(space_nd.shape) < 500 else "covariance_eigh"
    pca = PCA(2, svd_solver=solver)
    points = pca.fit_transform(space_nd).astype(np.float32)
    return points, [float(share) for share in pca.explained_variance_ratio_]


def is_approximate(rows: int) -> bool:
    """Whether neighbours among so many rows are those of an approximate index."""
    return rows >= APPROXIMATE_FROM


def nearest(space_nd: np.ndarray, count: int, seed: int = 0) -> Neighbours:
    """Positions (n, count) of the nearest others, nearest first, and their Euclidean distances.

    Exact below APPROXIMATE_FROM rows.

    Args:
        space_nd: (n, D).
        count: of neighbours of each row, fewer than n.
        seed: of the approximate index.

    Raises:
        RunError: the process of the approximate index ended early.
    """
    return nearest_in_each([space_nd], count, seed)[0]


def nearest_in_each(spaces: Sequence[np.ndarray], count: int, seed: int = 0) -> list[Neighbours]:
    """`nearest` in several spaces of the same rows."""
    if not spaces or not is_approximate(len(spaces[0])):
        return [exact_neighbours(space_nd, count) for space_nd in spaces]
    return list(approximate_neighbours(spaces, count, seed))


def exact_neighbours(space_nd: np.ndarray, count: int) -> Neighbours:
    """`nearest` by all distances."""
    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(space_nd)
    distances, positions = neighbours.kneighbors()
    return positions, distances.astype(np.float32)


def trust(space_nd: np.ndarray, map_n2: np.ndarray, seed: int) -> float:
    """Trustworthiness (Venna and Kaski 2001; 1: neighbours on the map are neighbours in the space), from a sample.

    As scikit-learn's, which sorts all distances where only the ranks of the map's neighbours are
    needed.
    """
    rng = np.random.default_rng(stream_seed(seed, "trust"))
    rows = np.sort(rng.permutation(len(space_nd))[:TRUST_SAMPLE])
    n, k = len(rows), min(10, (len(rows) - 1) // 2)
    near_nk = NearestNeighbors(n_neighbors=k).fit(map_n2[rows]).kneighbors(return_distance=False)
    far_nn = euclidean_distances(space_nd[rows], squared=True)
    np.fill_diagonal(far_nn, np.inf)
    neighbour_nk = np.take_along_axis(far_nn, near_nk, 1)
    rank_nk = np.stack([(far_nn < neighbour_nk[:, [j]]).sum(1) for j in range(k)], 1) + 1
    return float(1 - 2 * np.maximum(rank_nk - k, 0).sum() / (n * k * (2 * n - 3 * k - 1)))


def neighbourhood_preservation(positions_nk: np.ndarray, map_n2: np.ndarray) -> float:
    """Mean share (0 to 1) of an image's nearest k in feature space (n, k) that are among its nearest k on the map."""
    n, k = positions_nk.shape
    tree = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(map_n2)
    drawn = tree.kneighbors(return_distance=False)
    offset = np.arange(n)[:, None] * n  # an image and its neighbour as one number
    return float(np.isin(positions_nk + offset, drawn + offset).mean())


def silhouette(space_nd: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    """Mean silhouette (Rousseeuw 1987) of the classes over labelled images, -1 to 1; None with fewer than two classes.

    From a random 2,000 images, each against all labelled ones: without bias, and at 100,000 images
    still seconds.
    """
    known = np.flatnonzero(labels >= 0)
    classes, codes = np.unique(labels[known], return_inverse=True)
    if len(classes) < 2:
        return None
    rng = np.random.default_rng(stream_seed(seed, "silhouette"))
    sample = np.sort(rng.permutation(len(known))[:TRUST_SAMPLE])
    sizes, member = np.bincount(codes), np.eye(len(classes), dtype=np.float32)[codes]
    scores = []
    chunks = max(1, len(sample) * len(known) // 2**22)  # of 16 MB of distances
    for rows in np.array_split(sample, chunks):
        own = np.arange(len(rows)), codes[rows]
        sums = (euclidean_distances(space_nd[known[rows]], space_nd[known]) @ member).astype(
            np.float64
        )
        within = sums[own] / np.maximum(sizes[codes[rows]] - 1, 1)
        means = sums / sizes
        means[own] = np.inf
        other = means.min(1)
        score = (other - within) / np.maximum(np.maximum(other, within), 1e-12)
        scores.append(np.where(sizes[codes[rows]] > 1, score, 0))
    return float(np.concatenate(scores).mean())
