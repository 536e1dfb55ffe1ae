"""Net benefit of calling a class at a threshold probability: decision curves.

Vickers and Elkin 2006, "Decision curve analysis", Medical Decision Making 26. At a threshold t the
harm of one needless treatment is set to t/(1 − t) of the benefit of one that was needed: net benefit
= TP/n − FP/n · t/(1 − t). Treating nobody has a net benefit of 0.
"""

from __future__ import annotations

import numpy as np

THRESHOLDS = np.arange(1, 51) / 100


def net_benefit_values(
    positive: np.ndarray, scores: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> np.ndarray:
    """What each image adds to the net benefit (S, n, K); the net benefit is its mean over images.

    Args:
        positive: (n,) bool, whether an image is of the class.
        scores: (S, n) probabilities of the class; an image is treated where its probability is at
            least the threshold.
        thresholds: (K,), above 0 and below 1.
    """
    treated = np.asarray(scores)[:, :, None] >= thresholds
    return treated * treat_all_values(positive, thresholds)


def treat_all_values(positive: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """The same (1, n, K) where every image is treated."""
    harm = thresholds / (1 - thresholds)
    return np.where(np.asarray(positive, bool)[:, None], 1.0, -harm)[None]
