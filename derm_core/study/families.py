"""The families within which the tests of a study are corrected for their number (Holm 1979).

primary      one test: the study's VAE less its opponent, balanced accuracy, each arm at its own best
             setting, all labels; not corrected
secondary    what else the headline may rest on: balanced accuracy of `roles.headline_pairs` with all
             labels and with each share of them; loss and accuracy gap of `roles.gap_pairs` at the end,
             on the test set and at matched training accuracy; all of these at the shared setting too
exploratory  every other pair, metric and moment

One rule for all secondary and exploratory tests: a difference is claimed where the corrected p is
below 0.05. Tables on other questions (corruptions, a planted artefact, other test sets) are
corrected within themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from ..stats.intervals import Difference
from ..stats.multiple_tests import with_families
from ..stats.paired import Pair
from .answers import LabelEfficiency
from .roles import gap_pairs, headline_pairs
from .study_result import StudyResult

METRIC, GAP_MOMENTS = "balanced_accuracy", ("final", "matched", "test")
Family = Literal["primary", "secondary", "exploratory"]
Rows = tuple[Difference, ...]


def with_corrections(result: StudyResult) -> StudyResult:
    """The result with the family of every difference and p corrected within it."""
    shared, labels = result.shared, result.label_efficiency
    of_labels = labels.shared if labels else None
    tables: list[Rows] = [
        result.differences,
        result.gap_differences,
        shared.differences if shared else (),
        shared.gap_differences if shared else (),
        _with_fewer(labels.differences if labels else ()),
        _with_fewer(of_labels.differences if of_labels else ()),
    ]
    arms = result.counted
    pairs = (_unordered(headline_pairs(arms)), _unordered(gap_pairs(arms)))
    named = [
        dataclasses.replace(row, correction=_family(row, *pairs)) for rows in tables for row in rows
    ]
    corrected, done = with_families(named), []
    for rows in tables:
        done.append(tuple(corrected[: len(rows)]))
        corrected = corrected[len(rows) :]
    all_labels, gaps, shared_rows, shared_gaps, fewer, shared_fewer = done
    if shared:
        shared = dataclasses.replace(shared, differences=shared_rows, gap_differences=shared_gaps)
    return dataclasses.replace(
        result,
        differences=all_labels,
        gap_differences=gaps,
        shared=shared,
        label_efficiency=_labels(labels, (fewer, all_labels), (shared_fewer, shared_rows)),
    )


def _unordered(pairs: Iterable[Pair]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in pairs}


def _with_fewer(rows: Rows) -> Rows:
    """Rows of fewer labels than all: those of all labels are the study's own tests once more."""
    return tuple(row for row in rows if row.fraction != 1)


def _family(row: Difference, headline: set[frozenset[str]], gaps: set[frozenset[str]]) -> Family:
    if row.primary:
        return "primary"
    pair = frozenset((row.a, row.b))
    secondary = (row.metric == METRIC and pair in headline) or (
        row.at in GAP_MOMENTS and pair in gaps
    )
    return "secondary" if secondary else "exploratory"


def _labels(
    labels: LabelEfficiency | None, tuned: tuple[Rows, Rows], shared: tuple[Rows, Rows]
) -> LabelEfficiency | None:
    if labels is None:
        return None
    beside = labels.shared
    if beside:
        beside = dataclasses.replace(beside, differences=_merged(beside.differences, *shared))
    return dataclasses.replace(
        labels, differences=_merged(labels.differences, *tuned), shared=beside
    )


def _merged(rows: Rows, fewer: Rows, all_labels: Sequence[Difference]) -> Rows:
    """All shares' rows: those of fewer labels as corrected; those of all labels repeat the study's own tests.

    A repeated test has the corrected p of its first appearance and no family of its own.
    """
    corrected, merged = iter(fewer), []
    for row in rows:
        if row.fraction != 1:
            merged.append(next(corrected))
            continue
        pair = {row.a, row.b}
        same = [one for one in all_labels if {one.a, one.b} == pair and one.metric == row.metric]
        own = same[0] if same else row
        merged.append(dataclasses.replace(row, correction=None, p_holm=own.p_holm))
    return tuple(merged)
