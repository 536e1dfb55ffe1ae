"""A linear head for every arm of a study: measured as the study's own, and seeds only where there are some."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from threadpoolctl import threadpool_info

from derm_core.stats.metrics import decide
from derm_core.study.linear_head import linear_head, measure
from derm_core.study.tested_images import TestedImages
from tests.steps import finish
from tests.study.planted import planted_study
from tests.study.trained import trained_study


def test_every_frozen_arm_has_a_head_whose_metrics_are_scikit_learns(workspace, tiny):
    study = trained_study(workspace)
    _, answer = finish(linear_head(study))
    assert set(answer.arms) == {"colour", "random"}
    assert len(answer.chosen["colour"]) == 1 and len(answer.chosen["random"]) == 2
    assert set(sum(answer.chosen.values(), ())) <= set(answer.strengths)
    assert answer.arms["colour"]["balanced_accuracy"].mean > 0.6, "the classes are colours"


def test_a_closed_generator_ends_the_fits_and_gives_blas_its_threads_back(
    workspace, tiny, monkeypatch
):
    begun = threading.Event()

    def endless(*_):
        begun.set()
        while True:
            yield SimpleNamespace(val_loss=0.0)

    monkeypatch.setattr("derm_core.study.linear_head.fit_linear", endless)
    before = [one["num_threads"] for one in threadpool_info()]
    running = linear_head(trained_study(workspace))
    while not begun.is_set():
        next(running)
    running.close()
    assert [one["num_threads"] for one in threadpool_info()] == before
    assert not [one for one in threading.enumerate() if one.name.startswith("linear heads")]


def test_measured_as_scikit_learn_does_and_paired_with_the_opponent(tmp_path):
    study = planted_study(tmp_path)
    test = TestedImages.of(study)
    one_fit = {"vae": test.probabilities["vae"][:1], "imagenet": test.probabilities["imagenet"]}
    answer = measure(test, one_fit, {})
    decided = decide(one_fit["vae"][0], test.log_prior)
    ours = answer.arms["vae"]
    assert ours["balanced_accuracy"].mean == pytest.approx(
        balanced_accuracy_score(test.labels, decided)
    )
    assert ours["macro_auroc"].mean == pytest.approx(
        roc_auc_score(test.labels, one_fit["vae"][0], multi_class="ovr")
    )
    rows = {row.metric: row for row in answer.differences}
    assert answer.opponent == "imagenet" and set(rows) == {"balanced_accuracy", "macro_auroc"}
    imagenet = answer.arms["imagenet"]["macro_auroc"]
    assert rows["macro_auroc"].mean == pytest.approx(ours["macro_auroc"].mean - imagenet.mean)
    assert rows["macro_auroc"].std == pytest.approx(imagenet.std), "the spread of its seeds stays"
    assert ours["macro_auroc"].std == pytest.approx(0)


def test_fine_tuned_models_have_no_fixed_features(tmp_path):
    _, answer = finish(linear_head(planted_study(tmp_path)))
    assert answer.arms == {} and answer.note


def test_out_of_fold_decisions_use_the_prior_of_their_own_fold(tmp_path):
    test = TestedImages.of(planted_study(tmp_path, folds=3))
    p = test.probabilities["vae"][:1]
    answer = measure(test, {"vae": p, "imagenet": test.probabilities["imagenet"]}, {})
    expected = balanced_accuracy_score(test.labels, decide(p[0], test.log_prior))
    assert answer.arms["vae"]["balanced_accuracy"].mean == pytest.approx(expected)
    assert np.isfinite(answer.differences[0].p)
