"""The verdict, what it rests on, and the paper's claims."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...formatting import p_value, points, signed_interval
from ...study.conclusions import ACCURACY, GAPS, about_gap
from ...study.study_result import Conclusion, StudyResult
from ..csv_tables import csv_table
from ..section import Bullet, Row, Section
from ..templating import words
from .parts import pair_name

AT_SHARED_SETTING = (
    "Made by an earlier version: all numbers are with one classifier setting for all arms, not with each arm at its "
    "own best, which may change which arm is ahead and which has the smaller gap. Run the comparison again for both."
)
ANSWER_COLOURS = {"seen": "green", "opposite": "orange"}


def headline(result: StudyResult) -> Section:
    """The verdict in one sentence."""
    return Section(**words("verdict", headline=result.verdict.headline))


def notes(result: StudyResult) -> Section:
    """What changes how the result reads: arms left out or replaced, weights of other origin."""
    notes = (AT_SHARED_SETTING,) if result.at_shared_setting else ()
    return Section(key="notes", notes=(*notes, *result.notes))


def sentences(result: StudyResult) -> Section:
    """The verdict's sentences, at most four; of earlier versions all that was said."""
    return Section(key="sentences", bullets=tuple(map(Bullet, result.verdict.sentences)))


def background(result: StudyResult) -> list[Section | None]:
    """What the verdict rests on: cautions, every test, details, and which of the paper's claims are seen."""
    cautions = [line for line in result.cautions if line not in result.verdict.sentences]
    every = [_row(result, claim) for claim in result.verdict.claims]
    main = [row for row, claim in zip(every, result.verdict.claims, strict=True) if _is_main(claim)]
    further = [row for row in every if row not in main]
    details = result.verdict.details
    return [
        Section(**words("cautions"), bullets=tuple(map(Bullet, dict.fromkeys(cautions))))
        if cautions
        else None,
        Section(
            **words("tests"),
            table=_once(main),
            numbers=partial(csv_table, result, "verdict-claims"),
        )
        if main
        else None,
        Section(**words("further-tests"), table=_once(further)) if further else None,
        Section(**words("details"), bullets=tuple(map(Bullet, details))) if details else None,
        _paper_claims(result),
    ]


def _once(rows: Sequence[Row]) -> list[Row]:
    """Rows whose first cell is empty where it is that of the row before."""
    before = ["", *(row["About"] for row in rows)]
    return [
        row | {"About": "" if row["About"] == last else row["About"]}
        for row, last in zip(rows, before, strict=False)
    ]


def _is_main(claim: Conclusion) -> bool:
    return claim.about in (ACCURACY, *map(about_gap, GAPS))


def _row(result: StudyResult, claim: Conclusion) -> Row:
    """A claim as a line of a table."""
    write = signed_interval if claim.about.startswith("loss") else points
    return {
        "About": claim.about[:1].upper() + claim.about[1:],
        "Difference": pair_name(result, claim.arms[0], claim.arms[1]),
        "Says": claim.says.capitalize(),
        "Own settings": write(claim.tuned),
        "One setting for all": write(claim.shared) if claim.shared else "–",
        "p, corrected": p_value(
            claim.tuned.p if claim.tuned.p_holm is None else claim.tuned.p_holm
        ),
    }


def _paper_claims(result: StudyResult) -> Section | None:
    if not result.claims:
        return None
    if all(claim.answer == "not asked" for claim in result.claims):
        return Section(**words("claims"), text=(result.claims[0].text,))
    bullets = tuple(
        Bullet(
            claim.text,
            stressed=f"{claim.claim}.",
            badge=claim.answer.capitalize(),
            badge_colour=ANSWER_COLOURS.get(claim.answer, "gray"),
        )
        for claim in result.claims
    )
    return Section(**words("claims"), bullets=bullets)
