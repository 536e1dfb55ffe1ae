"""Random-effects meta-analysis of one difference over several data sets.

    pooled = random_effects([0.02, 0.05, -0.01], [0.02, 0.03, 0.02])

tau², the variance between sets, is estimated by REML (Viechtbauer 2005), the interval is that of
Hartung and Knapp (2001; Sidik and Jonkman 2002): Student's t with k − 1 degrees of freedom on the
weighted spread of the sets, which is never taken to be smaller than the sets' own errors allow
(Röver, Knapp and Friede 2015). The prediction interval is that of Higgins, Thompson and
Spiegelhalter (2009), for the true difference on another set like these.

With two or three sets tau² is hardly known, whatever the estimator: the t of one or two degrees of
freedom (12.7 and 4.3) makes the interval as wide as that deserves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from ..errors import DataError
from .intervals import LEVEL, Interval

LEAST_TO_PREDICT = 3  # sets, for a prediction interval


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A difference pooled over sets.

    Args:
        together: mean with its 95 % interval (Hartung–Knapp).
        p: of the mean against 0, two-sided.
        tau: standard deviation of the true difference between sets.
        i2: share of the observed variance that lies between sets, 0 to 1 (Higgins and Thompson 2002).
        q, q_p: Cochran's Q of the sets' agreement, and its p.
        prediction: (low, high) of 95 % for the true difference on a further set; None below three.
        weights: (k,) shares of the sets in the mean.
    """

    together: Interval
    p: float
    tau: float
    i2: float
    q: float
    q_p: float
    prediction: tuple[float, float] | None
    weights: tuple[float, ...]


def random_effects(means: Sequence[float], errors: Sequence[float]) -> Pooled:
    """Pool the means of independent sets.

    Args:
        means: (k,) of the difference, one a set; two or more.
        errors: (k,) their standard errors, above 0.

    Raises:
        DataError: there are fewer than two sets, or a standard error is not above 0.
    """
    y, variances = np.asarray(means, np.float64), np.asarray(errors, np.float64) ** 2
    k = len(y)
    if k < 2 or y.shape != variances.shape or not (variances > 0).all():
        raise DataError("Pooling takes two sets or more, each with a standard error above 0.")
    tau2 = _reml(y, variances)
    weights = 1 / (variances + tau2)
    mean = float(weights @ y / weights.sum())
    spread = max(float(weights @ (y - mean) ** 2) / (k - 1), 1.0)
    se = math.sqrt(spread / weights.sum())
    reach = float(special.stdtrit(k - 1, (1 + LEVEL) / 2)) * se
    fixed = 1 / variances
    q = float(fixed @ (y - fixed @ y / fixed.sum()) ** 2)
    typical = (k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum())
    prediction = None
    if k >= LEAST_TO_PREDICT:
        far = float(special.stdtrit(k - 2, (1 + LEVEL) / 2)) * math.sqrt(tau2 + se**2)
        prediction = (mean - far, mean + far)
    return Pooled(
        together=Interval(
            mean=mean,
            low=mean - reach,
            high=mean + reach,
            se=se,
            df=k - 1.0,
            method="hartung-knapp",
        ),
        p=float(2 * special.stdtr(k - 1, -abs(mean) / se)),
        tau=math.sqrt(tau2),
        i2=float(tau2 / (tau2 + typical)),
        q=q,
        q_p=float(special.chdtrc(k - 1, q)),
        prediction=prediction,
        weights=tuple((weights / weights.sum()).tolist()),
    )


def _reml(y: np.ndarray, variances: np.ndarray) -> float:
    """tau² where the restricted likelihood has its slope 0; 0 where it falls from there on."""

    def slope(tau2: float) -> float:
        weights = 1 / (variances + tau2)
        total = weights.sum()
        squares = (weights**2) @ (y - weights @ y / total) ** 2
        return float(squares - total + (weights**2).sum() / total)

    if slope(0.0) <= 0:
        return 0.0
    high = float(variances.max() + y.var(ddof=1))
    while slope(high) > 0:
        high *= 2
    return float(brentq(slope, 0.0, high, xtol=1e-14))
