"""What differs between the folds of a comparison beyond the luck of their groups and of their seeds.

In every fold the VAE is pretrained anew and heads see another training set. The variance between folds of a metric,
divided by their number, estimates the whole variance of its mean; what groups and seeds do not account for is counted
as a component of its own with one degree of freedom less than there are folds. Folds share most of their training
images, so that this is still somewhat small (Bengio and Grandvalet 2004: no unbiased estimate exists).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .metrics import METRICS, decide, recall, test_metrics


def by_fold(
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    folds: np.ndarray,
    classes: int,
) -> dict[str, dict[str, np.ndarray]]:
    """{arm: {metric: (K, S), "recall": (K, S, C)}} of probabilities (S, N, C); log_prior (N, C); folds (N,)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for arm, p_snc in probabilities.items():
        parts = []
        for fold in np.unique(folds):
            here = folds == fold
            p = np.asarray(p_snc[:, here], np.float64)
            decisions = decide(np.log(np.maximum(p, 1e-300)), log_prior[here])
            found_here = {"recall": recall(labels[here], decisions, classes)}
            parts.append(test_metrics(labels[here], p, log_prior[here]) | found_here)
        found[arm] = {
            name: np.stack([part[name] for part in parts]) for name in (*METRICS, "recall")
        }
    return found


def between(
    values: np.ndarray, parts: Sequence[tuple[float, float]], by_seed: np.ndarray
) -> list[tuple[float, float]]:
    """The component of the folds' own differences, or none: values (K, S) of the folds, parts and by_seed (S,) as
    `stats.interval` takes them."""
    means = np.asarray(values, np.float64).mean(1)
    means = means[np.isfinite(means)]
    if len(means) < 2:
        return []
    known = sum(variance for variance, _ in parts) + (
        np.var(by_seed, ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0
    )
    rest = float(means.var(ddof=1) / len(means) - known)
    return [(rest, len(means) - 1.0)] if rest > 0 else []
