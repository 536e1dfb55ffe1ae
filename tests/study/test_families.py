"""The families of tests: which test belongs to which, and Holm's correction within each."""

from __future__ import annotations

import dataclasses

import pytest

from derm_core.stats.multiple_tests import holm
from derm_core.study.families import with_corrections
from tests.study.made_results import accuracies, difference, made_result

PAIR, ARMS = ("vae", "imagenet"), ("vae", "imagenet", "random", "both")
PAIRS = {PAIR: (-0.09, -0.01), ("vae", "random"): (0.01, 0.05), ("imagenet", "both"): (-0.06, 0.0)}
GAPS = {
    (*PAIR, "loss", "final"): (-0.3, 0.01),
    (*PAIR, "loss", "best"): (-0.3, -0.1),
    ("vae", "random", "loss", "final"): (-0.1, 0.2),
}


def every_row(result):
    tables = (
        result.differences,
        result.gap_differences,
        result.shared.differences,
        result.shared.gap_differences,
        [row for row in result.label_efficiency.differences if row.fraction != 1],
        [row for row in result.label_efficiency.shared.differences if row.fraction != 1],
    )
    return [row for table in tables for row in table]


@pytest.fixture
def result():
    return made_result(ARMS, PAIRS, gaps=GAPS, fewer={PAIR: (0.01, 0.06)})


def test_there_is_one_primary_test_and_it_is_not_corrected(result):
    primary = [row for row in every_row(result) if row.correction == "primary"]
    assert [(row.a, row.b, row.metric) for row in primary] == [(*PAIR, "balanced_accuracy")]
    assert primary[0].p_holm is None


def test_the_secondary_family_holds_shares_gaps_and_the_shared_setting(result):
    rows = every_row(result)
    secondary = [row for row in rows if row.correction == "secondary"]
    # two other pairs and three at the shared setting; one gap and one label share, each twice
    assert len(secondary) == 2 + 3 + 2 * 1 + 2 * 1
    expected = holm([row.p for row in secondary])
    assert [row.p_holm for row in secondary] == pytest.approx(expected)


def test_the_rest_is_exploratory_and_corrected_within_itself(result):
    rows = [row for row in every_row(result) if row.correction == "exploratory"]
    assert {(row.kind, row.at, row.b) for row in rows} == {
        ("loss", "best", "imagenet"),
        ("loss", "final", "random"),
    }
    assert [row.p_holm for row in rows] == pytest.approx(holm([row.p for row in rows]))


def test_another_metric_is_exploratory_whatever_the_pair(result):
    row = difference(*PAIR, (0.01, 0.02), metric="accuracy", primary=False)
    more = with_corrections(dataclasses.replace(result, differences=(*result.differences, row)))
    assert more.differences[-1].correction == "exploratory"


def test_all_labels_of_the_label_table_are_the_studys_own_test_and_are_not_counted_twice(result):
    labels = result.label_efficiency
    full = accuracies(PAIRS, fraction=1.0)
    labels = dataclasses.replace(labels, differences=(*labels.differences, *full))
    more = with_corrections(dataclasses.replace(result, label_efficiency=labels))
    assert [r.p_holm for r in more.differences] == [r.p_holm for r in result.differences]
    of_full = [row for row in more.label_efficiency.differences if row.fraction == 1]
    assert [r.p_holm for r in of_full] == [r.p_holm for r in more.differences]


def test_the_rows_with_a_family_give_its_correction_again(result):
    """What a reader of study.json can check: Holm's p over all rows that name the family."""
    labels = result.label_efficiency
    repeated = dataclasses.replace(
        labels, differences=(*labels.differences, *accuracies(PAIRS, fraction=1.0))
    )
    more = with_corrections(dataclasses.replace(result, label_efficiency=repeated))
    tables = [
        more.differences,
        more.gap_differences,
        more.shared.differences,
        more.shared.gap_differences,
        more.label_efficiency.differences,
        more.label_efficiency.shared.differences,
    ]
    rows = [row for table in tables for row in table if row.correction == "secondary"]
    assert [row.p_holm for row in rows] == pytest.approx(holm([row.p for row in rows]))
