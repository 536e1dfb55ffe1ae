"""The pages' own figures; those of a study stand in derm_core.report.figures. Show them with `frame.show_chart`.

probability_bars({class: p}, colour=…)      what one model thinks of one image
balance_bars(counts)                        classes (rows) in splits (columns)
map_scatter(points, x, y, colour_by)        a latent map; customdata carries the row
lines({name: (x, y)}, title)                a run's series, say train and val loss
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from derm_core.arms import arm_style
from derm_core.insight.selection import categories, is_scale
from derm_core.report.figure_style import (
    INK,
    SPLIT_COLOURS,
    SPLIT_NAMES,
    again,
    alpha,
    blank,
    label_above,
    labels_above,
    look,
)

from . import words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAP_LIMIT, RINGS, FEW = (
    50_000,
    30,
    300,
)  # points of a map; chosen ones that get a ring; that are drawn larger
ROW, BAR = (
    38,
    0.24,
)  # bars with their names above: pixels a row, and the share of it that the bar takes
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
SEQUENTIAL = "Viridis"


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    *,
    x: str = "Epoch",
    share: bool = False,
    height: int = 230,
) -> Figure:
    """A run's own series over time. A name with "train" in it is dotted, the others solid, each in a colour of its own."""
    figure = blank(title, height, x=x, legend=True)
    curves = (
        any("train" in name.lower() for name in series) or len(series) < 2
    )  # training and validation of one arm
    for index, (name, (xs, ys)) in enumerate(series.items()):
        dotted = "train" in name.lower() and len(series) > 1
        figure.add_trace(
            dict(
                type="scatter",
                x=list(xs),
                y=list(ys),
                name=name,
                mode="lines" if len(xs) > 3 else "lines+markers",
                line={
                    "color": arm_style("vae").colour if curves and index < 2 else PALETTE[index],
                    "width": 2,
                    "dash": "dot" if dotted else "solid",
                },
                hovertemplate=f"{name}: %{{y:{'.1%' if share else '.4g'}}} at %{{x:.4g}}<extra></extra>",
            )
        )
    figure.update_yaxes(tickformat=".1~%" if share else None, nticks=6)
    return figure


LABEL = 34  # letters that fit beside a percentage in a card of 280 px


def probability_bars(
    probabilities: Mapping[str, float],
    *,
    colour: str,
    title: str = "",
    order: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> Figure:
    """What one model thinks of one image; give both models the same `order` and they stand side by side.

    The most probable class is drawn full, the others paler, each on a track from 0 to 100 %. Made in one piece, since every
    answer has one: property after property plotly takes longer for it than the model for the image.
    """
    classes = list(order) or sorted(probabilities, key=probabilities.get, reverse=True)
    values = [probabilities.get(name, 0.0) for name in classes]
    top = int(np.argmax(values)) if values else 0
    track = dict(
        type="bar",
        x=[1] * len(classes),
        y=classes,
        orientation="h",
        width=BAR,
        hoverinfo="skip",
        marker={"color": TRACK, "cornerradius": 3},
    )
    bars = dict(
        type="bar",
        x=values,
        y=classes,
        orientation="h",
        width=BAR,
        marker={
            "color": [colour if i == top else alpha(colour, 0.45) for i in range(len(values))],
            "cornerradius": 3,
        },
        customdata=[(names or {}).get(name, name) for name in classes],
        hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
    )
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
            dict(
                type="bar",
                x=counts[split],
                y=rows,
                orientation="h",
                width=BAR,
                name=SPLIT_NAMES.get(split, str(split)),
                marker={"color": SPLIT_COLOURS.get(split, arm_style("random").colour)},
                customdata=whole,
                hovertemplate=f"%{{customdata}}, {SPLIT_NAMES.get(split, split)}: %{{x:,}}<extra></extra>",
            )
        )
    totals = counts.sum(axis=1)
    told = {
        row: words.short((names or {}).get(row, ""), max(LABEL - len(row), 8)) for row in rows
    }  # must not meet the number
    label_above(
        figure,
        rows,
        [f"<b>{row}</b> {told[row]}" for row in rows],
        [f"{total:,} · {words.percent(total / max(totals.sum(), 1))}" for total in totals],
    )
    return figure.update_layout(
        legend={"traceorder": "normal"}, **_above(rows, max(totals.max(), 1))
    )


