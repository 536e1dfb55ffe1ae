"""Both decisions, against scikit-learn's scores of the decisions themselves."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from derm_core.stats.decisions import adjusted_probabilities, score_decisions
from derm_core.stats.evaluation import evaluate
from derm_core.stats.metrics import decide, log_prior

N, CLASSES = 400, ("a", "b", "c")


@pytest.fixture
def tested():
    """labels (N,), groups (N,), probabilities (2, N, 3) that favour the frequent class, log prior (3,)."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, N, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(2, N, 3)) + 1.5 * np.eye(3)[labels] + np.array([1.5, 0.3, 0])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return labels, np.arange(N) // 2, p, log_prior(labels, 3)


def test_each_decision_has_the_scores_of_its_own_classes(tested):
    labels, groups, p, prior = tested
    scores = score_decisions(labels, groups, {"own": p}, prior, resamples=50)["own"]
    decided = {"most_probable": p.argmax(-1), "adjusted": decide(p, prior)}
    assert (decided["most_probable"] != decided["adjusted"]).any()
    for name, classes in decided.items():
        score = getattr(scores, name)
        for metric, reference in (
            ("accuracy", accuracy_score),
            ("balanced_accuracy", balanced_accuracy_score),
        ):
            expected = np.mean([reference(labels, one) for one in classes])
            value = getattr(score, metric)
            assert value.mean == pytest.approx(expected) and value.low < value.mean < value.high


def test_the_two_that_a_study_has_are_the_studys(tested):
    labels, groups, p, prior = tested
    study = evaluate(labels, groups, {"own": p}, prior, CLASSES, resamples=50, seed=3).arms["own"]
    scores = score_decisions(labels, groups, {"own": p}, prior, resamples=50, seed=3)["own"]
    for ours, theirs in (
        (scores.most_probable.accuracy, study["accuracy"]),
        (scores.adjusted.balanced_accuracy, study["balanced_accuracy"]),
    ):
        assert (ours.mean, ours.low, ours.high) == pytest.approx(
            (theirs.mean, theirs.low, theirs.high), abs=1e-6
        )


def test_a_class_without_training_images_is_never_named():
    p = np.array([[0.15, 0.7, 0.15]])
    prior = log_prior(np.array([0, 0, 2]), 3)
    assert adjusted_probabilities(p, prior)[0, 1] == 0
    assert adjusted_probabilities(p, prior).argmax(1).tolist() == decide(p, prior).tolist() == [2]
