"""Split-conformal prediction against mapie: one threshold of the same scores gives the same sets."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from derm_core.bundles.conformal import threshold


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def __init__(self, classes: int = 4):
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.is_fitted_ = True

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.asarray(x).argmax(1)

    def predict_proba(self, x):
        return np.asarray(x)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_sets_of_the_plain_score_are_those_of_mapie(seed, coverage):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 0.7), 400)
    labels = np.array([rng.choice(4, p=row) for row in p])
    calibration, test = np.arange(150), np.arange(150, 400)
    mapie = SplitConformalClassifier(
        Given(), confidence_level=coverage, conformity_score="lac", prefit=True
    ).conformalize(p[calibration], labels[calibration])
    _, theirs = mapie.predict_set(p[test])
    q = threshold(1 - p[calibration, labels[calibration]], coverage)
    assert ((1 - p[test] <= q + 1e-9) == theirs[:, :, 0]).all()
