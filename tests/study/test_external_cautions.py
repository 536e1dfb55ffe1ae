"""What limits another test set is said wherever its numbers stand, in results of every version."""

import dataclasses

import pytest

from derm_core.data.known_datasets import share_an_archive
from derm_core.report.csv_tables import csv_tables
from derm_core.report.sections.external import external, one_external
from derm_core.report.terminal import text_report
from derm_core.study.external_cautions import external_cautions, short_cautions
from derm_core.study.study_result import StudyResult, study_result
from tests.report.full_study import example


@pytest.fixture
def result() -> StudyResult:
    """A study on HAM10000 that was tested on ISIC 2018: 30 images, few of them malignant."""
    result = study_result(example())
    one = dataclasses.replace(
        result.external[0], dataset="isic2018", images=30, groups=30, groups_known=False
    )
    recalls = {"vae": result.arms["vae"].per_class}
    one = dataclasses.replace(one, absent=("df",), per_class=recalls)
    dataset = dataclasses.replace(result.dataset, name="ham10000")
    return dataclasses.replace(result, external=(one,), dataset=dataset)


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        ("ISIC 2018", "HAM10000", True),
        ("isic2018", "ham10000", True),
        ("BCN20000", "ISIC 2019", True),
        ("DermaMNIST-C", "ISIC Archive", True),
        ("PAD-UFES-20", "HAM10000", False),
        ("derm7pt", "Fitzpatrick17k", False),
        ("clinic", "HAM10000", False),
    ],
)
def test_sets_of_one_archive_are_companions(one, other, related):
    assert share_an_archive(one, other) == share_an_archive(other, one) == related


def test_what_an_import_recognised_counts_more_than_the_name(result):
    one = dataclasses.replace(result.external[0], dataset="ours", known_as="ISIC 2018")
    assert "ours" in external_cautions(one, result.dataset)[0]
    other = dataclasses.replace(result.dataset, known_as="PAD-UFES-20")
    assert external_cautions(one, other) == one.cautions


def test_unknown_groups_absent_classes_few_groups_and_the_companion_are_all_said(result):
    texts = short_cautions(result.external[0], result.dataset)
    assert len(texts) == 4
    for word in ("archive", "groups unknown", "df", "mel (8)"):
        assert any(word in text for text in texts)


def test_a_set_without_limits_has_no_caution(result):
    first = result.external[0]
    many = tuple(dataclasses.replace(row, groups=50) for row in first.per_class["vae"])
    one = dataclasses.replace(
        first, dataset="clinic", groups_known=True, absent=(), per_class={"vae": many}
    )
    assert short_cautions(one, result.dataset) == ()


def test_they_stand_in_the_table_of_all_sets_the_terminal_and_every_row_of_the_csv(result):
    texts = short_cautions(result.external[0], result.dataset)
    bullets = " ".join(bullet.text for bullet in external(result).bullets)
    terminal = " ".join(text_report(result).split())
    for text in texts:
        assert text in bullets and text in terminal
        for name in ("external", "external-differences"):
            rows = csv_tables(result)[name]
            assert rows and all(text in row["cautions"] for row in rows)
    written = one_external(result, result.external[0]).text
    assert external_cautions(result.external[0], result.dataset)[0] in written
