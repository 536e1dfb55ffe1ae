"""Tests of subgroups: planted differences are shown, chance is not, and the correction is one of two families."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from derm_core.stats.metrics import recall
from derm_core.stats.multiple_tests import holm
from derm_core.study.subgroups import subgroups
from derm_core.study.tested_images import TestedImages
from tests.steps import finish

N, C = 900, 2


def draw_subgroups(planted: str = "", folds: int = 0, seed: int = 0, opponent_too: bool = False):
    """Arms vae and imagenet on N images, whose site is a, b or c and sex f or m.

    planted: the site where the answers of vae (and of imagenet) are no better than chance.
    """
    rng = np.random.default_rng(seed)
    labels, site = rng.integers(0, C, N), rng.choice(["a", "b", "c"], N)
    sex = rng.choice(["f", "m"], N)

    def predict(weak: bool) -> np.ndarray:
        skill = np.where((site == planted) & weak, 0.0, 1.5)
        noise = rng.normal(size=(N, C)) + 0.5 * rng.normal(size=(3, N, C))  # seeds are much alike
        logits = noise + skill[:, None] * np.eye(C)[labels]
        return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    prior = np.log(np.full(C, 0.5))
    images = TestedImages(
        labels,
        np.arange(N) // 2,
        {"vae": predict(True), "imagenet": predict(opponent_too)},
        np.broadcast_to(prior, (N, C)) if folds else prior,
        ("one", "two"),
        200,
        0,
        np.arange(N) // 2 % folds + 1 if folds else None,
    )
    frame = pd.DataFrame({"site": site, "sex": sex})
    dataset = SimpleNamespace(frame=frame, attributes=["site", "sex"])
    return images, frame, finish(subgroups(images, dataset, np.arange(N)))[1]


@pytest.mark.parametrize("folds", [0, 3])
def test_a_planted_subgroup_is_the_worst_and_an_interaction(folds):
    _, _, [site, sex] = draw_subgroups("b", folds)
    assert site.worst["vae"] == "b" and site.is_worst("vae") and not site.is_worst("imagenet")
    interactions = {row.value for row in site.tests if row.opponent and row.differs}
    assert "b" in interactions
    assert not any(row.differs for row in sex.tests) and not sex.is_worst("vae")


def test_a_subgroup_that_is_hard_for_both_arms_is_no_interaction():
    _, _, [site, _] = draw_subgroups("b", opponent_too=True)
    assert site.is_worst("vae") and site.is_worst("imagenet")
    assert not any(row.differs for row in site.tests if row.opponent)


def test_the_change_is_the_difference_of_mean_recalls():
    images, frame, [site, _] = draw_subgroups("b")
    row = next(
        one for one in site.tests if (one.value, one.arm, one.opponent) == ("b", "vae", None)
    )
    decided, here = images.probabilities["vae"].argmax(-1), frame["site"].to_numpy() == "b"
    sides = [recall(images.labels[of], decided[:, of], C).mean() for of in (here, ~here)]
    assert row.change.mean == pytest.approx(sides[0] - sides[1]) and row.classes == C


def test_each_attribute_of_an_arm_has_the_weight_of_one_test():
    _, _, entries = draw_subgroups("b")
    for interaction in (False, True):
        rows = [
            (entry, row)
            for entry in entries
            for row in entry.tests
            if bool(row.opponent) == interaction
        ]
        weights = [1 / 3 if entry.attribute == "site" else 1 for entry, _ in rows]
        expected = holm([row.p for _, row in rows], weights)
        assert [row.p_holm for _, row in rows] == pytest.approx(expected.tolist())
    assert len({row.value for row in entries[1].tests}) == 1, "two sides are one test"


@pytest.mark.slow
def test_chance_alone_is_seldom_called_a_difference():
    """Of 10 sets without a difference, two families of tests at 5 % find one in 1 at most on average."""
    shown = [
        any(row.differs for entry in draw_subgroups(seed=seed)[2] for row in entry.tests)
        for seed in range(10)
    ]
    assert sum(shown) <= 2
