"""The whole evaluation of a test set: what is shown, what is not, and the cautions."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.stats import metrics
from derm_core.stats.evaluation import evaluate
from derm_core.stats.intervals import t_test_p
from derm_core.stats.multiple_tests import sign_flip
from derm_core.stats.resampling import (
    make_design,
)
from tests.stats.predictions import NAMES, PRIOR, C, draw_predictions


def test_an_arm_against_itself_shows_nothing_and_a_much_better_one_is_shown():
    rng = np.random.default_rng(8)
    labels, groups, p = draw_predictions(rng)
    better = p**0.2 * np.exp(2 * np.eye(C)[labels])
    better /= better.sum(-1, keepdims=True)
    result = evaluate(
        labels, groups, {"vae": p, "imagenet": better, "copy": p}, PRIOR, NAMES, resamples=400
    )
    rows = {(row.a, row.b, row.metric): row for row in result.differences}
    primary = rows["vae", "imagenet", "balanced_accuracy"]
    assert primary.primary and primary.high < 0 and primary.p < 0.001
    same = rows["vae", "copy", "balanced_accuracy"]
    assert same.mean == 0 and same.p is same.p_holm is None and not same.equivalent


def test_primary_difference_has_its_named_direction_whatever_the_order_of_arms():
    labels, groups, p = draw_predictions(np.random.default_rng(9), groups=40)
    result = evaluate(labels, groups, {"imagenet": p, "vae": p[::-1]}, PRIOR, NAMES, resamples=50)
    assert {(row.a, row.b) for row in result.differences} == {("vae", "imagenet")}


def test_another_pair_stands_in_and_is_not_called_primary():
    labels, groups, p = draw_predictions(np.random.default_rng(9), groups=40)
    other = p[:, :, ::-1] / p.sum(-1, keepdims=True)
    result = evaluate(
        labels,
        groups,
        {"vae": p, "random": other},
        PRIOR,
        NAMES,
        resamples=50,
        primary=("vae", "random"),
    )
    rows = {row.metric: row for row in result.differences}
    assert not any(row.primary for row in rows.values())
    assert [metric for metric, row in rows.items() if row.stand_in] == ["balanced_accuracy"]
    row = rows["balanced_accuracy"]
    correct = [(metrics.decide(q, PRIOR) == labels).mean(0) for q in (p, other)]
    flipped = sign_flip(make_design(labels, groups, C), correct[0] - correct[1])
    assert row.p_holm >= row.p == pytest.approx(t_test_p(row))
    assert row.p_sign_flip == pytest.approx(flipped)
    named = evaluate(
        labels, groups, {"vae": p, "imagenet": other}, PRIOR, NAMES, resamples=50
    ).differences
    assert sum(row.primary for row in named) == 1 and not any(row.stand_in for row in named)
    assert all((row.p_holm is None) == row.primary for row in named)


def test_few_groups_get_wilson_and_a_caution_and_absent_classes_are_named():
    labels, groups, p = draw_predictions(np.random.default_rng(10), groups=40)
    keep = labels != 1
    result = evaluate(
        labels[keep],
        groups[keep],
        {"vae": p[:1, keep]},
        PRIOR,
        NAMES,
        resamples=50,
        group_caution="Groups unknown.",
    )
    text = " ".join(result.cautions)
    rare, absent = result.per_class["vae"][2], result.per_class["vae"][1]
    assert rare.groups < 20 and rare.recall.method == "wilson"
    assert absent.n == 0 and absent.recall.mean is None
    for words in ("Fewer than 20", "No test images of b", "Groups unknown.", "One seed"):
        assert words in text


def test_majority_line_has_chance_balanced_accuracy_and_the_largest_share():
    labels, groups, p = draw_predictions(np.random.default_rng(11))
    majority = evaluate(labels, groups, {"vae": p}, PRIOR, NAMES, resamples=50).majority
    assert majority["balanced_accuracy"].mean == pytest.approx(1 / C)
    assert majority["accuracy"].mean == pytest.approx((labels == 0).mean())
    assert majority["macro_auroc"].mean == pytest.approx(0.5)


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_the_majority_line_is_at_chance_of_the_classes_present(absent):
    """Also where the set lacks training's commonest class (0)."""
    labels, groups, p = draw_predictions(np.random.default_rng(12))
    keep = labels != absent
    majority = evaluate(
        labels[keep], groups[keep], {"vae": p[:, keep]}, PRIOR, NAMES, resamples=50
    ).majority
    commonest = 1 if absent == 0 else 0
    assert majority["balanced_accuracy"].mean == pytest.approx(0.5)
    assert majority["accuracy"].mean == pytest.approx((labels[keep] == commonest).mean())
    assert majority["macro_auroc"].mean == pytest.approx(0.5)


def test_where_folds_do_not_differ_they_hardly_widen_an_interval():
    """In the mean over draws of a model that is too sure, whose calibration error is no mean over images."""
    rng, widened = np.random.default_rng(14), []
    for _ in range(8):
        labels, groups, p = draw_predictions(rng, groups=300)
        p = p**3 / (p**3).sum(-1, keepdims=True)
        folds = groups % 5
        prior = np.broadcast_to(PRIOR, (len(labels), C))
        with_folds, without = (
            evaluate(labels, groups, {"vae": p}, prior, NAMES, resamples=100, folds=of).arms["vae"]
            for of in (folds, None)
        )
        widened.append([with_folds[m].se / without[m].se for m in metrics.METRICS])
    assert (np.mean(widened, 0) < 1.5).all()


def test_the_majority_line_out_of_fold_is_at_chance_whatever_the_folds_shares():
    labels, groups, p = draw_predictions(np.random.default_rng(13))
    folds = groups % 2
    shares = np.array([[0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
    majority = evaluate(
        labels, groups, {"vae": p}, np.log(shares[folds]), NAMES, resamples=50, folds=folds
    ).majority
    assert majority["balanced_accuracy"].mean == pytest.approx(1 / C)
