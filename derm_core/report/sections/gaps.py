"""The overfitting gap: against accuracy, between arms, at matched training accuracy, at other moments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from ...formatting import missing, number, percent, points, signed_interval
from ...stats.intervals import Interval
from ...study.study_result import StudyResult
from ..charts import forest
from ..csv_tables import csv_table
from ..figure_style import ZERO, Figure, blank, error_bar, legend_room, marker, scatter
from ..label_placement import Point, edges, point_labels
from ..section import Section
from ..templating import words
from .parts import (
    about_left_out,
    arm_results,
    columns,
    forest_rows,
    forest_text,
    of_the_verdict,
    styles,
)

KINDS = ("accuracy", "loss")
GAP_AXIS = {"accuracy": "Training − validation accuracy", "loss": "Validation − training loss"}
MOMENTS = {
    "final": "Final epoch",
    "best": "Best validation loss",
    "test": "Test in place of validation",
    "matched": "Same training accuracy",
    "area": "Area between the curves",
}
OVER_FOLDS = "are over folds, which share most of their training images"
RESAMPLED = "resample images and seeds where both are known, else seeds alone"


def gap_points(result: StudyResult, kind: str) -> list[Point]:
    """Test balanced accuracy and the gap at the final epoch of each arm that has one."""
    rows = []
    for style, entry in arm_results(result):
        gap = entry.gaps.get(kind)
        final = entry.gaps_detail.get(kind, {}).get("final") or Interval(mean=gap)
        accuracy = entry.test["balanced_accuracy"]
        if not missing(gap) and not missing(accuracy.mean):
            rows.append(Point(style, accuracy, Interval(mean=gap, low=final.low, high=final.high)))
    return rows


def gap_against_accuracy(result: StudyResult, kind: str) -> Section | None:
    """Each arm's gap above its accuracy; kind: "accuracy" or "loss"."""
    rows = gap_points(result, kind)
    if not rows:
        return None
    points_text = " ".join(
        f"{row.arm.name}: accuracy {percent(row.x.mean)}, gap {number(row.y.mean)}." for row in rows
    )
    return Section(
        **words("gap", kind=kind, points_text=points_text),
        figure=lambda: gap_figure(rows, kind),
        numbers=lambda: pd.DataFrame(
            {
                "arm": row.arm.name,
                **columns(row.x, "balanced_accuracy_"),
                **columns(row.y, "gap_"),
            }
            for row in rows
        ),
    )


def gap_figure(rows: Sequence[Point], kind: str) -> Figure:
    """Gap against accuracy with 95 % intervals; the arm's name beside each mark, or in a legend."""
    title = f"{kind.capitalize()} gap at the final epoch against test accuracy"
    labels = point_labels(rows)
    legend = "text" not in labels[0]
    height = 360 + (legend_room(len(rows)) if legend else 0)
    figure = blank(title, height, x="Balanced accuracy, test", y=GAP_AXIS[kind], legend=legend)
    figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})
    form = ".1%" if kind == "accuracy" else ".3f"
    for row, label in zip(rows, labels, strict=True):
        arm = row.arm
        figure.add_trace(
            scatter(
                [row.x.mean],
                [row.y.mean],
                name=arm.name,
                **label,
                marker=marker(arm, 12),
                error_x=error_bar(row.x, arm.colour),
                error_y=error_bar(row.y, arm.colour),
                cliponaxis=False,
                hovertemplate=f"{arm.name}<br>accuracy %{{x:.1%}}<br>gap %{{y:{form}}}"
                "<extra></extra>",
            )
        )
    left, right = edges([row.x for row in rows])
    room = 0.16 * max(right - left, 1e-3)
    figure.update_xaxes(tickformat=".0%", range=[left - room, right + room], nticks=7)
    return figure.update_yaxes(tickformat=".1~%" if kind == "accuracy" else ".3~f")


def gap_differences(result: StudyResult, kind: str) -> Section | None:
    """The first arm's gap less the second's, at the final epoch."""
    final = [row for row in result.gap_differences if row.at == "final" and row.kind == kind]
    if not final:
        return None
    drawn = of_the_verdict(result, final)
    rows = forest_rows(result, drawn, share=kind == "accuracy")
    texts = words("gap-forest", kind=kind, rows=forest_text(rows))
    texts["caption"] += about_left_out(drawn, final, "the CSV")
    return Section(
        **texts,
        figure=lambda: forest(rows, f"{kind} gap", share=kind == "accuracy"),
        numbers=partial(csv_table, result, "gap-differences"),
    )


def matched_gaps(result: StudyResult) -> Section | None:
    """Both gaps where the compared arms first reach the same training accuracy."""
    if not result.matched:
        return None
    pair = result.matched[0]
    names = {arm: styles(result)[arm].name for arm in pair.arms}
    lines = [
        {
            "Arm": styles(result)[arm],
            "Epoch": number(at.epoch, 1),
            "Loss gap": number(at.loss.mean, sign=True),
            "Accuracy gap": percent(at.accuracy.mean, sign=True),
        }
        for arm, at in pair.arms.items()
    ]
    return Section(
        **words("matched", level=percent(pair.level)),
        finding="" if pair.comparable else f"Not comparable: {pair.reason_with(names)}",
        table=lines,
    )


def gaps_at_all_moments(result: StudyResult) -> Section | None:
    """Both gaps of every arm, at each moment at which they are taken."""
    lines = [
        {
            "Arm": style,
            "At": label,
            "Loss gap": signed_interval(entry.gaps_detail.get("loss", {}).get(moment)),
            "Accuracy gap, points": points(entry.gaps_detail.get("accuracy", {}).get(moment)),
        }
        for style, entry in arm_results(result)
        for moment, label in MOMENTS.items()
        if any(gap.get(moment) for gap in entry.gaps_detail.values())
    ]
    if not lines:
        return None
    return Section(
        **words("gaps", intervals=OVER_FOLDS if result.folds else RESAMPLED),
        table=lines,
        numbers=partial(csv_table, result, "gaps"),
    )
