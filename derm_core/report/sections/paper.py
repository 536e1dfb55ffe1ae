"""The table of the paper that the study repeats, with our arms beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...arms import in_order
from ...formatting import NBSP, missing, number, percent
from ...study.paper import CITATION, NOTES
from ...study.study_result import PaperRow, PaperValues, StudyResult
from ..csv_tables import csv_table
from ..section import Bullet, Section
from ..templating import words
from .parts import style

QUANTITIES = {
    "val_loss": "Validation loss",
    "train_accuracy": "Training accuracy",
    "val_accuracy": "Validation accuracy",
    "loss_gap": "Loss gap, validation − training",
    "accuracy_gap": "Accuracy gap, training − validation",
}
MOST_ARMS = 5  # whose rows stand in the table, the majority class among them
DERIVED = "†"  # marks what is computed back from the paper's percentages


def paper_table(result: StudyResult) -> list[Section]:
    """Start, final value and relative change of each quantity and arm, and how to read them."""
    if not result.paper_table:
        return []
    quantities, every = list(QUANTITIES), in_order({row.arm for row in result.paper_table})
    arms = _shown(result, every)
    rows = [row for row in result.paper_table if row.arm in arms]
    lines, previous = [], ""
    for row in sorted(rows, key=lambda row: (quantities.index(row.quantity), arms.index(row.arm))):
        share, paper = "accuracy" in row.quantity, row.paper
        lines.append(
            {
                "Quantity": QUANTITIES[row.quantity] if row.quantity != previous else "",
                "Arm": style(result, row.arm),
                "This study": _course(row, share),
                "Change": percent(row.relative_change, sign=True),
                "The paper": _course(paper, share) if paper else "–",
                "Paper’s change": percent(paper.relative_change if paper else None, sign=True),
            }
        )
        previous = row.quantity
    more = "" if len(arms) == len(every) else f" The CSV has all {len(every)} arms."
    table = Section(
        **words("paper-table", citation=CITATION, derived=DERIVED, more=more),
        table=lines,
        numbers=partial(csv_table, result, "paper-table"),
    )
    reading = Section(
        **words("paper-notes"),
        bullets=tuple(map(Bullet, NOTES)),
    )
    return [table, reading]


def _shown(result: StudyResult, arms: Sequence[str]) -> list[str]:
    """All arms where they are few; else those that the paper has, those of the primary test, and the controls."""
    if len(arms) <= MOST_ARMS:
        return list(arms)
    wanted = {row.arm for row in result.paper_table if row.paper} | {"random", "majority"}
    wanted |= {arm for row in result.differences if row.primary for arm in (row.a, row.b)}
    return [arm for arm in arms if arm in wanted]


def _course(row: PaperRow | PaperValues, share: bool) -> str:
    """'45.0 % → 65.0 %', or the final value alone where no start is known."""
    if text := getattr(row, "text", ""):
        return text
    derived = getattr(row, "derived", ())

    def write(key: str) -> str:
        value = getattr(row, key)
        text = percent(value) if share else number(value)
        return text + (DERIVED if key in derived else "")

    if missing(row.final):
        return "–"
    return (
        write("final") if missing(row.start) else f"{write('start')}{NBSP}→{NBSP}{write('final')}"
    )
