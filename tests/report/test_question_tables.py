"""Tables of the further questions hold what study.json says, and nothing where it says nothing."""

from __future__ import annotations

import pytest

from derm_core import formatting
from derm_core.arms import arm_style
from derm_core.report import question_tables, study_comparison, tables
from tests.report.full_study import FRACTIONS, complete, interval

ARMS = {
    arm: {
        "label": arm_style(arm).name,
        "test": {"balanced_accuracy": interval(0.5), "macro_auroc": interval(0.8)},
        "gaps": {"loss": 0.1, "accuracy": 0.02},
    }
    for arm in ("vae", "imagenet", "random")
}
POINT = {
    "class": "mel",
    "images": 9,
    "groups": 8,
    "specificity": [0.8, 0.9, 1.0],
    "arms": {
        "vae": {
            "sensitivity": [0.7, 0.6, 0.1],
            "low": [0.6, 0.5, 0.0],
            "high": [0.8, 0.7, 0.3],
            "threshold": [0.1, 0.2, 0.9],
            **{
                f"given_{side}{end}": [0.5, 0.4, 0.3]
                for side in ("sensitivity", "specificity")
                for end in ("", "_low", "_high")
            },
        }
    },
}


@pytest.fixture
def study() -> dict:
    base = {
        "run_id": "study-1",
        "arms": ARMS,
        "classes": ["mel", "nv"],
        "config": {"regime": "frozen", "input_size": 64, "seeds": [0, 1]},
        "dataset": {"name": "tiny"},
        "split": {"fingerprint": "abc", "counts": {"test": 30}},
    }
    return complete(base) | {
        "detail": {
            "operating_point": POINT,
            "subgroups": [
                {
                    "attribute": "sex",
                    "worst": {"vae": "f", "imagenet": None, "random": "m"},
                    "values": [
                        {
                            "value": "f",
                            "images": 20,
                            "groups": 20,
                            "caution": False,
                            "arms": {arm: {"balanced_accuracy": interval(0.3)} for arm in ARMS},
                        },
                        {
                            "value": "m",
                            "images": 9,
                            "groups": 5,
                            "caution": True,
                            "arms": {arm: {"balanced_accuracy": interval(0.4)} for arm in ARMS},
                        },
                    ],
                }
            ],
        }
    }


@pytest.mark.parametrize(
    "name",
    [
        "label_efficiency",
        "robustness",
        "shortcut",
        "external",
        "calibration",
        "operating_point",
        "subgroups",
        "disagreement",
    ],
)
def test_a_study_that_did_not_ask_has_empty_tables(name):
    numbers, text = getattr(question_tables, name)({"arms": ARMS})
    assert len(numbers) == 0 and len(text) == 0


def test_label_efficiency_has_a_line_a_share_and_a_column_an_arm(study):
    numbers, text = question_tables.label_efficiency(study)
    assert len(text) == len(FRACTIONS) and list(text)[1:] == [
        arm_style(arm).name for arm in ("vae", "imagenet", "random")
    ]
    assert text["Labels"][0].startswith(f"10{formatting.THIN}%") and len(numbers) == 3 * 3 * len(
        FRACTIONS
    )


def test_the_clean_test_set_is_severity_zero(study):
    rows = question_tables.severity_rows(study, "hair")
    assert sorted({row["severity"] for row in rows}) == [0, 1, 2, 3, 4, 5] and len(rows) == 3 * 6


def test_robustness_ends_with_the_mean_over_all_families(study):
    _, text = question_tables.robustness(study)
    assert text["Corruption"].tolist() == ["Defocus", "JPEG", "Hair", "Mean over all"]


def test_other_sets_stand_beside_the_study_s_own(study):
    groups = [row["group"] for row in question_tables.external_rows(study)]
    assert groups == ["tiny, test"] * 3 + ["elsewhere"] * 3
    numbers, _ = question_tables.external(study)
    assert set(numbers["metric"]) == {"balanced_accuracy", "macro_auroc", "drop"}


@pytest.mark.parametrize(("at", "sensitivity"), [(0.9, 0.6), (0.93, 0.6), (0.99, 0.1)])
def test_the_operating_point_is_the_nearest_specificity(study, at, sensitivity):
    numbers, text = question_tables.operating_point(study, at)
    assert text["Sensitivity"][0].startswith(formatting.percent(sensitivity)) and len(numbers) == 3


def test_small_subgroups_are_faint_and_never_hidden(study):
    rows = question_tables.subgroup_rows(study, "sex")
    assert [row["faint"] for row in rows] == [False] * 3 + [True] * 3
    _, worst = question_tables.subgroups(study)
    assert worst.iloc[0].tolist() == ["Sex", "f", "–", "m"]


def test_the_primary_difference_stands_first(study):
    rows = [
        {"a": "vae", "b": "random", "metric": "accuracy", "primary": False, **interval(0.1)},
        {"a": "vae", "b": "imagenet", "metric": "accuracy", "primary": True, **interval(-0.1)},
        {"a": "vae", "b": "imagenet", "metric": "brier", "primary": False, **interval(0.2)},
    ]
    found = tables.difference_rows(study, rows, "accuracy")
    assert [row["name"] for row in found] == ["VAE − ImageNet", "VAE − Random"] and found[0][
        "text"
    ].startswith("−10.0")


def test_claims_carry_their_answer(study):
    found = tables.claims(study)
    assert [text.split("[")[1] for text in found["Here"]] == [
        "Seen]",
        "Not seen]",
        "Opposite]",
        "Not asked]",
    ]


def test_studies_that_share_all_conditions_can_be_compared_and_others_say_what_differs(study):
    other = study | {
        "config": study["config"] | {"input_size": 224, "finetune": {"epochs": 3}},
        "split": {"fingerprint": "xyz", "counts": {}},
    }
    assert study_comparison.not_comparable({"a": study, "b": study}) == []
    assert study_comparison.not_comparable({"a": study, "b": other}) == ["split", "input size"]
    found = study_comparison.differing(
        {"a": study, "b": other}, {"a": "First", "b": "Second"}
    ).set_index("Setting")
    assert set(found.index) == {"test split", "input size", "finetune, epochs"}
    assert (
        found.loc["input size"].tolist() == ["64", "224"]
        and found.loc["finetune, epochs", "First"] == "–"
    )


def test_a_study_beside_itself_differs_in_nothing(study):
    assert study_comparison.differing({"a": study, "b": study}, {"a": "First", "b": "Second"}).empty
    assert len(study_comparison.table({"a": study, "b": study}, {"a": "First", "b": "Second"})) == 6
