"""What the tests of a study say, one by one: the claims behind its verdict.

A difference is claimed where its corrected p is below 0.05; the primary one, which needs no
correction, where its interval excludes 0. A claim stands only where it holds with each arm at its
own best setting and with one setting for all alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..stats.intervals import Difference
from ..stats.paired import Pair
from .families import GAP_MOMENTS, METRIC
from .roles import gap_pairs, headline_pairs
from .study_result import ClaimNumbers, Conclusion, StudyResult

ACCURACY, GAPS = "balanced accuracy", ("loss", "accuracy")
MOMENTS = {
    "final": "",
    "test": ", test in place of validation",
    "matched": " at matched training accuracy",
}
CLAIMED = ("higher", "lower")


def about_gap(kind: str, moment: str = "final") -> str:
    """What a claim on a gap is about: 'loss gap', 'accuracy gap at matched training accuracy'."""
    return f"{kind} gap{MOMENTS[moment]}"


def about_share(fraction: float) -> str:
    """What a claim with fewer labels is about: 'balanced accuracy, 10 % of the labels'."""
    return f"{ACCURACY}, {100 * fraction:g} % of the labels"


def conclusions(result: StudyResult) -> list[Conclusion]:
    """The claim of every pair that the headline speaks of: accuracy, fewer labels, gaps.

    result: with corrected p values, see `families.with_corrections`.
    """
    arms, shared, labels = result.counted, result.shared, result.label_efficiency
    claims = accuracy_claims(result, headline_pairs(arms))
    for kind in GAPS:
        for moment in GAP_MOMENTS:
            claims += _claims(
                gap_pairs(arms),
                about_gap(kind, moment),
                result.gap_differences,
                shared.gap_differences if shared else None,
                kind=kind,
                at=moment,
            )
    beside = labels.shared if labels else None
    for fraction in labels.fractions if labels else ():
        if fraction < 1:
            claims += _claims(
                headline_pairs(arms),
                about_share(fraction),
                labels.differences if labels else (),
                beside.differences if beside else None,
                metric=METRIC,
                fraction=fraction,
            )
    return claims


def accuracy_claims(result: StudyResult, pairs: Sequence[Pair]) -> list[Conclusion]:
    """What the tests say of pairs of arms in balanced accuracy with all labels; of a pair without a test, nothing."""
    shared = result.shared.differences if result.shared else None
    return _claims(pairs, ACCURACY, result.differences, shared, metric=METRIC)


def _claims(
    pairs: Sequence[Pair],
    about: str,
    tuned: Sequence[Difference],
    shared: Sequence[Difference] | None,
    **fields: Any,
) -> list[Conclusion]:
    claims = []
    for pair in pairs:
        row = row_of(tuned, pair, **fields)
        if row is None:
            continue
        beside = row_of(shared, pair, **fields) if shared is not None else None
        claims.append(
            Conclusion(
                about=about,
                arms=pair,
                tuned=_numbers(row),
                shared=_numbers(beside) if beside else None,
                says=_together(says(row), _beside(row, beside) if beside else None),
            )
        )
    return claims


def row_of(rows: Sequence[Difference], pair: Pair, **fields: Any) -> Difference | None:
    """The difference a − b of a pair, turned round where it is stored as b − a; None without a value.

    fields: what is compared, say `metric="accuracy"`.
    """
    for row in rows:
        wanted = all(getattr(row, name) == value for name, value in fields.items())
        if wanted and {row.a, row.b} == set(pair) and row.mean is not None:
            return row if (row.a, row.b) == pair else _turned(row)
    return None


def _turned(row: Difference) -> Difference:
    mean, low, high = (None if end is None else -end for end in (row.mean, row.high, row.low))
    return dataclasses.replace(row, a=row.b, b=row.a, mean=mean, low=low, high=high)


def _numbers(row: Difference) -> ClaimNumbers:
    return ClaimNumbers(mean=row.mean, low=row.low, high=row.high, p=row.p, p_holm=row.p_holm)


def says(row: Difference) -> str:
    """What one test says by itself: "higher", "lower", "equivalent" or "not shown"."""
    if row.claimed:
        return "higher" if row.claimed > 0 else "lower"
    return "equivalent" if row.equivalent else "not shown"


def _beside(tuned: Difference, shared: Difference) -> str:
    """What the shared setting says of a claim.

    Of a claimed primary test it is asked for no more than that test was, its interval: else the two
    could say different things of the same numbers, for the correction alone. Both must hold, so that
    this claims no more often than the primary test.
    """
    return says(dataclasses.replace(shared, primary=bool(tuned.primary and tuned.claimed)))


def _together(tuned: str, shared: str | None) -> str:
    """What holds with own and shared settings; of "equivalent" and "not shown" the weaker."""
    if shared is None or tuned == shared:
        return tuned
    return "depends on tuning" if {tuned, shared} & set(CLAIMED) else "not shown"
