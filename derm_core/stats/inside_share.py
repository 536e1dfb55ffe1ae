"""How much of each saliency map lies inside a mask: what screens, studies and benchmarks count alike."""

from __future__ import annotations

import numpy as np


def inside_share(maps_nss: np.ndarray, masks_nss: np.ndarray) -> np.ndarray:
    """(n,) the share of each map's saliency inside its lesion mask; NaN for a map that is 0 everywhere.

    An even map has the mask's own area share: that is what to compare with.
    """
    if maps_nss.shape != masks_nss.shape:
        raise ValueError(f"maps {maps_nss.shape} and masks {masks_nss.shape} must have one shape")
    total = maps_nss.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(masks_nss.astype(bool), maps_nss, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(total), np.nan), where=total > 0)
