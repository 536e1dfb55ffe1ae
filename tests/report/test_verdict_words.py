"""One record, one wording: the terminal and the report show the headline and the sentences of the verdict."""

from __future__ import annotations

import dataclasses

import pytest

from derm_core.report import sections
from derm_core.report.csv_tables import csv_table, csv_tables
from derm_core.report.sections import verdict as section
from derm_core.report.terminal import text_report
from derm_core.study.verdict import verdict
from tests.study.made_results import made_result

ARMS, PAIR = ("vae", "imagenet", "random"), ("vae", "imagenet")
GAPS = {
    (*PAIR, kind, at): (-0.3, -0.2) for kind in ("loss", "accuracy") for at in ("final", "test")
}


@pytest.fixture
def result():
    made = made_result(ARMS, {PAIR: (-0.09, -0.03)}, gaps=GAPS)
    config = made.config | {"seeds": [0, 1]}
    counts = dict.fromkeys(("train", "val", "test"), 10)
    made = dataclasses.replace(
        made, config=config, split=dataclasses.replace(made.split, counts=counts)
    )
    return dataclasses.replace(made, verdict=verdict(made))


def test_the_terminal_and_the_report_have_every_sentence_of_the_record(result):
    terminal = " ".join(text_report(result).split())
    drawn = sections.all_sections(result, {})
    report = {bullet.text for one in drawn for bullet in one.bullets}
    assert result.verdict.headline.replace("\u202f", " ") in terminal
    assert {one.finding for one in drawn} >= {result.verdict.headline}
    for sentence in result.verdict.sentences:
        assert " ".join(sentence.split()) in terminal and sentence in report


def test_every_claim_has_a_line_with_both_settings(result):
    tables = {one.key: one for one in section.background(result) if one}
    lines = [*tables["tests"].table, *tables["further-tests"].table]
    assert len(lines) == len(result.verdict.claims) == 5
    assert all(line["One setting for all"] != "–" for line in lines)
    assert {line["Says"] for line in lines} == {"Lower"}
    assert tables["details"].folded and tables["further-tests"].folded
    assert list(csv_table(result, "verdict-claims")["says"]) == ["lower"] * 5


def test_old_results_say_that_their_numbers_are_those_of_one_setting(result):
    old = dataclasses.replace(result, shared=None)
    assert section.AT_SHARED_SETTING in section.notes(old).notes
    assert section.AT_SHARED_SETTING not in section.notes(result).notes


def test_the_shared_setting_has_its_tables():
    tables = csv_tables(
        made_result(ARMS, {PAIR: (-0.09, -0.03)}, gaps=GAPS, fewer={PAIR: (0.01, 0.03)})
    )
    assert len(tables["shared-differences"]) == 1 and len(tables["shared-gap-differences"]) == 4
    assert len(tables["shared-label-efficiency-differences"]) == 1
    assert tables["shared-differences"][0]["correction"] == "secondary"
