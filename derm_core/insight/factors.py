"""Which latent dimension follows which known factor of synthetic data: mutual information, binned and normalised."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

BINS = 20
PREFIX = "factor_"


def bins_of(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n,) codes: bins of about equally many numbers, or one per distinct value where there are few.

    Text, booleans and missing values are categories of their own.
    """
    series = pd.Series(values)
    if (
        series.nunique() <= bins
        or not pd.api.types.is_numeric_dtype(series)
        or pd.api.types.is_bool_dtype(series)
    ):
        return pd.factorize(series.astype("string").fillna("none"))[0]
    edges = np.unique(np.nanquantile(series.to_numpy(float), np.linspace(0, 1, bins + 1))[1:-1])
    return np.where(
        series.isna(), bins, np.searchsorted(edges, series.to_numpy(float), side="right")
    )


def information(a: np.ndarray, b: np.ndarray) -> float:
    """Mutual information of two codes (n,) over the entropy of `b`: 0 if independent, 1 if a determines b.

    As in the mutual information gap (Chen et al. 2018, arXiv 1802.04942), less what independent
    codes of these counts give on average to first order (Miller and Madow); 0 where b does not
    vary.
    """
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    of_a, of_b, both = (_entropy(counts) for counts in (joint.sum(1), joint.sum(0), joint.ravel()))
    if of_b <= 0:
        return 0.0
    filled = [(joint.sum(axis) > 0).sum() - 1 for axis in (1, 0)]
    bias = filled[0] * filled[1] / (2 * len(a))
    return float(np.clip((of_a + of_b - both - bias) / of_b, 0, 1))


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def factor_table(
    latents_nd: np.ndarray,
    factors: Mapping[str, np.ndarray],
    kl_d: np.ndarray,
    active_d: np.ndarray,
) -> pd.DataFrame:
    """One row per active latent and factor that varies.

    Args:
        latents_nd: latents of images.
        factors: (n,) values of the same images by name.
        kl_d: (D,) KL divergence of each dimension, nats.
        active_d: indices of the dimensions to look at.

    Returns:
        Columns latent (index), factor, information (0 to 1) and kl (nats).
    """
    codes = {name.removeprefix(PREFIX): bins_of(values) for name, values in factors.items()}
    rows = []
    for latent in active_d:
        own = bins_of(latents_nd[:, latent])
        rows += [
            (int(latent), name, information(own, code), float(kl_d[latent]))
            for name, code in codes.items()
            if code.max() > 0
        ]
    return pd.DataFrame(rows, columns=["latent", "factor", "information", "kl"])
