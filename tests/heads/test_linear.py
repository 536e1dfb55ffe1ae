"""The linear head against scikit-learn's logistic regression, and its choice of penalty."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from derm_core.heads.grid import standardisation
from derm_core.heads.linear import PENALTIES, fit_linear

TRAIN, VAL = np.arange(200), np.arange(200, 320)


@pytest.fixture(scope="module")
def planted():
    """Features (320, 12) of which two tell three classes apart, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 320)
    features = rng.normal(size=(320, 12)).astype(np.float32) * 3 + 1
    features[:, :2] += 3 * np.array([[0, 0], [1, 0], [0, 1]])[labels]
    return features, labels


def test_every_fit_is_scikit_learns(planted):
    features, labels = planted
    mean, std = standardisation(features[TRAIN])
    x = (features - mean) / std
    for fit in fit_linear(features, labels, TRAIN, VAL, 3):
        c = 1 / (fit.penalty * len(TRAIN))
        model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(x[TRAIN], labels[TRAIN])
        np.testing.assert_allclose(fit.probabilities(features), model.predict_proba(x), atol=5e-3)


def test_the_search_ends_after_the_best_penalty(planted):
    fits = list(fit_linear(*planted, TRAIN, VAL, 3))
    best = min(fits, key=lambda fit: fit.val_loss)
    assert PENALTIES[0] > best.penalty > fits[-1].penalty
    assert [fit.penalty for fit in fits] == list(PENALTIES[: len(fits)])
    log_p = np.log(best.probabilities(planted[0][VAL]))
    assert -log_p[np.arange(len(VAL)), planted[1][VAL]].mean() == pytest.approx(best.val_loss)


def test_a_class_that_training_lacks_is_never_likely(planted):
    features, labels = planted
    *_, last = fit_linear(features, np.where(labels == 2, 1, labels), TRAIN, VAL, 3)
    assert last.probabilities(features)[:, 2].max() < 0.02
