"""Calibration slope and intercept of the probability of one class against the rest: logistic recalibration.

Cox 1958, "Two further applications of a model for binary regression", Biometrika 45. The slope b is
that of logit P(class) = a + b · logit(p): below 1 the probabilities are too extreme. The intercept
is a where b is held at 1 (calibration in the large): above 0 the class is commoner than the
probabilities say. Both are as in Van Calster et al. 2019, "Calibration: the Achilles heel of
predictive analytics", BMC Medicine 17; a calibrated model has slope 1 and intercept 0.

Groups are resampled across classes, not within them: how common the class is in a test set is part of
what an intercept estimates. Under each weighting one Newton step is taken from the estimate on the
full set (Moulton and Zeger 1991, "Bootstrapping generalized linear models").
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit, logit

from ..seeds import stream_seed
from .paired import Estimate
from .resampling import Resamples, bootstrap_weights, jackknife_weights, make_design

FLOOR = 1e-7  # probabilities are float32, whose softmax reaches exactly 0 and 1
ROUNDS, TOLERANCE, LONGEST_STEP = 100, 1e-9, 5.0


def fit_slope(positive: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(a, b) of the logistic regression of `positive` (n,) on `logits` (n,); NaN where it does not converge."""
    design = np.stack([np.ones_like(logits), logits], 1)
    return _newton(np.asarray(positive, np.float64), design, np.zeros(len(logits)))


def fit_intercept(positive: np.ndarray, logits: np.ndarray) -> float:
    """The intercept where the slope is held at 1; NaN where it does not converge."""
    ones = np.ones((len(logits), 1))
    return float(_newton(np.asarray(positive, np.float64), ones, logits)[0])


def _newton(y: np.ndarray, x: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Coefficients of a logistic regression by Newton's method with bounded steps."""
    beta, unknown = np.zeros(x.shape[1]), np.full(x.shape[1], np.nan)
    if not 0 < y.mean() < 1:
        return unknown
    for _ in range(ROUNDS):
        p = expit(offset + x @ beta)
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        if not np.linalg.cond(curvature) < 1e12:
            return unknown
        step = np.linalg.solve(curvature, x.T @ (y - p))
        beta = beta + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < TOLERANCE:
            return beta
    return unknown


def unstratified(positive: np.ndarray, groups: np.ndarray, count: int, seed: int) -> Resamples:
    """`count` resamples of groups (n,) across both sides of a class (n,); the jackknife leaves out blocks of a side."""
    design = make_design(np.asarray(positive, np.int64), groups, 2)
    one_stratum = dataclasses.replace(design, stratum=np.zeros_like(design.stratum), classes=1)
    rng = np.random.default_rng(stream_seed(seed, "recalibration"))
    boot = bootstrap_weights(one_stratum, count, rng)
    blocks, strata = jackknife_weights(design, rng)
    return Resamples(design, np.concatenate([boot, blocks]), strata)


def recalibration(
    resamples: Resamples,
    positive: np.ndarray,
    probabilities: np.ndarray,
    folds: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """{"slope", "intercept"} with resamples of groups.

    Args:
        resamples: of the test set's groups, see `unstratified`.
        positive: (n,) bool, whether an image is of the class.
        probabilities: (S, n) of the class.
        folds: (n,) the fold of each image of out-of-fold predictions.
    """
    y = np.asarray(positive, np.float64)
    logits = logit(np.clip(np.asarray(probabilities, np.float64), FLOOR, 1 - FLOOR))
    whole = _fits(y, logits)
    drawn = np.stack([_drawn(resamples, y, one, *fit) for one, fit in zip(logits, whole)], 1)
    by_fold = None
    if folds is not None:
        each = [folds == fold for fold in np.unique(folds)]
        by_fold = np.stack([_fits(y[here], logits[:, here])[:, 1:] for here in each])
    return {
        name: Estimate(
            whole[:, 1 + k], drawn[:, :, k], resamples, None if by_fold is None else by_fold[..., k]
        )
        for k, name in enumerate(("slope", "intercept"))
    }


def _fits(y: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(S, 3): of each seed a and b of the regression, and the intercept with slope 1."""
    return np.stack([[*fit_slope(y, one), fit_intercept(y, one)] for one in logits])


def _drawn(
    resamples: Resamples, y: np.ndarray, x: np.ndarray, a: float, b: float, intercept: float
) -> np.ndarray:
    """Slope and intercept of one seed under each weighting (R + J, 2)."""
    p, held = expit(a + b * x), expit(intercept + x)
    bend = p * (1 - p)
    columns = [y - p, (y - p) * x, bend, bend * x, bend * x**2, y - held, held * (1 - held)]
    sums = resamples.weights @ resamples.design.sums(np.stack(columns, 1))
    score, score_x, h, h_x, h_xx, score_held, h_held = sums.astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = b + (h * score_x - h_x * score) / (h * h_xx - h_x**2)
        return np.stack([slope, intercept + score_held / h_held], 1)
