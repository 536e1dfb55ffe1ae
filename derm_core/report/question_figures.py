"""Figures of a study's further questions; see figures for the rest. Rows are those of tables and extra_tables.

forest(rows, "Balanced accuracy")           differences with intervals, the primary one marked
label_efficiency(rows, crossing=…)          metric by share of labels, bands, log axis
corruption_map(rows), severity(rows)        loss by family and arm; one family by severity
strengths(rows)                             reliance by the strength of a planted tie
reliability(bins by arm)                    right how often, where it is how sure
operating_curves(point, at)                 sensitivity by specificity, one specificity marked
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import formatting
from ..arms import ArmStyle, arm_style, in_order
from .figure_style import ACCENT, CLEAR, INK, ZERO, alpha, band, blank, label_above

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Rows = Sequence[Mapping[str, Any]]


def forest(rows: Rows, quantity: str, *, share: bool = True) -> Figure:
    """One line a difference: {name, mean, low, high, primary, text}. A line that does not meet 0 shows a difference."""
    quantity = quantity[:1].lower() + quantity[1:]
    figure = blank(f"Differences in {quantity}", 44 * len(rows) + 70, x=f"Difference in {quantity}")
    figure.add_vline(x=0, line={"color": ZERO, "width": 1.2, "dash": "dash"})
    for place, row in enumerate(rows):
        if formatting.missing(row["mean"]):
            continue
        colour, size, symbol = (ACCENT, 12, "diamond") if row.get("primary") else (INK, 9, "circle")
        ends = [
            row["mean"] if formatting.missing(row.get(end)) else row[end] for end in ("low", "high")
        ]
        figure.add_trace(
            dict(
                type="scatter",
                x=ends,
                y=[place, place],
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                line={"color": colour, "width": 3 if row.get("primary") else 2},
            )
        )
        figure.add_trace(
            dict(
                type="scatter",
                x=[row["mean"]],
                y=[place],
                mode="markers",
                showlegend=False,
                marker={"color": colour, "symbol": symbol, "size": size},
                hovertemplate=f"{row['name']}: {row['text']}<extra></extra>",
            )
        )
    label_above(
        figure,
        range(len(rows)),
        [f"<b>{row['name']}</b>" if row.get("primary") else row["name"] for row in rows],
        [row["text"] for row in rows],
    )
    figure.update_yaxes(visible=False, range=[len(rows) - 0.55, -0.85])
    return figure.update_xaxes(tickformat=".0%" if share else ".3~f", nticks=8)


def label_efficiency(
    rows: Rows,
    metric: str = "balanced_accuracy",
    *,
    names: Mapping[str, str] | None = None,
    crossing: float | None = None,
) -> Figure:
    """rows: {arm, fraction, METRIC: interval}. crossing: the fraction at which the compared arms cross."""
    title = formatting.QUANTITIES.get(metric, metric)
    figure = blank(
        f"{title} by share of labels",
        360,
        x="Share of the training groups with labels",
        y=title,
        legend=True,
    )
    for key in in_order(dict.fromkeys(row["arm"] for row in rows)):
        arm = arm_style(key, (names or {}).get(key))
        mine = sorted((row for row in rows if row["arm"] == key), key=lambda row: row["fraction"])
        _line(
            figure,
            arm,
            [row["fraction"] for row in mine],
            [row[metric] for row in mine],
            "%{x:.0%} of the labels",
            metric in formatting.SHARES,
        )
    fractions = sorted({row["fraction"] for row in rows})
    if crossing:
        figure.add_vline(x=crossing, line={"color": ACCENT, "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=np.log10(crossing),
            y=1,
            yref="paper",
            text="cross here",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            xshift=4,
            font={"color": ACCENT},
        )
    figure.update_xaxes(
        type="log", tickvals=fractions, ticktext=[f"{100 * f:g} %" for f in fractions]
    )
    return figure.update_yaxes(tickformat=".0%" if metric in formatting.SHARES else ".2f")


def _line(
    figure: Figure, arm: ArmStyle, x: list, intervals: Rows, at: str, share: bool = True
) -> None:
    """One arm's course with its band of 95 % intervals."""
    means = [found.get("mean") for found in intervals]
    if any(not formatting.missing(found.get("low")) for found in intervals):
        ends = [
            [
                found["mean"] if formatting.missing(found.get(end)) else found[end]
                for found in intervals
            ]
            for end in ("low", "high")
        ]
        figure.add_trace(band(x, *ends, arm.colour))
    figure.add_trace(
        dict(
            type="scatter",
            x=x,
            y=means,
            mode="lines+markers",
            name=arm.name,
            line={"color": arm.colour, "width": 2},
            marker={"color": arm.colour, "symbol": arm.symbol, "size": 8},
            hovertemplate=f"{arm.name}: %{{y:{'.1%' if share else '.3f'}}} at {at}<extra></extra>",
        )
    )


