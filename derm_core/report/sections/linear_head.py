"""Does the result depend on the head: a tuned linear head beside the one with two layers."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import interval, p_value, points
from ...study.study_result import StudyResult
from ..csv_tables import csv_table
from ..section import Section
from ..templating import words
from .parts import against, style


def linear_head(result: StudyResult) -> Section | None:
    """Every arm with both heads, and the difference to the opponent with each."""
    answer = result.linear_head
    if answer is None:
        return None
    if not answer.arms:
        return Section(key="linear-head", title="Linear head", text=(answer.note,))
    other = answer.opponent
    rows = []
    for arm in in_order(answer.arms):
        two_layers, linear = result.arms[arm].test, answer.arms[arm]
        row = {
            "Arm": style(result, arm),
            "Balanced accuracy, two layers": interval(two_layers.get("balanced_accuracy")),
            "Balanced accuracy, linear": interval(linear["balanced_accuracy"]),
            "Macro-AUROC, two layers": interval(two_layers.get("macro_auroc"), "macro_auroc"),
            "Macro-AUROC, linear": interval(linear["macro_auroc"], "macro_auroc"),
        }
        if other:
            first, second = (
                against(differences, arm, other, "balanced_accuracy")
                for differences in (result.differences, answer.differences)
            )
            row |= {
                f"Difference to {style(result, other).brief}, points, two layers": points(first),
                "Difference, linear": points(second),
                "p, linear": p_value(second.p_holm if second else None),
            }
        rows.append(row)
    return Section(
        **words("linear-head", note=answer.note),
        table=rows,
        numbers=partial(csv_table, result, "linear-head"),
    )
