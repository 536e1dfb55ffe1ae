"""The reporting checklists: every item of the published lists, filled from records, open items named."""

import dataclasses

import pytest

from derm_core.report.files import report_files
from derm_core.report.sections import all_sections, checklist_sections, method_sections
from derm_core.report.sections.checklists import (
    AUTHORS,
    CHECKLISTS,
    IN_PART,
    NOT_DONE,
    TO_FILL_IN,
    read_checklist,
)
from derm_core.report.templating import WORDS
from derm_core.study.study_result import StudyResult, study_result
from derm_core.study.summaries import FixedProtocol
from tests.report.full_study import example

# Collins et al. 2024, table 2, and Tejani et al. 2024.
TRIPOD_AI = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 "
    "17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
CLAIM = " ".join(map(str, range(1, 45)))


@pytest.fixture
def result() -> StudyResult:
    return study_result(example())


def rows(result: StudyResult) -> dict[tuple[str, str], dict]:
    return {
        (section.key.removeprefix("checklist-"), row["Item"]): row
        for section in checklist_sections(result)
        for row in section.table
    }


@pytest.mark.parametrize(("name", "numbers"), [("tripod_ai", TRIPOD_AI), ("claim", CLAIM)])
def test_every_item_of_the_published_list_is_there_once(name, numbers):
    assert [item.number for item in read_checklist(name).item] == numbers.split()


def test_an_answer_names_a_section_that_the_report_has(result):
    report = [*all_sections(result, {}), *method_sections(result)]
    titles = {one.title or one.table_title for one in report}
    table = rows(result)
    for row in table.values():
        assert row["Where"] == "–" or set(row["Where"].split("; ")) <= titles
    keys = [*(section.key for section in report), *WORDS]
    for name in CHECKLISTS:
        for item in read_checklist(name).item:
            for start in item.where:
                assert any(key.startswith(start) for key in keys), (name, item.number, start)


def test_what_the_product_cannot_know_is_left_to_the_authors(result):
    table = rows(result)
    for item in (("tripod-ai", "17"), ("tripod-ai", "18a"), ("claim", "44"), ("claim", "11")):
        assert table[item]["Status"] == AUTHORS and table[item]["Answer"] == TO_FILL_IN


def test_what_the_study_did_not_ask_is_not_done(result):
    without = dataclasses.replace(
        result, external=(), robustness=None, linear_head=None, sensitivity=()
    )
    for item in (("tripod-ai", "23b"), ("claim", "33"), ("claim", "30")):
        assert rows(result)[item]["Status"] == "answered"
        assert rows(without)[item]["Status"] == NOT_DONE and rows(without)[item]["Where"] == "–"


def test_the_protocol_is_answered_where_one_was_fixed(result):
    assert rows(result)["tripod-ai", "18c"]["Status"] == NOT_DONE
    fixed = FixedProtocol(sha256="abc123", created=0.0, content=content())
    table = rows(dataclasses.replace(result, protocol=fixed))
    assert "abc123" in table["tripod-ai", "18c"]["Answer"]


def content() -> dict:
    """As much of a protocol as its section reads."""
    return {
        "arms": ["vae", "imagenet"],
        "primary": {"arms": ["vae", "imagenet"]},
        "families": {"primary": "one test"},
        "margins": {"ece": 0.01},
        "grid": {"learning_rates": [1e-3], "weight_decays": [0.0], "rule": "best"},
        "split": {"splits": "grouped", "split_seed": 0},
        "folds": 0,
        "seeds": [0],
        "label_fractions": [],
        "metrics": ["ece"],
        "headline": "the primary difference",
    }


def test_figures_come_from_the_records(result):
    data = dataclasses.replace(
        result.dataset,
        excluded={"truncated": 3, "too small": 1},
        unlabelled=7,
        attributes={"age": 80},
        known_as="HAM10000",
    )
    table = rows(dataclasses.replace(result, dataset=data))
    assert table["claim", "7"]["Status"] == IN_PART
    exclusions = table["claim", "8"]["Answer"]
    assert "4 files" in exclusions and "truncated (3)" in exclusions and "7 images" in exclusions
    assert "age (80)" in table["tripod-ai", "20b"]["Answer"]
    assert "HAM10000" in table["claim", "7"]["Answer"]
    assert "70" in table["claim", "19"]["Answer"] and "30" in table["claim", "19"]["Answer"]


def test_they_are_among_the_files_with_the_data_statement(result, tmp_path):
    files = report_files(result, tmp_path)
    for name, numbers in (("tripod-ai", TRIPOD_AI), ("claim", CLAIM)):
        lines = files[f"checklist-{name}.csv"].decode("utf-8-sig").splitlines()
        assert len(lines) == 1 + len(numbers.split())
    assert b"115 images" in files["data-statement.csv"]


def test_an_evaluation_of_published_models_has_none(result):
    assert checklist_sections(dataclasses.replace(result, kind="evaluate")) == []


def test_what_takes_the_place_of_the_primary_test_is_not_called_it(result):
    assert rows(result)["claim", "4"]["Answer"].startswith("Primary test")
    others = tuple(dataclasses.replace(row, primary=False) for row in result.differences)
    table = rows(dataclasses.replace(result, differences=others))
    assert not table["claim", "4"]["Answer"].startswith("Primary test")
    assert not any("80 %" in row["Answer"] for row in table.values())
    assert not any("one primary test" in row["Answer"] for row in table.values())
