"""The kinds of figures that several sections draw: dots, forest, curves with bands, square of cells.

Each has a title that says what it shows. Colour and symbol of an arm are those of its ArmStyle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arms import ArmStyle, in_order
from ..formatting import missing
from ..stats.intervals import Interval
from .figure_style import (
    ACCENT,
    CLEAR,
    GRID,
    INK,
    ZERO,
    Figure,
    alpha,
    band,
    blank,
    ends,
    error_bars,
    labels_above,
    legend_room,
    line_trace,
    marker,
    scatter,
)

PALEST, STRONGEST = (
    0.05,
    0.48,
)  # opacity of cells; from 0.5 on plotly writes white on them, which pale ones do not bear
LETTERS_OF_A_LINE = 31  # of a name that stands beside '−18.2 (−20.9 to −15.6)' on a phone

Curve = tuple[Sequence[float], Sequence[Interval]]  # x, and an interval at each x


@dataclass(frozen=True)
class Dot:
    """One estimate of an arm within a group; n stands behind the group's name, faint ones are pale."""

    arm: ArmStyle
    group: str
    value: Interval
    n: float | None = None
    faint: bool = False


@dataclass(frozen=True)
class ForestRow:
    """A difference, its name and its numbers as text; primary: the one that was named in advance."""

    name: str
    text: str
    value: Interval
    primary: bool = False


def dots(rows: Sequence[Dot], *, title: str, x: str) -> Figure:
    """Shares of the arms beneath each other in each group, with 95 % intervals."""
    groups = list(dict.fromkeys(row.group for row in rows))
    counts = {row.group: row.n for row in rows}
    arms = {row.arm.key: row.arm for row in rows}
    height = 90 + max(34, 15 * len(arms) + 8) * len(groups) + legend_room(len(arms))
    figure = blank(title, height, x=x, legend=True)
    for place, key in enumerate(in_order(arms)):
        arm, mine = arms[key], [row for row in rows if row.arm.key == key]
        offset = (place - (len(arms) - 1) / 2) * (0.72 / len(arms))
        values = np.array([row.value.mean for row in mine], dtype=float)
        low, high = np.array(ends(row.value for row in mine), dtype=float)
        colour = alpha(arm.colour, 0.6)
        figure.add_trace(
            scatter(
                values.tolist(),
                [groups.index(row.group) + offset for row in mine],
                "markers",
                name=arm.name,
                marker=marker(arm, 9, opacity=[0.35 if row.faint else 1 for row in mine]),
                error_x=error_bars(
                    (high - values).tolist(),
                    (values - low).tolist(),
                    colour,
                    thickness=1.4,
                    width=0,
                ),
                customdata=[row.group for row in mine],
                hovertemplate=f"{arm.name}, %{{customdata}}: %{{x:.1%}}<extra></extra>",
            )
        )
    labels = [f"{name} ({counts[name]:,})" if counts.get(name) else name for name in groups]
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=labels,
        range=[len(groups) - 0.5, -0.5],
        gridcolor=CLEAR,
    )
    figure.update_xaxes(tickformat=".0%", nticks=8)
    for edge in range(1, len(groups)):
        figure.add_hline(y=edge - 0.5, line={"color": GRID, "width": 1})
    return figure


def forest(rows: Sequence[ForestRow], quantity: str, *, share: bool = True) -> Figure:
    """A line for each difference. One that does not meet 0 shows a difference."""
    figure = blank(f"Differences in {quantity}", 44 * len(rows) + 70, x=f"Difference in {quantity}")
    figure.add_vline(x=0, line={"color": ZERO, "width": 1.2, "dash": "dash"})
    for place, row in enumerate(rows):
        if missing(row.value.mean):
            continue
        colour, size, symbol = (ACCENT, 12, "diamond") if row.primary else (INK, 9, "circle")
        line = {"color": colour, "width": 3 if row.primary else 2}
        mark = {"color": colour, "symbol": symbol, "size": size}
        (low,), (high,) = ends([row.value])
        hover = {"hovertemplate": f"{row.name}: {row.text}<extra></extra>"}
        span = scatter([low, high], [place, place], "lines", line=line, hoverinfo="skip")
        middle = scatter([row.value.mean], [place], "markers", marker=mark, **hover)
        figure.add_traces([trace | {"showlegend": False} for trace in (span, middle)])
    names = [_in_lines(row.name) for row in rows]
    names = [
        f"<b>{name}</b>" if row.primary else name for name, row in zip(names, rows, strict=True)
    ]
    labels = labels_above(range(len(rows)), names, [row.text for row in rows])
    figure.update_layout(annotations=labels)
    figure.update_yaxes(visible=False, range=[len(rows) - 0.55, -0.85])
    return figure.update_xaxes(tickformat=".0%" if share else ".3~f", nticks=8)