def map_scatter(
    points: pd.DataFrame,
    *,
    x: str = "umap_x",
    y: str = "umap_y",
    colour_by: str = "label",
    row: str = "row",
    title: str = "Latent map",
    chosen: Sequence[int] = (),
    height: int = 620,
    equal: bool = True,
    levels: Sequence[str] = (),
    name: str = "",
    behind: pd.DataFrame | None = None,
) -> Figure:
    """A latent map with scattergl. Text columns get one colour and legend entry a value, numbers a scale.

    points: columns x, y, `row` (carried as customdata, what a click or lasso returns) and `colour_by`; everything is
    sent as 4-byte numbers, one text a trace. levels: values in a fixed order, so that two maps share their colours.
    name: of the scale. behind: points without colour or answer, what a filter left out. chosen: rows that were chosen
    elsewhere; the others are paler, and few have a ring, until there is a selection in the chart itself. equal: one scale
    for both axes.
    Distances between far groups mean little in UMAP: no axis labels.
    """
    figure = blank(title, height, legend=True, dragmode="pan", clickmode="event+select")
    size = float(np.clip(9 - 1.3 * np.log10(max(len(points), 1)), 3.0, 8.0))
    values, traces = (
        points[colour_by] if colour_by in points else pd.Series("", index=points.index),
        [],
    )
    if behind is not None and len(behind):
        traces.append(
            _plain(behind, x, y, "Left out by the filter", {"size": size, "color": alpha(INK, 0.1)})
        )
    if is_scale(values):
        ends, known = [float(end) for end in np.nanquantile(values, [0.01, 0.99])], values.notna()
        if not known.all():
            traces.append(
                _lit(
                    _cloud(points[~known], x, y, row, "unknown", size, {"color": INK}, "unknown"),
                    chosen,
                )
            )
        traces.append(
            _lit(
                _cloud(
                    points[known],
                    x,
                    y,
                    row,
                    name or colour_by,
                    size,
                    {
                        "color": values[known].to_numpy(np.float32),
                        "colorscale": SEQUENTIAL,
                        "cmin": ends[0],
                        "cmax": ends[1],
                        "colorbar": {
                            "orientation": "h",
                            "x": 0,
                            "xanchor": "left",
                            "y": 1,
                            "yanchor": "bottom",
                            "thickness": 8,
                            "len": 0.6,
                            "ypad": 2,
                            "outlinewidth": 0,
                            "nticks": 5,
                        },
                    },
                    f"{name or colour_by} %{{marker.color:.3~g}}",
                ),
                chosen,
            )
        )
    else:
        for rank, value, colour, part in _levels(points, categories(values), levels):
            traces.append(
                _lit(_cloud(part, x, y, row, value, size, {"color": colour}, "%{text}"), chosen)
                | {"text": value, "legendrank": 1000 + rank}
            )
    figure.add_traces(
        traces
        + _rings(points if behind is None else pd.concat([points, behind]), x, y, row, chosen, size)
    )
    axes = {
        axis: {
            "showticklabels": False,
            "showgrid": False,
            "fixedrange": False,
            "range": core_range(
                points[column] if behind is None else pd.concat([points[column], behind[column]])
            ),
        }
        for axis, column in (("xaxis", x), ("yaxis", y))
    }
    if equal:
        axes["yaxis"]["scaleanchor"] = "x"
    return figure.update_layout(
        margin={"l": 0, "r": 30},
        legend={"itemsizing": "constant"},
        showlegend=not is_scale(values),
        modebar={"orientation": "v"},
        **axes,
    )


