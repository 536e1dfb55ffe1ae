"""How the arms do when only some of the training groups have labels."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...formatting import QUANTITIES, THIN, count, interval
from ...study.answers import LabelEfficiency
from ...study.study_result import StudyResult
from ..charts import curves
from ..csv_tables import csv_table
from ..figure_style import ACCENT, Figure
from ..section import Section
from ..templating import words
from .parts import curves_by_arm, is_share, one_column_an_arm

METRICS = ("balanced_accuracy", "macro_auroc", "accuracy")


def label_efficiency(result: StudyResult, metric: str = "balanced_accuracy") -> Section | None:
    """One metric by the share of training groups that have labels."""
    answer = result.label_efficiency
    if answer is None:
        return None
    if not answer.rows:
        return Section(key="labels", title="Fewer labels", text=(answer.note,))
    rows = sorted(answer.rows, key=lambda row: row.fraction)
    crossing, name = answer.crossing.text if answer.crossing else "", QUANTITIES[metric]
    updates = f" ({answer.updates:,})" if answer.updates else ""
    cells = [
        (
            f"{100 * row.fraction:g}{THIN}% ({count(row.images or 0, 'image')})",
            row.arm,
            interval(getattr(row, metric), metric),
        )
        for row in rows
    ]
    return Section(
        **words("labels", metric=metric, quantity=name, crossing=crossing, updates=updates),
        figure=lambda: _figure(result, answer, metric),
        table=one_column_an_arm(result, "Labels", cells),
        numbers=partial(csv_table, result, "label-efficiency"),
    )


def _figure(result: StudyResult, answer: LabelEfficiency, metric: str) -> Figure:
    figure = curves(
        curves_by_arm(result, answer.rows, "fraction", metric),
        title=f"{QUANTITIES[metric]} by share of labels",
        x="Share of the training groups with labels",
        y=QUANTITIES[metric],
        at="%{x:.0%} of the labels",
        share=is_share(metric),
        height=360,
    )
    if answer.crossing and answer.crossing.fraction:
        crossing = answer.crossing.fraction
        figure.add_vline(x=crossing, line={"color": ACCENT, "width": 1.5, "dash": "dash"})
        beside = {"xanchor": "left", "xshift": 4, "yanchor": "top", "yref": "paper"}
        look = {"text": "cross here", "font": {"color": ACCENT}, "showarrow": False}
        figure.add_annotation(x=np.log10(crossing), y=1, **beside, **look)
    fractions = sorted({row.fraction for row in answer.rows})
    ticks = [f"{100 * fraction:g} %" for fraction in fractions]
    return figure.update_xaxes(type="log", tickvals=fractions, ticktext=ticks)
