"""How far each arm relies on an artefact that was tied to one class in training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...arms import in_order
from ...formatting import interval, listed, percent
from ...study.study_result import Shortcut, StudyResult
from ..charts import curves
from ..csv_tables import csv_table
from ..figure_style import ZERO
from ..section import Row, Section
from .parts import one_column_an_arm, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def shortcut(result: StudyResult) -> list[Section]:
    """How the artefact was planted, and the reliance of every arm by the strength of its tie."""
    answer = result.shortcut
    if answer is None:
        return []
    heading = Section(key="shortcut-answer", title="A planted artefact", finding=answer.text)
    if not answer.rows:
        return [heading]
    explanation = Section(
        key="shortcut-explanation",
        title="How to read this",
        level=3,
        text=tuple(explained(answer, len(result.classes))),
        folded=True,
    )
    reliance = Section(
        key="shortcut",
        figure=lambda: reliance_by_strength(result, answer),
        caption="Reliance: how much the ink alone changes the probability of "
        f"{answer.class_name}, on the same test images. 0: nothing. At strength 0 there is nothing "
        "to rely on. Bands: 95 % intervals.",
        alt="Reliance on the planted artefact by the strength of its tie, for every arm.",
        table=_table(result, answer),
        table_title="Reliance by strength and arm",
        table_caption="The ink alone: the reliance of whoever sees nothing else and knows the "
        "shares of class and ink.",
        numbers=partial(csv_table, result, "shortcut"),
    )
    return [heading, explanation, reliance]


def explained(answer: Shortcut, classes: int) -> list[str]:
    """How the artefact was planted, and what 0 and 1 mean, for someone who has not read the method."""
    target, ink = answer.class_name, answer.artefact
    share = "" if answer.share is None else f" ({percent(answer.share)} of the training images)"
    return [
        f"Could an arm take a mark on the skin for a sign of {target}? To find out, {ink} was "
        "painted on copies of the images. At strength 0 half of the images of every class carry "
        f"it, so that it says nothing. At strength 1 all training images of {target}{share} carry "
        "it and no others do; in between, the tie grows with the strength. For the test the tie is "
        "reversed: now the others carry it.",
        f"Reliance is what the ink alone does to the answer: how much the probability of {target} "
        "changes, on average, when the same test image is shown with the ink and without. 0: "
        "nothing, the answer comes from the rest of the image. 100 %: the ink alone decides. Below "
        "0: the ink speaks against the class. A small value at strength 0 is chance: among a "
        "limited number of training images the ink is never spread quite evenly.",
        "Two levels to hold a result against. Guessing has a balanced accuracy of "
        f"{percent(1 / classes)} with {classes} classes; an arm that falls below this with the tie "
        f"reversed is misled by the ink.{_ink_alone(answer)}",
    ]


def _ink_alone(answer: Shortcut) -> str:
    """The reliance of who sees the ink and nothing else, at strengths between 0 and 1."""
    levels = [
        f"{percent(value)} at strength {strength:g}"
        for strength, value in zip(answer.strengths, answer.reference, strict=False)
        if 0 < strength < 1
    ]
    if not levels:
        return ""
    return (
        " Whoever saw nothing but the ink, and knew how frequent the class and the ink are in "
        f"training, would have a reliance of {listed(levels)}, and of {percent(1)} at strength 1."
    )


def reliance_by_strength(result: StudyResult, answer: Shortcut) -> Figure:
    """A line for each arm."""
    of_arms = {}
    for arm in in_order({row.arm for row in answer.rows}):
        rows = sorted((row for row in answer.rows if row.arm == arm), key=lambda row: row.strength)
        of_arms[style(result, arm)] = (
            [row.strength for row in rows],
            [row.reliance for row in rows],
        )
    figure = curves(
        of_arms,
        title="Reliance on a planted artefact",
        x="Strength of the tie in training",
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
