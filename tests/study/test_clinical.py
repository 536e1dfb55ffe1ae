"""One class against the rest: thresholds, sensitivity, net benefit and temperatures against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.errors import ConfigError
from derm_core.stats.calibration import fit_temperature
from derm_core.stats.multiple_tests import holm
from derm_core.stats.operating_point import thresholds
from derm_core.study.breakdown import temperatures
from derm_core.study.clinical import (
    find_target,
    fixed_specificity,
    net_benefit,
    operating_points,
    target_class,
)
from derm_core.study.tested_images import TestedImages
from tests.steps import finish
from tests.study.planted import CLASSES, planted_study

MEL = CLASSES.index("mel")


@pytest.fixture(scope="module", params=[0, 3])
def study(request, tmp_path_factory):
    return planted_study(tmp_path_factory.mktemp("clinical"), request.param)


@pytest.fixture(scope="module")
def target(study):
    return find_target(study, TestedImages.of(study))


def called(study, arm: str, specificity: float) -> np.ndarray:
    """(S, n) whether a test image is called at its own fold's threshold, image by image."""
    one, labels = study.trained[arm], study.data.labels
    val, test = (one.probabilities[split][..., MEL] for split in ("val", "test"))
    positive = labels[one.positions["val"]] == MEL
    fold = one.folds or {"val": np.zeros(len(positive)), "test": np.zeros(test.shape[1])}
    rows = []
    for s in range(len(test)):
        cuts = {
            k: thresholds(positive[fold["val"] == k], val[s, fold["val"] == k], [specificity])[0]
            for k in np.unique(fold["test"])
        }
        rows.append([p > cuts[k] for p, k in zip(test[s], fold["test"], strict=True)])
    return np.array(rows)


def test_sensitivity_is_that_at_the_fold_s_own_threshold(study, target):
    _, answer = finish(fixed_specificity(target))
    assert [level.specificity for level in answer.levels] == [0.8, 0.9]
    for level in answer.levels:
        for arm, at in level.arms.items():
            hits = called(study, arm, level.specificity)
            assert at.sensitivity.mean == pytest.approx(hits[:, target.positive].mean())
            assert at.specificity.mean == pytest.approx(1 - hits[:, ~target.positive].mean())
            assert at.specificity.low < level.specificity < at.specificity.high


def test_differences_are_paired_against_imagenet_and_corrected_together(target):
    _, answer = finish(fixed_specificity(target))
    rows = [row for level in answer.levels for row in level.differences]
    assert answer.opponent == "imagenet" and {(row.a, row.b) for row in rows} == {
        ("vae", "imagenet")
    }
    for level, row in zip(answer.levels, rows, strict=True):
        means = {arm: at.sensitivity.mean for arm, at in level.arms.items()}
        assert row.mean == pytest.approx(means["vae"] - means["imagenet"])
    assert [row.p_holm for row in rows] == pytest.approx(holm([row.p for row in rows]).tolist())


def test_the_curve_at_validation_s_thresholds_is_that_of_the_fixed_specificities(target):
    _, point = finish(operating_points(target))
    _, answer = finish(fixed_specificity(target))
    for arm, at in answer.levels[1].arms.items():
        assert point.arms[arm].given_sensitivity[90] == pytest.approx(at.sensitivity.mean)
        assert point.arms[arm].threshold[90] == pytest.approx(at.threshold)


def test_net_benefit_counts_images_and_the_gain_is_over_the_better_default(study, target):
    _, answer = finish(net_benefit(target))
    n = len(target.positive)
    for k in (4, 19, 39):
        t = answer.thresholds[k]
        hits = study.trained["vae"].probabilities["test"][..., MEL] >= t
        tp, fp = hits[:, target.positive].sum(1), hits[:, ~target.positive].sum(1)
        value = (tp / n - fp / n * t / (1 - t)).mean()
        assert answer.arms["vae"].mean[k] == pytest.approx(value)
        better = max(answer.treat_all[k], 0)
        assert answer.arms["vae"].gain[k] == pytest.approx(value - better)
    assert answer.prevalence == pytest.approx(target.positive.mean())


def test_each_fold_has_the_temperature_of_its_own_validation_images(study):
    one = study.trained["vae"]
    labels = study.data.labels[one.positions["val"]]
    ours = temperatures(one, labels)
    folds = one.folds.get("val", np.zeros(len(labels), int))
    assert sorted(ours) == sorted(set(folds.tolist()))
    for fold, value in ours.items():
        p = one.probabilities["val"][:, folds == fold]
        expected = fit_temperature(p.reshape(-1, 3), np.tile(labels[folds == fold], 2)).value
        assert value == pytest.approx(expected)
    if len(ours) == 3:
        assert ours[3] > 1.3 * ours[1], "the log odds of the third fold are three times too large"


def test_the_class_is_the_config_s_and_an_unknown_one_is_refused(tmp_path):
    other = planted_study(tmp_path, target_class="nv")
    assert target_class(other.config, CLASSES) == "nv"
    assert find_target(other, TestedImages.of(other)).index == CLASSES.index("nv")
    with pytest.raises(ConfigError):
        target_class(other.config, ("a", "b"))
