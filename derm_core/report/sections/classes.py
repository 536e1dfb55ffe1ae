"""Classes: recall, confusion, and where two arms disagree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...arms import ArmStyle, in_order
from ...formatting import interval, percent
from ...study.answers import Disagreement
from ...study.study_result import StudyResult
from ..charts import Dot, dots, matrix
from ..csv_tables import csv_table
from ..figure_style import INK
from ..section import Section
from .parts import arm_results, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CONFUSION_CAPTION = (
    "Per cent of the images of a class (row) that are called each class (column), mean over seeds."
)
Matrix = Sequence[Sequence[float]]  # counts, (C, C)

COUNTS = {
    "both_right": "Both right",
    "a_only": "Only the first right",
    "b_only": "Only the second right",
    "both_wrong": "Both wrong",
}


def recall(result: StudyResult) -> Section | None:
    """Share of each class that each arm recognises."""
    rows = [(style, row) for style, entry in arm_results(result) for row in entry.per_class]
    if not rows:
        return None

    def figure() -> Figure:
        marks = [Dot(style, row.class_name, row.recall, row.n) for style, row in rows]
        drawn = dots(marks, title="Recall by class, test", x="Recall")
        return drawn.update_xaxes(range=[-0.02, 1.02])

    return Section(
        key="recall",
        figure=figure,
        caption="Share of each class that is recognised, with 95 % intervals; after each class, "
        "its test images. Wide bars mean few lesions: do not rank arms by them.",
        alt="Recall of each class for each arm, with 95 % intervals.",
        table=[
            {
                "Class": row.class_name,
                "Test images": row.n,
                "Arm": style,
                "Recall": interval(row.recall),
            }
            for style, row in rows
        ],
        table_title="Recall by class",
        numbers=partial(csv_table, result, "per-class"),
        folded=True,
    )


def confusion(result: StudyResult) -> Section | None:
    """A matrix for each arm."""
    if not result.confusion:
        return None
    arms = {style(result, arm): result.confusion[arm] for arm in in_order(result.confusion)}
    return Section(
        key="confusion",
        title="Confusion",
        level=3,
        figure=lambda: {
            arm: confusion_matrix(counts, result.classes, arm) for arm, counts in arms.items()
        },
        caption=CONFUSION_CAPTION,
        alt=f"Confusion matrix, {len(result.classes)} classes.",
        table=[
            {"Arm": arm, "Is": truth, **dict(zip(result.classes, row, strict=True))}
            for arm, counts in arms.items()
            for truth, row in zip(result.classes, counts, strict=True)
        ],
        table_title="Counts, means over seeds",
        numbers=partial(csv_table, result, "confusion"),
        folded=True,
    )


def confusion_of(result: StudyResult, arm: str) -> Section:
    """The matrix of one arm."""
    counts, arm_style = result.confusion[arm], style(result, arm)
    return Section(
        key=f"confusion-{arm}",
        figure=lambda: confusion_matrix(counts, result.classes, arm_style),
        caption=CONFUSION_CAPTION,
        alt=f"Confusion matrix of {arm_style.name}, {len(result.classes)} classes.",
        numbers=partial(csv_table, result, "confusion", arm=arm),
    )


def confusion_matrix(counts: Matrix, classes: Sequence[str], arm: ArmStyle) -> Figure:
    """Of the images of each class (rows), the share that is called each class (columns)."""
    number = np.asarray(counts, dtype=float)
    share = number / np.maximum(number.sum(axis=1, keepdims=True), 1e-12)
    hover = [
        [
            f"{a} called {b}: {percent(share[i, j])} ({number[i, j]:.0f})"
            for j, b in enumerate(classes)
        ]
        for i, a in enumerate(classes)
    ]
    text = [[f"{100 * value:.0f}" for value in row] for row in share]
    figure = matrix(f"Confusion, {arm.name}", share, text, hover, classes, arm.colour)
    return figure.update_xaxes(title={"text": "Rows: what it is.<br>Columns: what it is called."})


def disagreement(result: StudyResult, pair: Disagreement) -> Section:
    """What two arms decide for the same images."""
    a, b = style(result, pair.a).name, style(result, pair.b).name
    total = max(sum(getattr(pair, key) for key in COUNTS), 1)
    lines = [
        {
            "Test images": label.replace("the first", a).replace("the second", b),
            "Number": f"{getattr(pair, key):,}",
            "Share": percent(getattr(pair, key) / total),
        }
        for key, label in COUNTS.items()
    ]
    return Section(
        key=f"disagreement-{pair.a}-{pair.b}",
        figure=lambda: disagreement_matrix(pair.matrix, result.classes, a, b),
        caption="Decisions of the seed ensemble. Shaded cells: the arms disagree.",
        alt=f"How often {a} decides for each class where {b} decides for another.",
        table=lines,
        table_title="Who is right where",
        numbers=partial(csv_table, result, "disagreement", a=pair.a, b=pair.b),
    )


def disagreement_matrix(counts: Matrix, classes: Sequence[str], a: str, b: str) -> Figure:
    """How many images arm a decides one way (rows) and arm b another (columns)."""
    number = np.asarray(counts, dtype=float)
    off_diagonal = number * (1 - np.eye(len(number)))
    hover = [
        [
            f"{a}: {one}<br>{b}: {other}<br>{number[i, j]:.0f} images"
            for j, other in enumerate(classes)
        ]
        for i, one in enumerate(classes)
    ]
    text = [[f"{n:.0f}" if n else "" for n in row] for row in number]
    title = f"Decisions: {a} against {b}"
    figure = matrix(title, np.sqrt(off_diagonal), text, hover, classes, INK)
    return figure.update_xaxes(title={"text": f"Rows: {a}.<br>Columns: {b}."})


def disagreements(result: StudyResult) -> Section | None:
    """Who is right where, for every pair of arms."""
    if not (pairs := result.detail.disagreement):
        return None
    lines = [
        {
            "First": style(result, pair.a),
            "Second": style(result, pair.b),
            **{label: f"{getattr(pair, key):,}" for key, label in COUNTS.items()},
        }
        for pair in pairs
    ]
    return Section(
        key="disagreement",
        title="Where arms disagree",
        table=lines,
        table_title="Who is right where, for every pair of arms",
    )
