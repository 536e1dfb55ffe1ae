"""The leaderboard as sections and as texts to paste: what the ranking says, every column that was measured."""

from __future__ import annotations

import json
import re

import pytest

from derm_core.report import sections
from derm_core.report.publication_texts import bibtex, latex_table
from derm_core.report.sections.leaderboard import leaderboard, short_leaderboard
from derm_core.report.terminal import section_text
from derm_core.study.leaderboard import ArmFilter
from derm_core.study.study_result import study_result
from tests.report.full_study import ARMS, example, interval
from tests.study.test_leaderboard import planted

UNMEASURED = ("robustness", "label_efficiency", "saliency_inside")


@pytest.fixture
def study() -> dict:
    """Three arms of falling number, the last the most accurate; one pair is told apart."""
    study = example()
    for row in study["differences"]:
        apart = {row["a"], row["b"]} == {"vae", "random"}
        row |= interval(-0.2) | {"p_holm": 0.01 if apart else 0.7, "primary": False}
    study.pop("shared", None)
    return study


def seen(study: dict, **answers: str) -> dict:
    for arm, answer in answers.items():
        study["arms"][arm] |= {"seen": answer, "pretrained_on": "x", "architecture": "resnet18"}
    return study


def test_every_arm_has_its_rank_ties_and_what_the_study_measured(study):
    [section] = leaderboard(study_result(study))
    best, _, last = section.table
    assert [row["Arm"].key for row in section.table] == ["random", "imagenet", "vae"]
    assert [(row["Rank"], row["Ties"]) for row in section.table] == [
        ("1–2", "a"),
        ("1–3", "a b"),
        ("2–3", "b"),
    ]
    assert best["Balanced accuracy"].startswith("70.0") and "5.0–15.0" in last["Accuracy gap"]
    assert "Lost to corruptions" in section.columns
    assert any("of the labels" in column for column in section.columns)
    assert section.finding == (
        "No arm is shown to be the most accurate: Random initialisation and ImageNet may each stand first."
    )
    assert "cannot be read from their overlap" in section.caption
    numbers = section.numbers()
    assert list(numbers["first"]) == [1, 1, 2] and numbers["relative_loss_mean"].notna().all()


def test_an_arm_that_none_is_shown_above_is_not_said_to_be_above_all():
    """Of A above B and B above C it does not follow that A is shown to be above C."""
    differing = {("both", "vae"), ("both", "imagenet")}
    ahead = leaderboard(planted(*differing, ("both", "random")))[0].finding
    assert ahead == "VAE + SimCLR + ImageNet is shown to be more accurate than every other arm."
    chain = leaderboard(planted(*differing, ("imagenet", "random"), ("vae", "random")))[0].finding
    assert chain == (
        "No arm is shown to be more accurate than VAE + SimCLR + ImageNet, which is not told apart from "
        "Random initialisation."
    )


def test_what_was_not_measured_has_no_column(study):
    bare = {key: value for key, value in study.items() if key not in UNMEASURED}
    [section] = leaderboard(study_result(bare))
    assert not any(
        word in one for one in section.columns for word in ("corruptions", "labels", "Saliency")
    )


def test_saliency_inside_the_lesion_is_a_column_beside_the_area(study):
    [section] = leaderboard(study_result(study))
    shares = {row["Arm"].key: row["Saliency inside"] for row in section.table}
    assert shares["vae"].startswith("50.0") and shares["random"] == "–"
    assert "30.0" in section.table_caption and "area" in section.table_caption
    numbers = section.numbers().set_index("arm")
    assert numbers["saliency_inside_mean"]["imagenet"] == pytest.approx(0.3)


def test_ties_are_lines_beside_the_dots(study):
    [section] = leaderboard(study_result(study))
    figure = section.figure()
    lines = {trace.name: list(trace.y) for trace in figure.data if trace.xaxis == "x2"}
    assert lines == {"a": [0, 1], "b": [1, 2]}
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[1] == 1


def test_an_arm_that_saw_the_images_is_marked_and_ranked_apart(study):
    other = json.loads(json.dumps(study).replace('"random"', '"bundle:mole"'))
    result = study_result(seen(other, vae="no", imagenet="no", **{"bundle:mole": "yes"}))
    main, apart = leaderboard(result)
    assert [row["Arm"].key for row in main.table] == ["imagenet", "vae"]
    assert [(row["Rank"], row["Saw these images"]) for row in apart.table] == [("1", "Yes")]
    assert list(main.numbers()["ranked_apart"]) == [False, False, True]
    text = section_text(short_leaderboard(result))
    assert "arm ranked here" in main.finding
    assert "ranked apart" in text and text.index("ImageNet") < text.rindex("Random init")


def test_a_filter_says_how_many_arms_it_leaves(study):
    result = study_result(seen(study, vae="no", imagenet="unknown", random="no"))
    [section] = leaderboard(result, ArmFilter(seen="unknown"))
    assert len(section.table) == 1 and "1 arm of 3 shown" in section.text[0]
    [nothing] = leaderboard(result, ArmFilter(millions=1))
    assert not nothing.table and nothing.figure is None and nothing.finding.startswith("No arm")


def test_two_arms_are_compared_and_not_ranked():
    result = study_result(example(arms=ARMS[:2]))
    assert leaderboard(result) == [] and short_leaderboard(result) is None
    assert not any(one.key == "leaderboard" for one in sections.all_sections(result, {}))


def test_report_and_terminal_have_the_ranking(study):
    result = study_result(study)
    assert any(one.key == "leaderboard" for one in sections.all_sections(result, {}))
    assert any(one.key == "leaderboard-short" for one in sections.terminal_sections(result))


def test_latex_has_a_line_an_arm_and_nothing_that_latex_would_execute(study):
    study["arms"]["vae"]["label"] = r"50 % \input{x} & a_b #1"
    [section] = leaderboard(study_result(study))
    text = latex_table(section)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3
    columns = {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines}
    assert columns == {len(section.columns)}
    assert r"50 \% \textbackslash{}input\{x\} \& a\_b \#1" in body and r"\input" not in body
    assert text.isascii()


def test_the_citation_names_run_data_and_split(study):
    study["dataset"] |= {"known_as": "MOLES", "citation": "Somebody (2018)"}
    text = bibtex(study_result(study))
    assert text.startswith("@misc{study-1,") and "@misc{MOLES," in text
    assert "data set fingerprint def, split abc" in text and "Somebody (2018)" in text
    assert text.count("{") == text.count("}")
