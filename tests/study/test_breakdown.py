"""The closer look at the test set, against loops over its images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.records import to_json
from derm_core.stats import metrics
from derm_core.stats.evaluation import evaluate
from derm_core.stats.intervals import Interval
from derm_core.study.answers import Subgroup
from derm_core.study.breakdown import breakdown
from derm_core.study.clinical import melanoma_class
from derm_core.study.subgroups import lowest_subgroup
from tests.steps import finish
from tests.study.planted import CLASSES, N, planted_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return planted_study(tmp_path_factory.mktemp("detail"))


@pytest.fixture(scope="module")
def answer(study) -> dict:
    """The breakdown as it stands in study.json."""
    return to_json(finish(breakdown(study))[1])


def ensemble(study, arm: str) -> np.ndarray:
    return study.trained[arm].probabilities["test"].mean(0)


@pytest.mark.slow
def test_decisions_are_the_seed_ensemble_s(study, answer):
    table = pd.read_parquet(study.run.decisions)
    assert table["row"].tolist() == list(range(N, 2 * N)) and table["image_id"][0] == f"i{N}"
    for arm in study.trained:
        p = ensemble(study, arm)
        for i in range(0, N, 17):
            decided = int(np.argmax(np.log(p[i]) - study.log_prior))
            assert table[f"decision:{arm}"][i] == decided
            assert table[f"confidence:{arm}"][i] == pytest.approx(p[i, decided])
            assert table[f"p_true:{arm}"][i] == pytest.approx(p[i, table["label"][i]])


def test_disagreement_counts_every_image_once(study, answer):
    table = pd.read_parquet(study.run.decisions)
    (row,) = answer["disagreement"]
    expected, right = (
        np.zeros((3, 3)),
        dict.fromkeys(("both_right", "a_only", "b_only", "both_wrong"), 0),
    )
    for one in table.itertuples():
        a, b = one._4, one._7
        expected[a, b] += 1
        right[
            "both_right"
            if a == b == one.label
            else "a_only"
            if a == one.label
            else "b_only"
            if b == one.label
            else "both_wrong"
        ] += 1
    np.testing.assert_array_equal(row["matrix"], expected)
    assert {key: row[key] for key in right} == right and sum(right.values()) == N


def test_numbers_are_banded_and_what_does_not_tell_groups_apart_is_left_out(answer):
    assert [entry["attribute"] for entry in answer["subgroups"]] == ["age", "sex"]
    assert next(row["value"] for row in answer["subgroups"][0]["values"]) == "20 to 30"
    for entry in answer["subgroups"]:
        assert sum(row["images"] for row in entry["values"]) == N


def test_a_subgroup_has_the_metrics_of_its_images_alone(study, answer):
    test = study.data.members("test")
    for entry in answer["subgroups"][1:]:
        for row in entry["values"]:
            values = study.data.dataset.frame["sex"].iloc[test]
            here = (
                values.isna() if row["value"] == "(missing)" else values == row["value"]
            ).to_numpy()
            labels = study.data.labels[test][here]
            p = study.trained["vae"].probabilities["test"][:, here]
            known = metrics.all_metrics(labels, p, study.log_prior)
            assert row["arms"]["vae"]["balanced_accuracy"]["mean"] == pytest.approx(
                known["balanced_accuracy"].mean()
            )
            assert row["groups"] == len(np.unique(study.data.groups[test][here]))
            assert row["caution"] == (row["groups"] < 20)


def test_the_lowest_subgroup_is_known_and_large_enough():
    def row(value: str, mean: float, caution: bool = False) -> Subgroup:
        arms = {"vae": {"balanced_accuracy": Interval(mean=mean)}}
        return Subgroup(value=value, images=1, groups=1, classes=3, caution=caution, arms=arms)

    rows = [row("a", 0.5), row("b", 0.4), row("c", 0.1, True), row("(missing)", 0.2)]
    assert lowest_subgroup(rows, "vae") == "b"
    assert lowest_subgroup([row("a", 0.5), row("b", 0.4, True)], "vae") is None


def test_calibration_before_is_the_study_s_own_and_after_is_no_worse_on_validation(study, answer):
    test = study.data.members("test")
    labels, groups = study.data.labels[test], study.data.groups[test]
    own = evaluate(
        labels,
        groups,
        {arm: o.probabilities["test"] for arm, o in study.trained.items()},
        study.log_prior,
        CLASSES,
        resamples=200,
    ).arms
    for arm, entry in answer["calibration"].items():
        for metric in ("ece", "brier", "log_loss"):
            assert entry["before"][metric]["mean"] == pytest.approx(own[arm][metric].mean)
            assert entry["before"][metric]["low"] == pytest.approx(own[arm][metric].low, abs=1e-6)
        assert sum(row["n"] for row in entry["bins"]) == pytest.approx(N)
        val = study.trained[arm].probabilities["val"]
        powered = val ** (1 / entry["temperature"])
        tempered = powered / powered.sum(-1, keepdims=True)
        chosen = study.data.labels[study.data.members("val")]
        assert (
            metrics.log_loss(chosen, tempered).mean() <= metrics.log_loss(chosen, val).mean() + 1e-9
        )


def test_the_operating_point_is_melanoma_s(study, answer):
    point = answer["operating_point"]
    positive = study.data.labels[N:] == 1
    assert (point["class"], point["images"], len(point["specificity"])) == (
        "mel",
        positive.sum(),
        101,
    )
    assert set(point["arms"]) == set(study.trained)
    assert point["arms"]["imagenet"]["sensitivity"][90] > point["arms"]["vae"]["sensitivity"][90]


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (("nv", "mel"), "mel"),
        (("high", "low"), "high"),
        (("MEL", "NEV"), "MEL"),
        (("cat", "dog"), None),
    ],
)
def test_the_class_of_the_operating_point_is_melanoma_else_the_high_priority(classes, name):
    assert melanoma_class(classes) == name
