"""Group resampling against sets that are really resampled, scikit-learn and textbook variances."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from derm_core.stats import metrics
from derm_core.stats.resampling import (
    bootstrap_weights,
    make_design,
    replicates,
)
from tests.stats.predictions import PRIOR, C, draw_predictions


def test_replicates_equal_metrics_of_sets_that_are_really_resampled():
    labels, groups, p = draw_predictions(np.random.default_rng(0))
    design = make_design(labels, groups, C)
    weights = np.random.default_rng(1).integers(0, 3, (4, len(design.stratum))).astype(np.float32)
    ours = replicates(design, p, PRIOR, weights)
    for r, row in enumerate(weights):
        chosen = np.repeat(np.arange(len(labels)), row[design.group].astype(int))
        real = metrics.all_metrics(labels[chosen], p[:, chosen], PRIOR)
        for name in ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier"):
            assert ours[name][r] == pytest.approx(real[name], rel=1e-4), name


def test_unit_weights_give_the_metrics_themselves():
    labels, groups, p = draw_predictions(np.random.default_rng(2))
    design = make_design(labels, groups, C)
    ours = replicates(design, p, PRIOR, np.ones((1, len(design.stratum)), np.float32))
    for name, value in metrics.all_metrics(labels, p, PRIOR).items():
        assert ours[name][0] == pytest.approx(value, rel=1e-5), name
    assert ours["macro_auroc"][0] == pytest.approx(
        [np.mean([roc_auc_score(labels == c, one[:, c]) for c in range(C)]) for one in p]
    )


def test_groups_are_resampled_whole_and_within_their_class():
    labels, groups, _ = draw_predictions(np.random.default_rng(3))
    design = make_design(labels, groups, C)
    weights = bootstrap_weights(design, 50, np.random.default_rng(0))
    assert weights.shape == (50, len(np.unique(groups)))
    for c in range(C):
        members = design.stratum == c
        np.testing.assert_allclose(weights[:, members].sum(1), members.sum(), rtol=1e-5)


def test_a_mixed_group_belongs_to_its_rarest_class():
    design = make_design(np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 7, 5, 8, 8]), C)
    assert design.stratum.tolist() == [1, 0, 2]


def test_bootstrap_variance_of_a_mean_is_the_unbiased_textbook_one():
    """One image a group: variance of recall of class c is s²/n_c, with n_c − 1 in s²."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [12, 8, 6])
    p = rng.dirichlet(np.ones(C), (1, len(labels)))
    design = make_design(labels, np.arange(len(labels)), C)
    weights = bootstrap_weights(design, 40_000, rng)
    hit = (metrics.decide(p[0], PRIOR) == labels).astype(float)
    expected = sum(hit[labels == c].var(ddof=1) / (labels == c).sum() for c in range(C)) / C**2
    assert replicates(design, p, PRIOR, weights)["balanced_accuracy"].var() == pytest.approx(
        expected, rel=0.05
    )
