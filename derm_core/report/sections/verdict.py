"""The verdict, what it rests on, and the paper's claims."""

from __future__ import annotations

from ...study.study_result import StudyResult
from ..section import Bullet, Section
from ..templating import words

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


def sentences(result: StudyResult) -> list[Section]:
    """What the verdict rests on, and which of the paper's claims this dataset shows."""
    lines = [*result.verdict.sentences, *result.cautions]
    sections = [Section(key="sentences", bullets=tuple(map(Bullet, dict.fromkeys(lines))))]
    if result.claims:
        bullets = tuple(
            Bullet(
                claim.text,
                stressed=f"{claim.claim}.",
                badge=claim.answer.capitalize(),
                badge_colour=ANSWER_COLOURS.get(claim.answer, "gray"),
            )
            for claim in result.claims
        )
        sections.append(Section(**words("claims"), bullets=bullets))
    return sections
