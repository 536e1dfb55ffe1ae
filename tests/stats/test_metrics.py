"""Each metric against scikit-learn, a slow loop or a simulation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as reference

from derm_core.stats import metrics

SEEDS, N, C = 3, 400, 4


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) with one rare class, probabilities (S, N, C) with many ties."""
    rng = np.random.default_rng(0)
    labels = rng.choice(C, N, p=[0.6, 0.25, 0.1, 0.05])
    logits = rng.normal(size=(SEEDS, N, C)).round(1)
    logits[..., :] += 1.5 * np.eye(C)[labels]
    odds = np.exp(logits)
    return labels, odds / odds.sum(-1, keepdims=True)


def test_metrics_equal_scikit_learn(drawn):
    labels, probabilities = drawn
    prior = metrics.log_prior(labels, C)
    ours = metrics.all_metrics(labels, probabilities, prior)
    for s, p in enumerate(probabilities):
        adjusted = (p / np.bincount(labels) * N).argmax(-1)
        expected = {
            "balanced_accuracy": reference.balanced_accuracy_score(labels, adjusted),
            "macro_auroc": np.mean(
                [reference.roc_auc_score(labels == c, p[:, c]) for c in range(C)]
            ),
            "accuracy": reference.accuracy_score(labels, p.argmax(-1)),
            "log_loss": reference.log_loss(labels, p),
            "brier": np.mean(((p - np.eye(C)[labels]) ** 2).sum(-1)),
        }
        for name, value in expected.items():
            assert ours[name][s] == pytest.approx(value, rel=1e-9), name


def test_recall_and_confusion_equal_scikit_learn(drawn):
    labels, probabilities = drawn
    decisions = probabilities.argmax(-1)
    for s in range(SEEDS):
        np.testing.assert_allclose(
            metrics.recall(labels, decisions, C)[s],
            reference.recall_score(labels, decisions[s], average=None),
        )
        np.testing.assert_array_equal(
            metrics.confusion(labels, decisions, C)[s],
            reference.confusion_matrix(labels, decisions[s]),
        )


def test_absent_class_stays_predictable_and_leaves_the_averages(drawn):
    labels, probabilities = drawn
    keep = labels != 3
    labels, probabilities = labels[keep], probabilities[0, keep]
    values = metrics.all_metrics(labels, probabilities, np.log(np.full(C, 1 / C)))
    decisions = probabilities.argmax(-1)
    assert (decisions == 3).any()
    assert values["balanced_accuracy"] == pytest.approx(
        np.mean([(decisions[labels == c] == c).mean() for c in range(3)])
    )
    assert values["macro_auroc"] == pytest.approx(
        np.mean([reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(3)])
    )
    assert np.isnan(metrics.recall(labels, decisions, C)[3])


def test_class_that_training_never_saw_is_never_decided_for():
    prior = metrics.log_prior(np.array([0, 0, 1]), 3)
    assert metrics.decide(np.array([[0.1, 0.1, 0.8]]), prior)[0] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_0_leaves_the_decision_to_the_classes_that_training_saw(dtype):
    p = np.array([[0, 0, 1], [0, 1, 0]], dtype)
    prior = metrics.log_prior(np.array([0, 1, 1]), 3)
    with np.errstate(all="raise"):
        assert metrics.decide(p, prior).tolist() == [0, 1]


def test_focal_and_brier_losses_by_hand():
    p = np.array([[0.5, 0.25, 0.25]])
    assert metrics.focal_losses(np.array([1]), p) == pytest.approx(-(0.75**2) * np.log(0.25))
    assert metrics.brier(np.array([1]), p) == pytest.approx(0.5**2 + 0.75**2 + 0.25**2)


def drawn_classes(rng, p_nc):
    return (rng.random((len(p_nc), 1)) > p_nc.cumsum(1)).sum(1)


@pytest.mark.parametrize(
    ("classes", "concentration"), [(3, 1.0), (7, 0.3), (7, 0.05)], ids=["flat", "sure", "very sure"]
)
def test_the_calibration_error_of_a_calibrated_model_is_0_on_average(classes, concentration):
    rng, errors = np.random.default_rng(1), []
    for _ in range(300):
        true = rng.dirichlet(np.full(classes, concentration), size=800)
        errors.append(metrics.ece(drawn_classes(rng, true), true))
    assert abs(np.mean(errors)) < 0.005


@pytest.mark.parametrize("power", [2.0, 1.4, 0.5], ids=["far too sure", "too sure", "too unsure"])
def test_a_known_calibration_error_is_found_within_a_tenth(power):
    """Against the plug-in root mean square of 400,000 images, where noise adds nothing."""
    rng = np.random.default_rng(2)

    def draw(images):
        true = rng.dirichlet(np.ones(4), size=images)
        shown = true**power
        return drawn_classes(rng, true), shown / shown.sum(1, keepdims=True)

    labels, p = draw(400_000)
    miss, bins = p.max(1) - (p.argmax(1) == labels), metrics.confidence_bins(p.max(1))
    images = np.bincount(bins)
    truth = np.sqrt(np.average((np.bincount(bins, miss) / images) ** 2, weights=images))
    errors = [metrics.ece(*draw(800)) for _ in range(200)]
    assert truth > 0.05 and np.mean(errors) == pytest.approx(truth, rel=0.1)


def test_debiasing_equals_the_mean_over_pairs_of_images():
    rng = np.random.default_rng(3)
    p, labels = rng.dirichlet(np.ones(3), 40), rng.integers(0, 3, 40)
    miss, bins = p.max(1) - (p.argmax(1) == labels), metrics.confidence_bins(p.max(1), 4)
    mean_square = sum(
        (bins == b).mean() * np.mean([i * j for i, j in permutations(miss[bins == b], 2)])
        for b in range(4)
    )
    ours = metrics.ece(labels, p, bins=4)
    assert ours * abs(ours) == pytest.approx(mean_square)


def test_calibration_error_does_not_depend_on_the_order_of_images_with_equal_confidence():
    labels = np.repeat([0, 1], [240, 160])
    constant = np.broadcast_to([0.6, 0.4], (1, 400, 2))
    assert metrics.ece(labels, constant) == pytest.approx(-np.sqrt(0.6 * 0.4 / 399))
    rng = np.random.default_rng(0)
    p = rng.choice([0.55, 0.7, 0.9], 400)
    p_nc = np.stack([p, 1 - p], -1)
    order = rng.permutation(400)
    assert metrics.ece(labels, p_nc) == pytest.approx(metrics.ece(labels[order], p_nc[order]))


def test_mid_ranks_and_bins_follow_the_ranks_of_scipy(drawn):
    values = drawn[1].swapaxes(-1, -2)
    np.testing.assert_array_equal(metrics.mid_ranks(values), scipy_stats.rankdata(values, axis=-1))
    lowest = scipy_stats.rankdata(values, method="min", axis=-1).astype(int) - 1
    np.testing.assert_array_equal(metrics.confidence_bins(values, 7), lowest * 7 // N)
    broken = np.array([[0.1, np.nan, 0.3], [0.5, 0.2, 0.5]])
    np.testing.assert_array_equal(metrics.mid_ranks(broken), scipy_stats.rankdata(broken, axis=-1))
