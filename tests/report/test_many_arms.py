"""A study of many arms stays readable: figures and tables have what the verdict speaks of, the CSV has all."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
import pytest

from derm_core.report.html import report_html
from derm_core.report.sections import all_sections, gaps, metrics, paper
from derm_core.study.study_result import StudyResult, read_study, study_result
from derm_core.workspace import REPOSITORY
from tests.report.full_study import example

ARMS = ("vae", "imagenet", "both", "colour", "scratch", "random")
QUANTITIES = ("loss", "accuracy", "balanced_accuracy")
ASKED = {("vae", "imagenet"), ("vae", "random"), ("both", "imagenet")}


@pytest.fixture
def result() -> StudyResult:
    study = example(arms=ARMS)
    for row in study["differences"]:
        row["primary"] = (row["a"], row["b"]) == ARMS[:2] and row["metric"] == "balanced_accuracy"
        headline = (row["a"], row["b"]) in ASKED or (row["b"], row["a"]) in ASKED
        row["correction"] = "secondary" if headline else "exploratory"
    study["paper_table"] = [
        {
            "arm": arm,
            "quantity": "val_loss",
            "start": 1.0,
            "final": 0.5,
            "relative_change": -0.5,
            "paper": {"final": 0.1} if arm in ("vae", "imagenet") else None,
        }
        for arm in ARMS
    ]
    return study_result(study)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "brier"])
def test_differences_are_those_of_the_verdict_and_all_pairs_are_one_click_away(result, metric):
    section, every = metrics.differences(result, metric), metrics.all_pairs(result, metric)
    drawn = [trace for trace in section.figure().data if trace.mode == "markers"]
    assert len(drawn) == len(section.table) == len(ASKED)
    assert (
        "Drawn: the 3 pairs of the verdict; the list of all pairs below has all 15."
        in section.caption
    )
    assert every.folded and len(every.table) == len(list(combinations(ARMS, 2)))
    tests = [row["Test"] for row in every.table]
    assert tests == sorted(tests, key=("primary", "secondary", "exploratory").index)


def test_a_figure_of_gaps_has_the_pairs_of_the_verdict(result):
    section = gaps.gap_differences(result, "accuracy")
    drawn = [trace for trace in section.figure().data if trace.mode == "markers"]
    assert len(drawn) == len(ASKED) and "the CSV has all 15" in section.caption


def test_few_differences_are_all_drawn():
    section = metrics.differences(study_result(example()))
    assert metrics.all_pairs(study_result(example())) is None
    assert "Drawn" not in section.caption
    assert len([trace for trace in section.figure().data if trace.mode == "markers"]) == 3


def test_the_paper_s_table_has_the_arms_that_it_is_about(result):
    section = paper.paper_table(result)[0]
    assert [row["Arm"].key for row in section.table] == ["vae", "imagenet", "random"]
    assert "The CSV has all 6 arms." in section.table_caption and len(section.numbers()) == 6


def test_of_many_arms_the_report_has_the_curves_of_loss_and_accuracy():
    table = pd.DataFrame({"epoch": [0, 1], "seed": 0})
    table = table.assign(
        **{f"{split}_{name}": 0.5 for split in ("train", "val") for name in QUANTITIES}
    )
    seven = (*ARMS, "metadata")
    for arms, drawn in ((ARMS, QUANTITIES), (seven, QUANTITIES[:2])):
        every = all_sections(study_result(example(arms=arms)), dict.fromkeys(arms, table))
        keys = [section.key for section in every if section.key.startswith("curves-")]
        assert keys == [f"curves-{name}" for name in drawn]


@pytest.mark.slow
def test_the_report_of_the_published_five_folds_stays_below_two_megabytes():
    folder = REPOSITORY / "studies" / "ham10000-folds"
    result = read_study(folder / "artefacts" / "study.json.gz")
    assert len(report_html(result, folder).encode()) < 2_000_000


def test_why_two_arms_are_not_comparable_is_said_with_their_names():
    study = example()
    study["matched"][0] |= {
        "comparable": False,
        "reason": "Training accuracy 53.3 %: imagenet reaches it after 2 evaluations.",
    }
    finding = gaps.matched_gaps(study_result(study)).finding
    assert finding.endswith("53.3 %: ImageNet reaches it after 2 evaluations.")
