"""Measures of a feature space: neighbours, principal axes, and how well a flat map keeps them.

scikit-learn is imported where it is used: the pages read this module's constants and open without it.
"""

from __future__ import annotations

import numpy as np

from ..seeds import stream_seed

SHOWN_NEIGHBOURS = 10
TRUST_SAMPLE = 2000
LEAST_STD = 1e-6


def standardise(features_nd: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features less the mean, over the standard deviation, of the rows `reference` (bool); as for the heads.

    Features that do not vary there become 0.
    """
    mean, std = features_nd[reference].mean(0), features_nd[reference].std(0)
    scaled = (features_nd - mean) / np.maximum(std, LEAST_STD)
    return np.where(std > LEAST_STD, scaled, 0).astype(np.float32)


def principal_axes(space_nd: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """(n, 2) coordinates on the first two principal axes and the share of variance on each."""
    from sklearn.decomposition import PCA

    solver = "full" if min(space_nd.shape) < 500 else "covariance_eigh"
    pca = PCA(2, svd_solver=solver)
    points = pca.fit_transform(space_nd).astype(np.float32)
    return points, [float(share) for share in pca.explained_variance_ratio_]


def nearest(space_nd: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, count) of the nearest others, nearest first, and their Euclidean distances."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(space_nd)
    distances, positions = neighbours.kneighbors()
    return positions, distances.astype(np.float32)


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


def trust(space_nd: np.ndarray, map_n2: np.ndarray, seed: int) -> float:
    """Trustworthiness (Venna and Kaski 2001; 1: neighbours on the map are neighbours in the space), from a sample.

    As scikit-learn's, which sorts all distances where only the ranks of the map's neighbours are
    needed.
    """
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.neighbors import NearestNeighbors

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
    from sklearn.neighbors import NearestNeighbors

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
    from sklearn.metrics.pairwise import euclidean_distances

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
