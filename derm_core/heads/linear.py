"""A linear head: multinomial logistic regression with an L2 penalty, the penalty chosen on validation.

Objective: mean cross-entropy in nats + λ/2 · ‖W‖²; the bias is free. It is convex, so that neither a
seed nor a learning rate decides what comes out. In scikit-learn's terms C = 1/(λ · images).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from .grid import standardisation

PENALTIES = tuple(float(10.0**power) for power in np.arange(2, -12, -1) / 2)  # 10 to 3e-6
PATIENCE = 2  # penalties in a row that make validation worse before the search ends
ROUNDS, TOLERANCE = 500, 1e-4


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear head: penalty, weights (D, C) and bias (C,) for standardised features, validation log loss."""

    penalty: float
    weights: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    val_loss: float

    def probabilities(self, features_nd: np.ndarray) -> np.ndarray:
        """The plain softmax (n, C) of raw, not standardised features (n, D)."""
        x = (np.asarray(features_nd, np.float64) - self.mean) / self.std
        return np.asarray(softmax(x @ self.weights + self.bias, axis=1))


def fit_linear(
    features_nd: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    classes: int,
) -> Iterator[LinearFit]:
    """Fits at falling penalties, each from the one before, until validation gets worse.

    Args:
        features_nd: (N, D) raw features; standardised with the training rows' statistics.
        labels: (N,) class indices.
        train, val: rows of the two splits.
        classes: C.

    Yields:
        A fit at each penalty; `min(fits, key=lambda fit: fit.val_loss)` is the choice.
    """
    mean, std = standardisation(features_nd[train])
    x, x_val = ((features_nd[rows].astype(np.float64) - mean) / std for rows in (train, val))
    onehot = np.eye(classes)[:, labels[train]]
    weights, best, worse = np.zeros((x.shape[1] + 1) * classes), np.inf, 0
    for penalty in PENALTIES:
        result = minimize(
            _objective,
            weights,
            (x, onehot, penalty),
            "L-BFGS-B",
            jac=True,
            options={"maxiter": ROUNDS, "gtol": TOLERANCE},
        )
        weights = result.x
        w, b = _parts(weights, classes)
        w = w.T
        log_p = log_softmax(x_val @ w + b, axis=1)
        loss = float(-log_p[np.arange(len(val)), labels[val]].mean())
        yield LinearFit(penalty, w, b, mean, std, loss)
        worse = worse + 1 if loss > best else 0
        best = min(best, loss)
        if worse == PATIENCE:
            return


def _parts(weights: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, D) and bias (C,) of the vector that is optimised."""
    table = weights.reshape(classes, -1)
    return table[:, :-1], table[:, -1]


def _objective(
    weights: np.ndarray, x_nd: np.ndarray, onehot_cn: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    """The objective and its gradient; classes come first, with which BLAS takes half the time."""
    w, b = _parts(weights, len(onehot_cn))
    log_p = log_softmax(w @ x_nd.T + b[:, None], axis=0)
    error = (np.exp(log_p) - onehot_cn) / len(x_nd)
    value = -(onehot_cn * log_p).sum() / len(x_nd) + penalty / 2 * (w**2).sum()
    gradient = np.concatenate([error @ x_nd + penalty * w, error.sum(1)[:, None]], 1)
    return float(value), gradient.reshape(-1)