def _in_lines(name: str) -> str:
    """A difference of two long names in two lines, so that it does not meet its numbers on a phone."""
    return name.replace(" − ", "<br>− ", 1) if len(name) > LETTERS_OF_A_LINE else name


def curves(
    of_arms: Mapping[ArmStyle, Curve],
    *,
    title: str,
    x: str,
    y: str = "",
    at: str,
    share: bool = True,
    height: int = 320,
) -> Figure:
    """A line for each arm with its band of 95 % intervals.

    Args:
        of_arms: x and the interval at each x, for each arm.
        title: what the figure shows.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        at: what a point is at, in plotly's template: "severity %{x}".
        share: whether the values are shares.
        height: in pixels, without what a long legend takes.
    """
    height += legend_room(len(of_arms))
    figure, form = blank(title, height, x=x, y=y, legend=True), ".1%" if share else ".3f"
    for arm, (xs, values) in of_arms.items():
        if any(not missing(value.low) for value in values):
            figure.add_trace(band(xs, *ends(values), arm.colour))
        means = [value.mean for value in values]
        figure.add_trace(line_trace(arm, xs, means, f"%{{y:{form}}} at {at}"))
    return figure.update_yaxes(tickformat=".0%" if share else ".2f")


def heat_cells(
    rows: Sequence[str],
    columns: Sequence[str],
    shade: np.ndarray,
    text: Sequence[Sequence[str]],
    colour: str,
    **settings: Any,
) -> dict:
    """A trace of shaded cells with text: the stronger the colour, the larger the number."""
    return dict(
        type="heatmap",
        z=shade.tolist(),
        x=list(columns),
        y=list(rows),
        zmin=0,
        xgap=2,
        ygap=2,
        colorscale=[[0, alpha(colour, PALEST)], [1, alpha(colour, STRONGEST)]],
        showscale=False,
        text=text,
        texttemplate="%{text}",
        **settings,
    )


def matrix(
    title: str,
    shade: np.ndarray,
    text: Sequence[Sequence[str]],
    hover: str,
    cell_text: Callable[[int, int], str],
    classes: Sequence[str],
    colour: str,
) -> Figure:
    """A square of cells that can be pressed, a row and a column for each class.

    Args:
        title: what the figure shows.
        shade: how strong the colour of each cell is, (n, n).
        text: what stands in each cell.
        hover: what a cell says under the pointer, in plotly's template: row %{y}, column %{x}, `cell_text`.
        cell_text: what the template's %{text} is for the cell of a row and a column.
        classes: names of the rows, which are those of the columns.
        colour: hexadecimal.
    """
    figure = blank(title, 110 + 34 * len(classes))
    strongest = max(float(shade.max(initial=0.0)), 1e-9)
    figure.add_trace(
        heat_cells(classes, classes, shade, text, colour, zmax=strongest, hoverinfo="skip")
    )
    # A heatmap does not report clicks: on each cell lies an invisible mark that does.
    places = [(i, j) for i in range(len(classes)) for j in range(len(classes))]
    figure.add_trace(
        scatter(
            [classes[j] for _, j in places],
            [classes[i] for i, _ in places],
            "markers",
            customdata=places,
            text=[cell_text(i, j) for i, j in places],
            hovertemplate=f"{hover}<extra></extra>",
            marker={
                "symbol": "square-open",
                "size": 30,
                "color": INK,
                "opacity": 0,
                "line": {"width": 3},
            },
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0}},
        )
    )
    figure.update_layout(
        dragmode=False, clickmode="event+select", hovermode="closest", hoverdistance=-1
    )
    figure.update_yaxes(autorange="reversed", gridcolor=CLEAR)
    slanted = max(map(len, classes), default=0) > 6
    return figure.update_xaxes(gridcolor=CLEAR, tickangle=-40 if slanted else 0)