def corruption_map(
    rows: Rows, families: Sequence[str], names: Mapping[str, str] | None = None
) -> Figure:
    """rows: {arm, family, relative_loss: interval}: the share of balanced accuracy that a family of corruptions takes."""
    keys = in_order(dict.fromkeys(row["arm"] for row in rows))
    arms = [arm_style(key, (names or {}).get(key)).brief for key in keys]
    found = {(row["family"], row["arm"]): row["relative_loss"].get("mean") for row in rows}
    values = np.array(
        [
            [
                np.nan if formatting.missing(found.get((family, key))) else found[family, key]
                for key in keys
            ]
            for family in families
        ]
    )
    figure = blank("Balanced accuracy lost under each corruption", 90 + 30 * len(families))
    figure.add_trace(
        dict(
            type="heatmap",
            z=values,
            x=arms,
            y=[formatting.family(family) for family in families],
            zmin=0,
            zmax=max(float(np.nanmax(values, initial=0.0)), 0.05),
            showscale=False,
            xgap=2,
            ygap=2,
            colorscale=[[0, alpha(ACCENT, 0.05)], [1, alpha(ACCENT, 0.8)]],
            text=[
                ["" if np.isnan(value) else formatting.number(100 * value, 0) for value in row]
                for row in values
            ],
            texttemplate="%{text}",
            hovertemplate="%{x}, %{y}: %{z:.1%} lost<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", gridcolor=CLEAR)
    return figure.update_xaxes(side="top", gridcolor=CLEAR, tickangle=0)


def severity(rows: Rows, family: str, names: Mapping[str, str] | None = None) -> Figure:
    """rows: {arm, severity, balanced_accuracy: interval} of one family; severity 0 is the clean test set."""
    figure = blank(
        f"{formatting.family(family)}: balanced accuracy by severity",
        300,
        x="Severity (0: clean)",
        legend=True,
    )
    for key in in_order(dict.fromkeys(row["arm"] for row in rows)):
        mine = sorted((row for row in rows if row["arm"] == key), key=lambda row: row["severity"])
        _line(
            figure,
            arm_style(key, (names or {}).get(key)),
            [row["severity"] for row in mine],
            [row["balanced_accuracy"] for row in mine],
            "severity %{x}",
        )
    return figure.update_yaxes(tickformat=".0%").update_xaxes(dtick=1)


def strengths(rows: Rows, names: Mapping[str, str] | None = None) -> Figure:
    """rows: {arm, strength, reliance: interval}."""
    figure = blank(
        "Reliance on a planted artefact",
        320,
        x="Strength of the tie in training",
        y="Reliance",
        legend=True,
    )
    figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})
    for key in in_order(dict.fromkeys(row["arm"] for row in rows)):
        mine = sorted((row for row in rows if row["arm"] == key), key=lambda row: row["strength"])
        _line(
            figure,
            arm_style(key, (names or {}).get(key)),
            [row["strength"] for row in mine],
            [row["reliance"] for row in mine],
            "strength %{x:g}",
        )
    return figure.update_yaxes(tickformat=".0%")


def reliability(bins: Mapping[str, Rows], names: Mapping[str, str] | None = None) -> Figure:
    """bins {arm: [{confidence, accuracy, n}]}: on the dashed line a model is right as often as it says."""
    figure = blank(
        "Reliability", 380, x="Probability of the top class", y="How often it is right", legend=True
    )
    figure.add_trace(
        dict(
            type="scatter",
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            line={"color": ZERO, "width": 1.2, "dash": "dash"},
        )
    )
    for key in in_order(bins):
        arm, rows = arm_style(key, (names or {}).get(key)), bins[key]
        figure.add_trace(
            dict(
                type="scatter",
                x=[row["confidence"] for row in rows],
                y=[row["accuracy"] for row in rows],
                mode="lines+markers",
                name=arm.name,
                line={"color": arm.colour, "width": 1.6},
                customdata=[row["n"] for row in rows],
                marker={"color": arm.colour, "symbol": arm.symbol, "size": 8},
                hovertemplate=f"{arm.name}: says %{{x:.0%}}, right %{{y:.0%}} (%{{customdata:.0f}} images)<extra></extra>",
            )
        )
    lowest = min((row["confidence"] for rows in bins.values() for row in rows), default=0.0)
    figure.update_xaxes(range=[max(0.0, lowest - 0.05), 1.02], tickformat=".0%", nticks=8)
    return figure.update_yaxes(range=[0, 1.03], tickformat=".0%")


def operating_curves(
    point: Mapping[str, Any], at: float, names: Mapping[str, str] | None = None
) -> Figure:
    """point: study.json's operating_point; at: the specificity that is marked."""
    figure = blank(
        f"Sensitivity for {point['class']} by specificity",
        360,
        x="Specificity",
        y="Sensitivity",
        legend=True,
    )
    for key in in_order(point["arms"]):
        arm, found = arm_style(key, (names or {}).get(key)), point["arms"][key]
        figure.add_trace(band(point["specificity"], found["low"], found["high"], arm.colour, 0.09))
        figure.add_trace(
            dict(
                type="scatter",
                x=point["specificity"],
                y=found["sensitivity"],
                mode="lines",
                name=arm.name,
                line={"color": arm.colour, "width": 2},
                hovertemplate=f"{arm.name}: %{{y:.1%}} at specificity %{{x:.0%}}<extra></extra>",
            )
        )
    figure.add_vline(x=at, line={"color": ACCENT, "width": 1.5, "dash": "dash"})
    return figure.update_xaxes(range=[0.5, 1.005], tickformat=".0%").update_yaxes(
        range=[0, 1.03], tickformat=".0%"
    )