def _levels(
    points: pd.DataFrame, text: pd.Series, levels: Sequence[str]
) -> list[tuple[int, str, str, pd.DataFrame]]:
    """(place in the legend, value, colour, points), the largest first: small classes are drawn over large ones."""
    counts = text.value_counts()
    shown = list(levels)[: len(PALETTE)] or sorted(counts.index[: len(PALETTE)])
    shown = [value for value in shown if value != "unknown"][: len(PALETTE)]
    found = [
        (rank, value, PALETTE[rank], points[text == value])
        for rank, value in enumerate(shown)
        if value in counts
    ]
    rest = text[~text.isin(shown)]
    for value, part in (("unknown", rest == "unknown"), ("other values", rest != "unknown")):
        if part.any():
            found.append((len(PALETTE), value, INK, points.loc[rest.index[part]]))
    return sorted(found, key=lambda level: -len(level[3]))


def _rings(
    points: pd.DataFrame, x: str, y: str, row: str, chosen: Sequence[int], size: float
) -> list[dict]:
    """A ring around each of a few chosen points, gone where the chart has a selection of its own elsewhere."""
    ring = points[points[row].isin(list(chosen))] if 0 < len(chosen) <= RINGS else []
    if not len(ring):
        return []
    return [
        _plain(
            ring,
            x,
            y,
            "Chosen",
            {"symbol": "circle-open", "size": size + 10, "color": colour, "line": {"width": width}},
        )
        | {"unselected": {"marker": {"opacity": 0}}, "showlegend": False}
        for colour, width in (("#FFFFFF", 5), ("#111111", 2.5))
    ]


def _lit(trace: dict, chosen: Sequence[int]) -> dict:
    """The trace as it looks when these rows were selected in it: all others paler."""
    if len(chosen) < 2:
        return trace
    larger = {
        "marker": {"size": trace["marker"]["size"] + (4 if len(chosen) <= FEW else 1), "opacity": 1}
    }
    return trace | {
        "selectedpoints": np.flatnonzero(np.isin(trace["customdata"], list(chosen))).tolist(),
        "selected": larger,
    }


def _plain(points: pd.DataFrame, x: str, y: str, name: str, marker: dict) -> dict:
    return dict(
        type="scattergl",
        x=points[x].to_numpy(np.float32),
        y=points[y].to_numpy(np.float32),
        mode="markers",
        hoverinfo="skip",
        name=name,
        marker=marker,
    )


def mark(figure: Figure, point: Sequence[float], name: str) -> None:
    """A cross at (x, y) on a map, inside its axes, whatever is selected."""
    always = {"marker": {"opacity": 1}}
    figure.add_trace(
        dict(
            type="scattergl",
            x=[float(point[0])],
            y=[float(point[1])],
            mode="markers",
            name=name,
            unselected=always,
            marker={
                "symbol": "x",
                "size": 13,
                "color": "#000000",
                "line": {"width": 2, "color": "#FFFFFF"},
            },
            hovertemplate=f"{name}<extra></extra>",
            legendrank=2001,
        )
    )
    hold(figure, point)


def hold(figure: Figure, point: Sequence[float]) -> None:
    """Widen a map's axes where they leave out `point` (x, y)."""
    for axis, value in (
        (figure.layout.xaxis, float(point[0])),
        (figure.layout.yaxis, float(point[1])),
    ):
        low, high = axis.range
        room = 0.05 * (high - low)
        if not low <= value <= high:
            axis.range = [min(low, value - room), max(high, value + room)]


def core_range(values: pd.Series) -> list[float]:
    """Ends of an axis that shows the bulk: far outliers may lie outside, where they would press the rest together."""
    low, high = np.nanquantile(values, [0.005, 0.995])
    room = 0.25 * max(high - low, 1e-6)
    return [
        max(float(low - room), float(values.min() - room / 4)),
        min(float(high + room), float(values.max() + room / 4)),
    ]


def _cloud(
    points: pd.DataFrame, x: str, y: str, row: str, name: str, size: float, marker: dict, said: str
) -> dict:
    """Points that answer to a click with their row. said: the hover text's template."""
    return dict(
        type="scattergl",
        x=points[x].to_numpy(np.float32),
        y=points[y].to_numpy(np.float32),
        mode="markers",
        name=name,
        customdata=points[row].to_numpy(np.int32),
        hovertemplate=f"{said}<extra></extra>",
        marker={"size": size, "opacity": 0.8} | marker,
        selected={"marker": {"size": size + 1}},
        unselected={"marker": {"opacity": 0.25}},
    )
