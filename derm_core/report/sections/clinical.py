"""Calling one class against the rest: sensitivity at a fixed specificity, net benefit, calibration slope."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import THIN, count, interval, number, p_value, points
from ...stats.intervals import Interval
from ...study.clinical_answers import NetBenefit, NetBenefitCurve
from ...study.study_result import StudyResult
from ..charts import Dot, dots
from ..csv_tables import csv_table
from ..figure_style import INK, ZERO, Figure, band, blank, legend_room, line_trace, scatter
from ..section import Section
from ..templating import words
from .parts import style

SHOWN = (5, 10, 20, 30)  # thresholds in the table, per cent


def fixed_specificity(result: StudyResult) -> Section | None:
    """Sensitivity of every arm at thresholds that validation chose, and the difference to the opponent."""
    answer = result.detail.fixed_specificity
    if answer is None:
        return None
    against = style(result, answer.opponent).brief if answer.opponent else ""
    rows, marks = [], []
    for level in answer.levels:
        wanted = f"{100 * level.specificity:g}{THIN}%"
        differences = {row.a: row for row in level.differences}
        for arm in in_order(level.arms):
            at, row = level.arms[arm], differences.get(arm)
            marks.append(Dot(style(result, arm), f"Specificity {wanted}", at.sensitivity))
            rows.append(
                {
                    "Specificity wanted": wanted,
                    "Arm": style(result, arm),
                    "Sensitivity": interval(at.sensitivity),
                    "Specificity on test": interval(at.specificity),
                }
                | (
                    {
                        f"Difference to {against}, points": points(row) if row else "–",
                        "p": p_value(row.p_holm) if row else "–",
                    }
                    if against
                    else {}
                )
            )
    note = result.detail.notes.get("fixed_specificity", "")
    groups = count(answer.groups, "group")
    return Section(
        **words("fixed-specificity", answer=answer, groups=groups, note=note),
        figure=lambda: dots(
            marks, title=f"Sensitivity for {answer.class_name}", x="Sensitivity"
        ).update_xaxes(range=[-0.02, 1.02]),
        table=rows,
        numbers=partial(csv_table, result, "fixed-specificity"),
    )


def net_benefit(result: StudyResult) -> Section | None:
    """Decision curves of every arm, beside calling every image and none."""
    answer = result.detail.net_benefit
    if answer is None:
        return None
    places = [i for i, threshold in enumerate(answer.thresholds) if round(100 * threshold) in SHOWN]
    rows = [
        {
            "Arm": style(result, arm),
            **{
                f"at {100 * answer.thresholds[i]:.0f}{THIN}%": interval(
                    _at(answer.arms[arm], i), "net_benefit"
                )
                for i in places
            },
            "Better than treating all and none": useful_range(answer, arm) or "not shown",
        }
        for arm in in_order(answer.arms)
    ]
    note = result.detail.notes.get("net_benefit", "")
    share = f"{number(100 * answer.prevalence, 1)}{THIN}%"
    return Section(
        **words("net-benefit", answer=answer, share=share, note=note),
        figure=lambda: decision_curves(result, answer),
        table=rows,
        numbers=partial(csv_table, result, "net-benefit"),
    )


def _at(curve: NetBenefitCurve, i: int) -> Interval:
    return Interval(mean=curve.mean[i], low=curve.low[i], high=curve.high[i])


def useful_range(answer: NetBenefit, arm: str) -> str:
    """The thresholds where an arm is shown to be better than calling every image and none: '3–41 %'; '' for none."""
    shown = [low is not None and low > 0 for low in answer.arms[arm].gain_low]
    runs: list[list[float]] = []
    for i, threshold in enumerate(answer.thresholds):
        if shown[i]:
            if not (i and shown[i - 1]):
                runs.append([])
            runs[-1].append(100 * threshold)
    spans = [f"{run[0]:.0f}–{run[-1]:.0f}" if len(run) > 1 else f"{run[0]:.0f}" for run in runs]
    return ", ".join(spans) + f"{THIN}%" if spans else ""


def decision_curves(result: StudyResult, answer: NetBenefit) -> Figure:
    """Net benefit by threshold."""
    figure = blank(
        f"Net benefit of detecting {answer.class_name}",
        360 + legend_room(len(answer.arms) + 1),
        x="Threshold probability",
        y="Net benefit",
        legend=True,
    )
    for key in in_order(answer.arms):
        arm, curve = style(result, key), answer.arms[key]
        figure.add_trace(band(answer.thresholds, curve.low, curve.high, arm.colour, 0.09))
        hover = "%{y:.3f} at a threshold of %{x:.0%}"
        figure.add_trace(line_trace(arm, answer.thresholds, curve.mean, hover, mode="lines"))
    every = {"name": "Treat all", "line": {"color": INK, "width": 1.5, "dash": "dash"}}
    figure.add_trace(scatter(answer.thresholds, answer.treat_all, "lines", **every))
    figure.add_hline(y=0, line={"color": ZERO, "width": 1.2})
    highest = max(high or 0.0 for curve in answer.arms.values() for high in curve.high)
    figure.update_xaxes(tickformat=".0%", nticks=8)
    return figure.update_yaxes(range=[-0.25 * highest, 1.08 * highest], tickformat=".3~f")


def recalibration(result: StudyResult) -> Section | None:
    """Calibration slope and intercept of every arm, before and after temperature scaling."""
    entries = {
        arm: result.detail.calibration[arm]
        for arm in in_order(result.detail.calibration)
        if result.detail.calibration[arm].class_name
    }
    if not entries:
        return None
    rows = [
        {
            "Arm": style(result, arm) if when == "before" else "",
            "Probabilities": "as trained" if when == "before" else "after temperature scaling",
            "Slope": interval(getattr(entry, when).get("slope"), "slope"),
            "Intercept": interval(getattr(entry, when).get("intercept"), "intercept"),
        }
        for arm, entry in entries.items()
        for when in ("before", "after")
    ]
    return Section(
        **words("recalibration", name=next(iter(entries.values())).class_name),
        table=rows,
        numbers=partial(csv_table, result, "calibration"),
    )
