"""Classes: recall, confusion, and where two arms disagree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...arms import ArmStyle, in_order
from ...data.recognition import describe_classes
from ...formatting import interval, percent
from ...study.answers import Disagreement
from ...study.study_result import StudyResult
from ..charts import Dot, dots, matrix
from ..csv_tables import csv_table
from ..figure_style import INK, Figure
from ..section import Section
from ..templating import words
from .parts import arm_results, style

Matrix = Sequence[Sequence[float]]  # counts, (C, C)

COUNTS = {
    "both_right": "Both right",
    "a_only": "Only the first right",
    "b_only": "Only the second right",
    "both_wrong": "Both wrong",
}


def meanings(classes: Sequence[str]) -> str:
    """What the known codes among class names mean ("mel: melanoma"), as a sentence after a space; empty without any."""
    known = describe_classes(classes)
    return (
        " Classes: " + "; ".join(f"{code}: {text}" for code, text in known.items()) + "."
        if known
        else ""
    )


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
        **words("recall", meanings=meanings(result.classes)),
        figure=figure,
        table=[
            {
                "Class": row.class_name,
                "Test images": row.n,
                "Arm": style,
                "Recall": interval(row.recall),
            }
            for style, row in rows
        ],
        numbers=partial(csv_table, result, "per-class"),
    )


def confusion(result: StudyResult) -> Section | None:
    """A matrix for each arm."""
    if not result.confusion:
        return None
    arms = {style(result, arm): result.confusion[arm] for arm in in_order(result.confusion)}
    return Section(
        **words("confusion", classes=len(result.classes), meanings=meanings(result.classes)),
        figure=lambda: {
            arm: confusion_matrix(counts, result.classes, arm) for arm, counts in arms.items()
        },
        table=[
            {"Arm": arm, "Is": truth, **dict(zip(result.classes, row, strict=True))}
            for arm, counts in arms.items()
            for truth, row in zip(result.classes, counts, strict=True)
        ],
        numbers=partial(csv_table, result, "confusion"),
    )


def confusion_of(result: StudyResult, arm: str) -> Section:
    """The matrix of one arm."""
    counts, arm_style = result.confusion[arm], style(result, arm)
    return Section(
        **words(
            "confusion-of",
            arm=arm_style,
            classes=len(result.classes),
            meanings=meanings(result.classes),
        ),
        figure=lambda: confusion_matrix(counts, result.classes, arm_style),
        numbers=partial(csv_table, result, "confusion", arm=arm),
    )


def confusion_matrix(counts: Matrix, classes: Sequence[str], arm: ArmStyle) -> Figure:
    """Of the images of each class (rows), the share that is called each class (columns)."""
    number = np.asarray(counts, dtype=float)
    share = number / np.maximum(number.sum(axis=1, keepdims=True), 1e-12)

    def count_text(i: int, j: int) -> str:
        return f"{percent(share[i, j])} ({number[i, j]:.0f})"

    text = [[f"{100 * value:.0f}" for value in row] for row in share]
    hover = "%{y} predicted as %{x}: %{text}"
    figure = matrix(f"Confusion, {arm.name}", share, text, hover, count_text, classes, arm.colour)
    return figure.update_xaxes(title={"text": "Rows: true class.<br>Columns: predicted class."})


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
        **words("disagreement-of", pair=pair, a=a, b=b),
        figure=lambda: disagreement_matrix(pair.matrix, result.classes, a, b),
        table=lines,
        numbers=partial(csv_table, result, "disagreement", a=pair.a, b=pair.b),
    )


def disagreement_matrix(counts: Matrix, classes: Sequence[str], a: str, b: str) -> Figure:
    """How many images arm a decides one way (rows) and arm b another (columns)."""
    number = np.asarray(counts, dtype=float)
    off_diagonal = number * (1 - np.eye(len(number)))

    def count_text(i: int, j: int) -> str:
        return f"{number[i, j]:.0f}"

    text = [[f"{n:.0f}" if n else "" for n in row] for row in number]
    title = f"Decisions: {a} against {b}"
    hover = f"{a}: %{{y}}<br>{b}: %{{x}}<br>%{{text}} images"
    figure = matrix(title, np.sqrt(off_diagonal), text, hover, count_text, classes, INK)
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
        **words("disagreement"),
        table=lines,
    )
