"""Fewer labels: what a share holds, that its heads are the study's heads on fewer rows, and where curves cross."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from derm_core.config import StudyConfig
from derm_core.heads.grid import Heads
from derm_core.heads.tuning import TunedHeads
from derm_core.records import to_json
from derm_core.stats.evaluation import evaluate
from derm_core.stats.intervals import Difference
from derm_core.stats.metrics import balanced_accuracy, decide, log_prior
from derm_core.stats.paired import Scorer
from derm_core.study.label_efficiency import (
    METRICS,
    crossing,
    draw_label_share,
    label_efficiency,
    score,
)
from derm_core.study.study_data import StudyData
from derm_core.study.trained_arm import FrozenHeads, TrainedArm, TrainedStudy
from tests.steps import finish

C, SEEDS = 3, (5, 6)
CLASSES = ("x", "y", "z")
RATES = (1e-3, 1e-2)
BEST, SHARED = {"vae": 1, "imagenet": 0, "random": 1}, 1  # indices of RATES


@pytest.fixture(scope="module")
def study():
    """Three arms on 240 images in groups of two.

    The VAE's features see the classes best; `random` has a matrix a seed.
    """
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(120), 2)
    labels = np.repeat(rng.choice(C, 120, p=[0.6, 0.3, 0.1]), 2)
    split = np.repeat(np.tile([0, 0, 1, 0, 2, 2], 20), 2).astype(np.int8)
    centres = rng.normal(size=(C, 8))
    features = {
        arm: (rng.normal(size=(240, 8)) + strength * centres[labels]).astype(np.float32)
        for arm, strength in (("vae", 1.0), ("imagenet", 0.5))
    }
    features["random"] = rng.normal(size=(2, 240, 6)).astype(np.float32)
    data = StudyData(
        SimpleNamespace(name="made", classes=CLASSES),
        None,
        np.arange(240),
        labels,
        groups,
        split,
        "f",
    )
    config = StudyConfig(
        dataset="made",
        arms=tuple(features),
        seeds=SEEDS,
        hidden=8,
        epochs=6,
        batch_size=16,
        bootstrap=200,
        learning_rates=RATES,
        weight_decays=(1e-2,),
        label_fractions=(0.1, 0.5),
    )
    heads = Heads(
        features,
        labels,
        data.members("train"),
        data.members("val"),
        classes=C,
        seeds=SEEDS,
        learning_rates=RATES,
        weight_decays=(1e-2,),
        hidden=8,
        epochs=6,
        batch_size=16,
    )
    list(heads.fit())
    tuned, test = TunedHeads(), data.members("test")
    tuned.add(heads)

    def arms_at(settings):
        return {
            arm: TrainedArm(
                SimpleNamespace(label=arm),
                8,
                {},
                {},
                {"test": heads.probabilities(arm, settings[arm], matrix[..., test, :])},
            )
            for arm, matrix in features.items()
        }

    return TrainedStudy(
        config,
        None,
        None,
        data,
        "cpu",
        arms_at(BEST),
        log_prior(labels[data.members("train")], C),
        FrozenHeads(tuned, features, BEST, SHARED),
        arms_at(dict.fromkeys(BEST, SHARED)),
    )


@pytest.fixture(scope="module")
def answer(study):
    events, result = finish(label_efficiency(study))
    return events, to_json(result)


def test_a_share_holds_whole_groups_of_every_class_and_the_smaller_shares():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 300, 700)
    labels = rng.choice(C, 300, p=[0.7, 0.28, 0.02])[groups]
    before = np.array([], int)
    for fraction in (0.01, 0.05, 0.1, 0.5, 1.0):
        rows = draw_label_share(labels, groups, C, fraction, seed=3)
        assert set(before) <= set(rows) and set(labels[rows]) == set(range(C))
        assert np.isin(groups, groups[rows]).sum() == len(rows)
        for c in range(C):
            all_groups, included = (
                np.unique(groups[labels == c]),
                np.unique(groups[rows][labels[rows] == c]),
            )
            assert len(included) == max(1, round(fraction * len(all_groups)))
        before = rows
    assert len(before) == 700
    assert set(draw_label_share(labels, groups, C, 0.1, seed=3)) != set(
        draw_label_share(labels, groups, C, 0.1, seed=4)
    )
    np.testing.assert_array_equal(
        draw_label_share(labels, groups, C, 0.1, seed=3),
        draw_label_share(labels, groups, C, 0.1, seed=3),
    )


def test_a_class_that_only_shares_groups_with_rarer_ones_is_in_every_share():
    labels = np.array(
        [0] * 7 + [1] * 4 + [2] * 30
    )  # all of class 0 shares group 0 with one image of the rarer class 1
    groups = np.array([0] * 7 + [0, 1, 2, 3] + list(range(10, 40)))
    for seed in range(5):
        assert set(labels[draw_label_share(labels, groups, C, 0.01, seed)]) == {0, 1, 2}


def test_the_full_share_is_the_studys_own_result(study, answer):
    test = study.data.members("test")
    own = evaluate(
        study.data.labels[test],
        study.data.groups[test],
        {arm: trained_arm.probabilities["test"] for arm, trained_arm in study.trained.items()},
        study.log_prior,
        CLASSES,
        resamples=200,
        seed=study.config.split_seed,
    )
    full = {row["arm"]: row for row in answer[1]["rows"] if row["fraction"] == 1.0}
    for arm, row in full.items():
        for metric in METRICS:
            for key in ("mean", "std", "low", "high"):
                assert row[metric][key] == pytest.approx(
                    getattr(own.arms[arm][metric], key), abs=1e-9
                )
    assert (
        full["vae"]["images"] == len(study.data.members("train")) == 120
        and full["vae"]["groups"] == 60
    )
    theirs = {(row.a, row.b, row.metric): row for row in own.differences}
    for row in answer[1]["differences"]:
        if row["fraction"] == 1.0:
            assert row["low"] == pytest.approx(
                theirs[row["a"], row["b"], row["metric"]].low, abs=1e-9
            )


def test_a_shares_heads_are_heads_trained_alone_on_its_rows_for_as_many_updates(study, answer):
    data, body = study.data, answer[1]
    train, test = data.members("train"), data.members("test")
    tuned = [(body["rows"], arm, setting) for arm, setting in BEST.items()]
    shared = [(body["shared"]["rows"], arm, SHARED) for arm in BEST]
    for table, arm, setting in tuned + shared:
        by_seed = []
        for s, seed in enumerate(SEEDS):
            rows = train[draw_label_share(data.labels[train], data.groups[train], C, 0.1, seed)]
            matrix = (
                study.frozen.features[arm]
                if study.frozen.features[arm].ndim == 2
                else study.frozen.features[arm][s]
            )
            alone = Heads(
                {"one": matrix},
                data.labels,
                rows,
                data.members("val"),
                classes=C,
                seeds=(seed,),
                learning_rates=(RATES[setting],),
                weight_decays=(1e-2,),
                hidden=8,
                batch_size=16,
                updates=6 * 8,
            )
            list(alone.fit())
            decided = decide(alone.probabilities("one", 0, matrix[test])[0], alone.log_prior)
            by_seed.append(balanced_accuracy(data.labels[test], decided, C))
        row = next(row for row in table if (row["arm"], row["fraction"]) == (arm, 0.1))
        np.testing.assert_allclose(row["by_seed"], by_seed)
        assert row["balanced_accuracy"]["mean"] == pytest.approx(np.mean(by_seed))


def test_the_answer_is_complete_and_progress_may_be_stopped(answer):
    events, body = answer
    assert body["fractions"] == [0.1, 0.5, 1.0] and body["updates"] == 48
    assert len(body["rows"]) == 9 and len(body["differences"]) == 2 * 3 * len(METRICS)
    assert len(body["shared"]["rows"]) == 9
    assert body["crossing"]["pair"] == ["vae", "imagenet"]
    assert {"log", "progress", "tick"} <= {event.kind for event in events}


def test_every_seed_is_decided_with_its_own_class_shares():
    rng = np.random.default_rng(2)
    labels, p = rng.integers(0, C, 90), rng.dirichlet(np.ones(C), (2, 90))
    priors = [np.log([0.8, 0.1, 0.1]), np.array([np.log(0.5), np.log(0.5), np.inf])]
    scorer = Scorer(labels, np.arange(90), C, resamples=50, seed=0)
    expected = [
        balanced_accuracy(labels, (np.log(one) - prior).argmax(-1), C)
        for one, prior in zip(p, priors, strict=True)
    ]
    np.testing.assert_allclose(score(scorer, p, priors)["balanced_accuracy"].by_seed, expected)


@pytest.mark.slow
def test_out_of_fold_with_few_labels_what_differs_between_folds_is_in_the_interval():
    """Two arms of one recipe, better or worse by chance in each fold: 5 % of differences are shown, not many more."""
    rng, images, shown = np.random.default_rng(5), 250, {"without": 0, "with": 0}
    for _ in range(REPEATS := 80):
        labels, folds = rng.integers(0, C, images), np.arange(images) % 5
        p = {}
        for arm in ("vae", "imagenet"):
            quality = rng.normal(1.0, 0.5, 5)[folds][:, None] * np.eye(C)[labels]
            odds = np.exp(quality + rng.normal(0, 0.6, (2, images, C)))
            p[arm] = odds / odds.sum(-1, keepdims=True)
        priors = np.log(np.full((2, images, C), 1 / C))
        for name, of in (("without", None), ("with", folds)):
            scorer = Scorer(labels, np.arange(images), C, resamples=50, seed=0, folds=of)
            scores = [score(scorer, p[arm], priors)["balanced_accuracy"] for arm in p]
            shown[name] += (scores[0] - scores[1]).interval().sign != 0
    assert shown["without"] > 0.2 * REPEATS and shown["with"] <= 0.1 * REPEATS


def differences(means, reach=0.01):
    return [
        Difference(
            a="vae",
            b="imagenet",
            metric="balanced_accuracy",
            fraction=fraction,
            mean=mean,
            low=mean - reach,
            high=mean + reach,
            p_holm=0.001 if abs(mean) > reach else 1.0,
        )
        for fraction, mean in zip((0.01, 0.1, 1.0), means, strict=True)
    ]


def test_curves_cross_where_the_difference_is_zero_on_a_logarithmic_scale():
    names = {"vae": "VAE", "imagenet": "ImageNet"}
    result = crossing(differences((0.03, 0.02, -0.02)), ("vae", "imagenet"), names)
    assert result.fraction == pytest.approx(10**-0.5) and result.shown
    assert result.text == "VAE is ahead with fewer labels, ImageNet from about 31.6 % of them on."
    assert not crossing(differences((0.03, 0.02, -0.005)), ("vae", "imagenet"), names).shown
    last = crossing(differences((-0.02, 0.02, -0.06)), ("vae", "imagenet"), names)
    assert last.fraction == pytest.approx(10**-0.75) and "2 times" in last.text
    never = crossing(differences((-0.03, -0.02, -0.02)), ("vae", "imagenet"), names)
    assert (
        never.fraction is None
        and "ImageNet is ahead of VAE" in never.text
        and "at 3 of 3" in never.text
    )
    level = crossing(differences((-0.02, 0.0, 0.02)), ("vae", "imagenet"), names)
    assert level.fraction == pytest.approx(0.1) and level.shown
    assert "the same" in crossing(differences((0.0, 0.0, 0.0)), ("vae", "imagenet"), names).text
    assert crossing([], None, names) is None


def test_the_primary_test_says_whether_a_difference_with_all_labels_is_shown():
    """Its p needs no correction and has none: the repeated row among the shares says nothing of a claim."""
    names = {"vae": "VAE", "imagenet": "ImageNet"}
    *fewer, all_labels = differences((-0.005, -0.005, -0.06))
    repeated = dataclasses.replace(all_labels, p_holm=None)
    primary = dataclasses.replace(repeated, fraction=None, primary=True)
    told = crossing([*fewer, repeated], ("vae", "imagenet"), names, [primary])
    assert told.text.endswith("at 3 of 3 shares of labels; the difference is shown at 1 of them.")
    none = crossing([*fewer, repeated], ("vae", "imagenet"), names)
    assert none.text.endswith("the difference is shown at none of them.")


def test_a_study_without_heads_says_why_there_is_nothing():
    events, result = finish(label_efficiency(SimpleNamespace(frozen=None, config=None)))
    assert result.rows == () and "frozen" in result.note and not events
