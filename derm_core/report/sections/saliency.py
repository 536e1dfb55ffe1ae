"""How much of each arm's saliency lies inside the lesion, beside the share of the area that the lesion has."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import interval, listed, percent, points
from ...study.answers import SaliencyInside
from ...study.study_result import StudyResult
from ..csv_tables import csv_table
from ..section import Row, Section
from ..templating import words
from .parts import style


def saliency_inside(result: StudyResult) -> Section | None:
    """A line for each arm, those without a map with the reason."""
    answer = result.saliency_inside
    if answer is None:
        return None
    rows: list[Row] = []
    for arm in in_order([*(row.arm for row in answer.rows), *answer.left_out]):
        row = answer.of_arm(arm)
        rows.append(
            {
                "Arm": style(result, arm),
                "Saliency inside the lesion": interval(row.inside) if row else "–",
                "Lesion’s share of the area": percent(row.area) if row else "–",
                "Inside less area, points": points(row.above_area) if row else "–",
                "Images": f"{row.images:,}" if row else "–",
                "Maps": row.method if row else f"none: {answer.left_out[arm]}",
            }
        )
    return Section(
        **words("saliency-inside", note=answer.note),
        finding=_finding(result, answer),
        table=rows,
        numbers=partial(csv_table, result, "saliency-inside"),
    )


def _finding(result: StudyResult, answer: SaliencyInside) -> str:
    """Of which arms the interval of inside less area lies above 0."""
    sentences = []
    for sign, words_of_sign in (
        (1, "More of the saliency lies inside the lesion than an even map has there: {arms}."),
        (0, "Not shown to differ from an even map: {arms}."),
        (-1, "Less of the saliency lies inside the lesion than an even map has there: {arms}."),
    ):
        arms = [style(result, row.arm).name for row in answer.rows if row.above_area.sign == sign]
        if arms:
            sentences.append(words_of_sign.format(arms=listed(arms)))
    return " ".join(sentences)
