"""The networks of the arms: what each is, and accuracy against its parameters and its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from ...arms import ArmStyle, arm_parts
from ...formatting import interval, missing, number, percent
from ...stats.intervals import Interval
from ...study.roles import own_networks
from ...study.study_result import ArmResult, StudyResult
from ..figure_style import Figure, blank, error_bar, marker, scatter
from ..label_placement import Point, point_labels
from ..section import Section
from ..templating import words
from .parts import arm_results

SEEN = {"yes": "Yes", "no": "No", "unknown": "Not known"}
AXES: dict[str, tuple[str, Callable[[ArmResult], float | None]]] = {
    "parameters": (
        "Parameters, millions",
        lambda one: None if one.parameters is None else one.parameters / 1e6,
    ),
    "speed": ("Images in each second, features", lambda one: one.images_per_second),
}


def networks(result: StudyResult) -> Section | None:
    """What each arm's network is and was pretrained on; None where all arms have that of the study."""
    if not own_networks(list(result.arms)):
        return None
    rows = [
        {
            "Arm": style,
            "Balanced accuracy": interval(entry.test["balanced_accuracy"], "balanced_accuracy"),
            "Network": entry.architecture,
            "Pixels": None if entry.input_size is None else f"{entry.input_size:,}",
            "Parameters": _millions(entry.parameters),
            "Images/s": number(entry.images_per_second, 0),
            "Pretrained on": entry.pretrained_on,
            "Saw these images": SEEN.get(entry.seen or "", "–"),
        }
        for style, entry in arm_results(result)
    ]
    return Section(
        **words("networks"),
        table=rows,
        numbers=lambda: pd.DataFrame(
            _numbers(style, entry) for style, entry in arm_results(result)
        ),
    )


def accuracy_against(result: StudyResult, axis: str) -> Section | None:
    """Balanced accuracy of every arm against what its network costs; axis: "parameters" or "speed"."""
    rows = network_points(result, axis)
    if len(rows) < 2 or not own_networks(list(result.arms)):
        return None
    title, _ = AXES[axis]
    points_text = " ".join(
        f"{row.arm.name}: {10**row.x.mean:,.3g}, {percent(row.y.mean)}."
        for row in rows
        if row.x.mean is not None
    )
    return Section(
        **words("accuracy-against", axis=axis, title=title.lower(), points_text=points_text),
        figure=lambda: accuracy_figure(rows, title),
    )


def network_points(result: StudyResult, axis: str) -> list[Point]:
    """The arms of one network each of which the axis and the accuracy are known; x: decimal logarithm."""
    value, rows = AXES[axis][1], []
    for style, entry in arm_results(result):
        size, accuracy = value(entry), entry.test["balanced_accuracy"]
        if size and len(arm_parts(style.key)) == 1 and not missing(accuracy.mean):
            rows.append(Point(style, Interval(mean=math.log10(size)), accuracy))
    return rows


def accuracy_figure(rows: Sequence[Point], title: str) -> Figure:
    """Accuracy with 95 % intervals on a logarithmic axis; the arm's name beside each mark, or in a legend."""
    labels = point_labels(rows)
    figure = blank(
        f"Balanced accuracy against {title.lower()}",
        340,
        x=title,
        y="Balanced accuracy, test",
        legend="text" not in labels[0],
    )
    for row, label in zip(rows, labels, strict=True):
        figure.add_trace(
            scatter(
                [10 ** (row.x.mean or 0.0)],
                [row.y.mean],
                name=row.arm.name,
                **label,
                marker=marker(row.arm, 12),
                error_y=error_bar(row.y, row.arm.colour),
                cliponaxis=False,
                hovertemplate=f"{row.arm.name}<br>%{{x:.3s}}<br>%{{y:.1%}}<extra></extra>",
            )
        )
    places = [row.x.mean or 0.0 for row in rows]
    room = max(0.3 * (max(places) - min(places)), 0.15)
    figure.update_xaxes(type="log", range=[min(places) - room, max(places) + room], nticks=6)
    return figure.update_yaxes(tickformat=".0%")


def _millions(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters / 1e6:,.1f} M"


def _numbers(style: ArmStyle, entry: ArmResult) -> dict[str, object]:
    accuracy = entry.test["balanced_accuracy"]
    return {
        "arm": style.key,
        "balanced_accuracy": accuracy.mean,
        "low": accuracy.low,
        "high": accuracy.high,
        "architecture": entry.architecture,
        "input_size": entry.input_size,
        "parameters": entry.parameters,
        "images_per_second": entry.images_per_second,
        "pretrained_on": entry.pretrained_on,
        "seen": entry.seen,
    }
