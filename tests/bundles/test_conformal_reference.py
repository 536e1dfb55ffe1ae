"""Split-conformal thresholds and prediction sets equal those of MAPIE, where both compute the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from derm_core.bundles import conformal
from tests.bundles.test_conformal import draws

pytest.importorskip("mapie", reason="a development requirement")
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import APSConformityScore

CLASSES = 5


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def __init__(self):
        self.classes_ = np.arange(CLASSES)

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(1)


class WithoutRandomTerm(APSConformityScore):
    """MAPIE's score subtracts a random share of the true class's probability; ours subtracts all of it."""

    def get_conformity_scores(self, y, y_pred, y_enc=None, **settings):
        sums, _ = self.get_true_label_cumsum_proba(y, y_pred, self.classes)
        return sums - np.take_along_axis(y_pred, y_enc.reshape(-1, 1), 1)


def mapie_sets(score, calibration, labels, test, coverage: float) -> np.ndarray:
    """MAPIE's prediction sets of test probabilities, bool (n, C)."""
    model = SplitConformalClassifier(
        Given(), confidence_level=coverage, conformity_score=score, prefit=True
    )
    params = {"include_last_label": True} if isinstance(score, APSConformityScore) else {}
    model.conformalize(calibration, labels)
    return model.predict_set(test, conformity_score_params=params)[1][:, :, 0]


@pytest.mark.parametrize("coverage", conformal.COVERAGES)
@pytest.mark.parametrize("count", [99, 100, 373])
def test_sets_are_those_of_adaptive_prediction_sets_without_their_random_term(coverage, count):
    p, labels = draws(np.random.default_rng(count), count + 400, CLASSES)
    thresholds = conformal.fit(p[:count], labels[:count])
    ours = conformal.prediction_sets(p[count:], thresholds.coverages[conformal.key(coverage)])
    score = WithoutRandomTerm()
    assert np.array_equal(ours, mapie_sets(score, p[:count], labels[:count], p[count:], coverage))


@pytest.mark.parametrize("coverage", conformal.COVERAGES)
def test_the_threshold_is_the_quantile_that_covers_with_any_other_score(coverage):
    p, labels = draws(np.random.default_rng(1), 600, CLASSES)
    q = conformal.conformal_quantile(1 - p[np.arange(200), labels[:200]], coverage)
    assert np.array_equal(
        1 - p[200:] <= q, mapie_sets("lac", p[:200], labels[:200], p[200:], coverage)
    )
