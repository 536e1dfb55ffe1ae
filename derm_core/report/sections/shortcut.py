"""How far each arm relies on an artefact that was tied to one class in training."""

from __future__ import annotations

from functools import partial

from ...formatting import interval, listed, missing, percent
from ...study.answers import Shortcut
from ...study.study_result import StudyResult
from ..charts import curves
from ..csv_tables import csv_table
from ..figure_style import ZERO, Figure
from ..section import Row, Section
from ..templating import rendered_lines, words
from .parts import curves_by_arm, one_column_an_arm


def shortcut(result: StudyResult) -> list[Section]:
    """How the artefact was planted, and the reliance of every arm by the strength of its tie."""
    answer = result.shortcut
    if answer is None:
        return []
    heading = Section(
        **words("shortcut-answer", answer=answer),
    )
    if not answer.rows:
        return [heading]
    explanation = Section(
        **words("shortcut-explanation"),
        text=explained(answer, len(result.classes)),
    )
    reliance = Section(
        **words("shortcut", answer=answer),
        figure=lambda: reliance_by_strength(result, answer),
        table=_table(result, answer),
        numbers=partial(csv_table, result, "shortcut"),
    )
    return [heading, explanation, reliance]


def explained(answer: Shortcut, classes: int) -> tuple[str, ...]:
    """How the artefact was planted, and what 0 and 1 mean; classes: their number."""
    levels = zip(answer.strengths, answer.reference, strict=False)
    return rendered_lines(
        "shortcut.txt",
        target=answer.class_name,
        artefact=answer.artefact,
        share="" if missing(answer.share) else percent(answer.share),
        guessing=percent(1 / classes),
        classes=classes,
        ink_alone=listed([f"{percent(x)} at strength {s:g}" for s, x in levels if 0 < s < 1]),
        certain=percent(1),
    )


def reliance_by_strength(result: StudyResult, answer: Shortcut) -> Figure:
    """A line for each arm."""
    figure = curves(
        curves_by_arm(result, answer.rows, "strength", "reliance"),
        title="Reliance on a planted artefact",
        x="Strength of the association in training",
        y="Reliance",
        at="strength %{x:g}",
    )
    return figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})


def _table(result: StudyResult, answer: Shortcut) -> list[Row]:
    rows = sorted(answer.rows, key=lambda row: row.strength)
    cells = [(f"{row.strength:g}", row.arm, interval(row.reliance)) for row in rows]
    table = one_column_an_arm(result, "Strength", cells)
    if answer.reference:
        alone = dict(zip((f"{s:g}" for s in answer.strengths), answer.reference, strict=False))
        table = [row | {"The ink alone": percent(alone.get(row["Strength"]))} for row in table]
    return table
