"""The pages' own figures; those of a study stand in derm_core.report.sections. Show them with `frame.show_chart`.

probability_bars({class: p}, colour=…)      what one model thinks of one image
balance_bars(counts)                        classes (rows) in splits (columns)
lines({name: (x, y)}, title)                a run's series, say train and val loss
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from derm_core.arms import arm_style
from derm_core.report.figure_style import (
    SPLIT_COLOURS,
    SPLIT_NAMES,
    again,
    alpha,
    blank,
    labels_above,
    look,
)

from . import words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ROW = 38  # pixels of a bar with its name above it
BAR = 0.24  # share of them that the bar takes
LABEL = 34  # letters that fit beside a percentage in a card of 280 px
TRACK = "rgba(127,135,137,0.16)"
# For classes and attributes: Okabe–Ito and Tol's muted colours, at 3:1 or close to it on both pages.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#B0609F",
    "#B8860B",
    "#5B8FD9",
    "#C44E52",
    "#7F8587",
    "#6A9F3C",
    "#7A68C4",
    "#2A9DA8",
    "#A0694B",
)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float] | np.ndarray]],
    title: str,
    *,
    x: str = "Epoch",
    share: bool = False,
    height: int = 230,
) -> Figure:
    """A run's own series over time.

    A line whose name has "train" in it is dotted, the others are solid, each in its own colour.

    Args:
        series: by name, positions on the x axis and values.
        title: what the chart shows.
        x: title of the x axis.
        share: whether values are written as percentages.
        height: in pixels.
    """
    figure = blank(title, height, x=x, legend=True)
    curves = (
        any("train" in name.lower() for name in series) or len(series) < 2
    )  # training and validation of one arm
    for index, (name, (xs, ys)) in enumerate(series.items()):
        dotted = "train" in name.lower() and len(series) > 1
        figure.add_trace(
            {
                "type": "scatter",
                "x": list(xs),
                "y": list(ys),
                "name": name,
                "mode": "lines" if len(xs) > 3 else "lines+markers",
                "line": {
                    "color": arm_style("vae").colour if curves and index < 2 else PALETTE[index],
                    "width": 2,
                    "dash": "dot" if dotted else "solid",
                },
                "hovertemplate": f"{name}: %{{y:{'.1%' if share else '.4g'}}} at %{{x:.4g}}<extra></extra>",
            }
        )
    figure.update_xaxes(rangemode="nonnegative")
    values = np.concatenate([np.asarray(ys, float) for _, ys in series.values()] or [np.zeros(0)])
    mode = "normal" if (values < 0).any() else "nonnegative"  # of a single value plotly draws ±1
    return figure.update_yaxes(rangemode=mode, tickformat=".1~%" if share else None, nticks=6)


def probability_bars(
    probabilities: Mapping[str, float],
    *,
    colour: str,
    title: str = "",
    order: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> Figure:
    """One model's probabilities for one image.

    The most probable class is drawn in full colour, the others paler, each on a track from 0 to 100 %. The figure is
    made in one piece: property by property plotly takes longer for it than the model for the image.

    Args:
        probabilities: by class.
        colour: of the model's arm.
        title: of the chart.
        order: classes from top to bottom, the same for models side by side; by probability unless given.
        names: classes in words.
    """
    classes = list(order) or sorted(probabilities, key=lambda name: -probabilities[name])
    values = [probabilities.get(name, 0.0) for name in classes]
    top = int(np.argmax(values)) if values else 0
    track = {
        "type": "bar",
        "x": [1] * len(classes),
        "y": classes,
        "orientation": "h",
        "width": BAR,
        "hoverinfo": "skip",
        "marker": {"color": TRACK, "cornerradius": 3},
    }
    bars = {
        "type": "bar",
        "x": values,
        "y": classes,
        "orientation": "h",
        "width": BAR,
        "marker": {
            "color": [colour if i == top else alpha(colour, 0.45) for i in range(len(values))],
            "cornerradius": 3,
        },
        "customdata": [(names or {}).get(name, name) for name in classes],
        "hovertemplate": "%{customdata}: %{x:.1%}<extra></extra>",
    }
    shown = [words.short((names or {}).get(name, name), LABEL) for name in classes]
    layout = look(
        title,
        ROW * len(classes) + 16,
        barmode="overlay",
        bargap=0,
        annotations=labels_above(
            classes,
            [f"<b>{text}</b>" if i == top else text for i, text in enumerate(shown)],
            [words.chance(value) for value in values],
        ),
    )
    for part, own in _above(classes, 1).items():
        layout[part] = layout[part] | own
    return again({"data": [track, bars], "layout": layout})


def _above(rows: Sequence[str], end: float) -> dict[str, dict]:
    """What of a layout makes room for labels above the bars of `rows`, which reach to `end`."""
    return {
        "margin": {"l": 0, "r": 8},
        "xaxis": {"visible": False, "range": [0, end]},
        "yaxis": {
            "visible": False,
            "type": "category",
            "range": [len(rows) - 0.62, -0.9],
            "autorange": False,
        },
    }


def balance_bars(
    counts: pd.DataFrame,
    *,
    title: str = "Images by class and split",
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Stacked bars. counts: index = class (or attribute value), columns = splits, values = how many."""
    rows = [str(name) for name in counts.index]
    whole = [" ".join(filter(None, (row, (names or {}).get(row)))) for row in rows]
    figure = blank(title, ROW * len(counts) + 50, legend=True, barmode="stack")
    for split in counts.columns:
        figure.add_trace(
            {
                "type": "bar",
                "x": counts[split],
                "y": rows,
                "orientation": "h",
                "width": BAR,
                "name": SPLIT_NAMES.get(split, str(split)),
                "marker": {"color": SPLIT_COLOURS.get(split, arm_style("random").colour)},
                "customdata": whole,
                "hovertemplate": f"%{{customdata}}, {SPLIT_NAMES.get(split, split)}: %{{x:,}}<extra></extra>",
            }
        )
    totals = counts.sum(axis=1)
    described = {
        row: words.short((names or {}).get(row, ""), max(LABEL - len(row), 8)) for row in rows
    }  # must not meet the number
    labels = labels_above(
        rows,
        [f"<b>{row}</b> {described[row]}" for row in rows],
        [f"{total:,} · {words.percent(total / max(totals.sum(), 1))}" for total in totals],
    )
    figure.update_layout(annotations=labels)
    return figure.update_layout(
        legend={"traceorder": "normal"}, **_above(rows, max(totals.max(), 1))
    )
