"""How much accuracy the arms lose on corrupted images."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...arms import in_order
from ...formatting import family as family_name
from ...formatting import interval, number
from ...study.answers import Robustness
from ...study.study_result import StudyResult
from ..charts import curves, forest, heat_cells
from ..csv_tables import csv_table
from ..figure_style import ACCENT, CLEAR, Figure, blank
from ..section import Section
from ..templating import words
from .parts import forest_rows, forest_text, one_column_an_arm, style


def corruptions(result: StudyResult) -> Section | None:
    """Loss of balanced accuracy of every arm under every corruption."""
    if not (answer := result.robustness):
        return None
    mean = " ".join(
        f"{style(result, arm).name}: {interval(value)} on average."
        for arm, value in answer.mean.items()
    )
    return Section(
        **words("robustness-map", mean=mean),
        figure=lambda: corruption_map(result, answer),
        numbers=partial(csv_table, result, "robustness"),
    )


def corruption_map(result: StudyResult, answer: Robustness) -> Figure:
    """The share of balanced accuracy that each corruption takes, a column for each arm."""
    rows = answer.families_summary
    arms = in_order({row.arm for row in rows})
    lost = {(row.family, row.arm): getattr(row.relative_loss, "mean", None) for row in rows}
    cells = [[lost.get((family, arm)) for arm in arms] for family in answer.families]
    values = np.array(cells, dtype=float)  # NaN where nothing is known
    figure = blank("Balanced accuracy lost under each corruption", 90 + 30 * len(answer.families))
    text = [["" if np.isnan(value) else number(100 * value, 0) for value in row] for row in values]
    figure.add_trace(
        heat_cells(
            [family_name(family) for family in answer.families],
            [style(result, arm).brief for arm in arms],
            values,
            text,
            ACCENT,
            zmax=max(float(np.nanmax(values, initial=0.0)), 0.05),
            hovertemplate="%{x}, %{y}: %{z:.1%} lost<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", gridcolor=CLEAR)
    return figure.update_xaxes(side="top", gridcolor=CLEAR, tickangle=0)


def severities(result: StudyResult, family: str) -> Section | None:
    """Balanced accuracy under one corruption by its severity; 0 is the clean test set."""
    if not (answer := result.robustness):
        return None
    of_arms = {}
    for arm in in_order(answer.clean):
        at = {
            row.severity: row.balanced_accuracy
            for row in answer.rows
            if (row.arm, row.family) == (arm, family) and row.severity and row.balanced_accuracy
        }
        at[0] = answer.clean[arm]
        of_arms[style(result, arm)] = (sorted(at), [at[severity] for severity in sorted(at)])

    def figure() -> Figure:
        drawn = curves(
            of_arms,
            title=f"{family_name(family)}: balanced accuracy by severity",
            x="Severity (0: clean)",
            at="severity %{x}",
            height=300,
        )
        return drawn.update_xaxes(dtick=1)

    return Section(
        **words("severity", family=family),
        figure=figure,
        numbers=partial(csv_table, result, "robustness", family=family),
    )


def loss_differences(result: StudyResult) -> Section | None:
    """The first arm's loss less the second's, over all corruptions."""
    answer = result.robustness
    over_all = [row for row in answer.differences if row.family == "all"] if answer else []
    if not over_all:
        return None
    rows = forest_rows(result, over_all)
    return Section(
        **words("robustness-forest", rows=forest_text(rows)),
        figure=lambda: forest(rows, "relative loss, all families"),
        numbers=partial(csv_table, result, "robustness-differences"),
    )


def all_losses(result: StudyResult) -> Section | None:
    """Relative loss under every corruption with intervals, and the mean over all."""
    if not (answer := result.robustness):
        return None
    cells = [
        (family_name(row.family), row.arm, interval(row.relative_loss))
        for row in answer.families_summary
    ]
    cells += [("Mean over all", arm, interval(value)) for arm, value in answer.mean.items()]
    return Section(
        **words("robustness"),
        table=one_column_an_arm(result, "Corruption", cells),
        numbers=partial(csv_table, result, "robustness"),
    )
