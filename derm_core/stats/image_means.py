"""The mean of numbers that each image has, over a part of a test set, under all resamples at once.

Sensitivity, specificity, recall within a subgroup and net benefit are such means. What is computed
under the same resamples is paired over groups, seeds and folds.
"""

from __future__ import annotations

import numpy as np

from .paired import Estimate
from .resampling import Resamples


def image_means(
    resamples: Resamples,
    values_snk: np.ndarray,
    among: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> list[Estimate]:
    """Means over images of K numbers an image and seed.

    Args:
        resamples: of the test set's groups.
        values_snk: (S, n, K), or (S, n, 1) for one number over K parts of the images.
        among: (n,) or (n, K) bool, the images whose mean is taken; None: all.
        folds: (n,) the fold of each image of out-of-fold predictions.

    Returns:
        K estimates; NaN where no image weighs anything.
    """
    values = np.asarray(values_snk, np.float64)
    share = np.ones((values.shape[1], 1)) if among is None else np.asarray(among, np.float64)
    share = share[:, None] if share.ndim == 1 else share
    values, seeds = values * share, len(values)
    share = np.broadcast_to(share, values.shape[1:])
    design, count = resamples.design, values.shape[2]
    columns = values.transpose(1, 0, 2).reshape(len(share), -1)
    sums = (resamples.weights @ design.sums(columns)).reshape(-1, seeds, count)
    total = resamples.weights @ design.sums(share)

    def mean_over(images: np.ndarray) -> np.ndarray:
        return _ratio(values[:, images].sum(1), share[images].sum(0))

    whole = mean_over(np.ones(len(share), bool))
    under = _ratio(sums, total[:, None])
    each = [mean_over(folds == fold) for fold in np.unique(folds)] if folds is not None else []
    by_fold = np.stack(each) if each else None
    return [
        Estimate(
            whole[:, k], under[:, :, k], resamples, None if by_fold is None else by_fold[..., k]
        )
        for k in range(count)
    ]


def _ratio(sums: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, sums / weight, np.nan)
