"""How often a model is right where it is how sure, and the threshold that a class is called at."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import count, interval, number, percent
from ...stats.intervals import Interval
from ...stats.operating_point import OperatingCurve
from ...study.answers import Calibration, OperatingPoint
from ...study.study_result import StudyResult
from ..csv_tables import csv_table
from ..figure_style import ACCENT, ZERO, Figure, band, blank, legend_room, line_trace
from ..section import Section
from ..templating import words
from .parts import about_calibration_error, metric_cells, style

LEAST_SPECIFICITY = 0.5  # of the curve that is drawn; the CSV has all
MOMENTS = ("before", "after")


def calibration(result: StudyResult, when: str = "before") -> Section | None:
    """Reliability of every arm, "before" or "after" temperature scaling, and the errors of both."""
    entries = {arm: result.detail.calibration[arm] for arm in in_order(result.detail.calibration)}
    if not entries:
        return None
    lines = [
        {
            "Arm": style(result, arm) if moment == "before" else "",
            "Probabilities": "as trained"
            if moment == "before"
            else f"temperature {number(entry.temperature, 2)}",
            **metric_cells(getattr(entry, moment), ("ece", "brier", "log_loss")),
        }
        for arm, entry in entries.items()
        for moment in MOMENTS
    ]
    errors = " ".join(
        f"{style(result, arm).name}: calibration error {percent(getattr(entry, when)['ece'].mean)}."
        for arm, entry in entries.items()
    )
    parts = (result.detail.notes.get("calibration", ""), about_calibration_error(result.versions))
    note = " ".join(filter(None, parts))
    return Section(
        **words("reliability", when=when, errors=errors, note=note),
        figure=lambda: reliability(result, entries, when),
        table=lines,
        numbers=partial(csv_table, result, "reliability", when=when),
    )


def reliability(result: StudyResult, entries: dict[str, Calibration], when: str) -> Figure:
    """How often the top class is right, by its probability."""
    figure = blank(
        "Reliability",
        380 + legend_room(len(entries)),
        x="Confidence (probability of the most probable class)",
        y="Accuracy",
        legend=True,
    )
    line = {"color": ZERO, "width": 1.2, "dash": "dash"}
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line=line, layer="below")
    lowest = 1.0
    for key, entry in entries.items():
        arm, bins = style(result, key), entry.bins if when == "before" else entry.bins_after
        lowest = min(lowest, *(one.confidence for one in bins))
        figure.add_trace(
            line_trace(
                arm,
                [one.confidence for one in bins],
                [one.accuracy for one in bins],
                "confidence %{x:.0%}, accuracy %{y:.0%} (%{customdata:.0f} images)",
                customdata=[one.n for one in bins],
            )
        )
    figure.update_xaxes(range=[max(0.0, lowest - 0.05), 1.02], tickformat=".0%", nticks=8)
    return figure.update_yaxes(range=[0, 1.03], tickformat=".0%")


def operating_point(result: StudyResult, specificity: float = 0.9) -> Section | None:
    """Sensitivity for one class by specificity, and the numbers at the marked specificity."""
    point = result.detail.operating_point
    if point is None:
        return None
    wanted, groups = f"{100 * specificity:g} %", count(point.groups, "group")
    nearest = min(
        range(len(point.specificity)), key=lambda i: abs(point.specificity[i] - specificity)
    )
    note = result.detail.notes.get("operating_point", "")
    arms = {arm: point.arms[arm] for arm in in_order(point.arms)}
    return Section(
        **words("operating-point", point=point, groups=groups, wanted=wanted, note=note),
        figure=lambda: operating_curves(result, point, specificity),
        table=[{"Arm": style(result, arm), **_at(curve, nearest)} for arm, curve in arms.items()],
        numbers=partial(csv_table, result, "operating-point"),
    )


def _at(curve: OperatingCurve, i: int) -> dict[str, str]:
    def write(name: str, ends: str) -> str:
        mean, low, high = (getattr(curve, f)[i] for f in (name, f"{ends}low", f"{ends}high"))
        return interval(Interval(mean=mean, low=low, high=high))

    return {
        "Sensitivity": write("sensitivity", ""),
        "Threshold from validation": percent(curve.threshold[i]),
        "gives sensitivity": write("given_sensitivity", "given_sensitivity_"),
        "and specificity": write("given_specificity", "given_specificity_"),
    }


def operating_curves(result: StudyResult, point: OperatingPoint, marked: float) -> Figure:
    """Sensitivity by specificity with one specificity marked."""
    figure = blank(
        f"Sensitivity for {point.class_name} by specificity",
        360 + legend_room(len(point.arms)),
        x="Specificity",
        y="Sensitivity",
        legend=True,
    )
    shown = [i for i, at in enumerate(point.specificity) if at >= LEAST_SPECIFICITY]
    x = [point.specificity[i] for i in shown]
    for key in in_order(point.arms):
        arm, curve = style(result, key), point.arms[key]
        low, high, sensitivity = (
            [values[i] for i in shown] for values in (curve.low, curve.high, curve.sensitivity)
        )
        figure.add_trace(band(x, low, high, arm.colour, 0.09))
        hover = "%{y:.1%} at specificity %{x:.0%}"
        figure.add_trace(line_trace(arm, x, sensitivity, hover, mode="lines"))
    figure.add_vline(x=marked, line={"color": ACCENT, "width": 1.5, "dash": "dash"})
    figure.update_xaxes(range=[LEAST_SPECIFICITY, 1.005], tickformat=".0%")
    return figure.update_yaxes(range=[0, 1.03], tickformat=".0%")
