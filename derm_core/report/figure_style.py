"""The style that all figures share: empty figures, lines, marks, bands, error bars, colours.

Backgrounds are transparent and fonts are left to the theme, so that a figure suits light and dark;
only colours with a meaning (an arm, a class) are set. Traces are plain dicts. Plotly is imported in
this module alone, inside functions, so that the package opens without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..arms import ArmStyle
from ..formatting import missing
from ..stats.intervals import Interval

if TYPE_CHECKING:
    import plotly.graph_objects

Figure: TypeAlias = "plotly.graph_objects.Figure"
CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(127,135,137,0.22)"
ZERO = "rgba(127,135,137,0.65)"
MODEBAR = {"bgcolor": CLEAR, "color": ZERO, "activecolor": "#1A857E"}
INK = "#7F8587"  # what belongs to no arm; 3:1 on light and dark
ACCENT = "#1A857E"  # what is named in advance
LEGEND = dict(orientation="h", x=0, y=1.02, xanchor="left", yanchor="bottom", title=None)
MARGIN = {"l": 8, "r": 12, "t": 10, "b": 8}
ABOVE_MARK, LINE_OF_LABEL = (
    13,
    17,
)  # pixels from a mark to the middle of its label, and of each line
LEGEND_ROW, FEW_NAMES = (
    12,
    4,
)  # pixels for each name of a legend; so many stand in a row or two on a phone
SPLIT_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
SPLIT_COLOURS = {"train": "#0F6B66", "val": "#4FA39B", "test": "#A5915C"}


def blank(
    title: str, height: int, *, x: str = "", y: str = "", legend: bool = False, **layout: Any
) -> Figure:
    """An empty figure: thin grid, no frame, legend above and left."""
    return _plotly().graph_objects.Figure(
        layout=look(title, height, x=x, y=y, legend=legend, **layout)
    )


def _plotly() -> Any:
    """Plotly, imported when it is first needed, with what is used of it here."""
    import plotly.colors
    import plotly.graph_objects

    return plotly


def look(
    title: str, height: int, *, x: str = "", y: str = "", legend: bool = False, **layout: Any
) -> dict:
    """The layout of `blank` as one dict: plotly takes ten times as long to set its properties one by one."""
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "fixedrange": True}
    return {
        "title": {"text": title},
        "height": height,
        "margin": MARGIN | ({"t": 34} if legend else {}),
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": legend,
        "legend": LEGEND,
        "hoverlabel": {"namelength": -1},
        "modebar": MODEBAR,
        **layout,
        "xaxis": axis | {"title": {"text": x, "standoff": 8}},
        "yaxis": axis | {"title": {"text": y, "standoff": 8}},
    }


def legend_room(names: int) -> int:
    """Pixels that a figure is higher for a legend of many names: on a phone each takes a line."""
    return LEGEND_ROW * names if names > FEW_NAMES else 0


def again(figure: dict) -> Figure:
    """A figure rebuilt from another one's `to_dict`, without validation."""
    figure_class = _plotly().graph_objects.Figure
    rebuilt: Figure = figure_class(figure["data"], figure["layout"], _validate=False)
    return rebuilt


def scale_colours(count: int) -> np.ndarray:
    """(count, 3) red, green and blue, 0 to 255, of plotly's colour scale Viridis from its low end to its high end."""
    shades = _plotly().colors.sample_colorscale("Viridis", count, colortype="tuple")
    return np.rint(255 * np.array(shades)).astype(np.uint8)


def alpha(colour: str, opacity: float) -> str:
    """'#0072B2' at an opacity, as plotly writes it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def marker(arm: ArmStyle, size: int, **settings: Any) -> dict:
    """An arm's mark."""
    line = {"width": 1, "color": arm.colour}
    return {"color": arm.colour, "symbol": arm.symbol, "size": size, "line": line, **settings}


def ends(values: Iterable[Interval]) -> tuple[list[float], list[float]]:
    """Lower and upper ends; the mean where there is none, NaN where nothing is known."""
    values = list(values)
    low = [_first_known(value.low, value.mean) for value in values]
    return low, [_first_known(value.high, value.mean) for value in values]


def _first_known(*values: float | None) -> float:
    return next((value for value in values if not missing(value)), math.nan)


def scatter(x: Iterable[Any], y: Iterable[Any], mode: str, **settings: Any) -> dict:
    """A trace of points or lines; mode: "markers", "lines" or both, as plotly writes it."""
    return {"type": "scatter", "x": x, "y": y, "mode": mode, **settings}


def line_trace(
    arm: ArmStyle, x: Sequence[float], y: Sequence[float | None], hover: str, **settings: Any
) -> dict:
    """An arm's line; hover: what a point says after the arm's name, in plotly's template."""
    look = {
        "mode": "lines+markers",
        "name": arm.name,
        "line": {"color": arm.colour, "width": 2},
        "marker": marker(arm, 8),
    }
    text = f"{arm.name}: {hover}<extra></extra>"
    return scatter(list(x), list(y), **(look | settings), hovertemplate=text)


def error_bar(value: Interval, colour: str) -> dict | None:
    """The interval as plotly's error bar; None where there is none."""
    if missing(value.mean) or missing(value.low) or missing(value.high):
        return None
    up, down = max(0.0, value.high - value.mean), max(0.0, value.mean - value.low)
    return error_bars([up], [down], alpha(colour, 0.65), thickness=1.3, width=4)


def error_bars(up: Iterable[float], down: Iterable[float], colour: str, **look: Any) -> dict:
    """plotly's error bars from the distances of the upper and lower ends; look: thickness, width."""
    bars = {"array": up, "arrayminus": down, "color": colour}
    return {"type": "data", "symmetric": False, **bars, **look}


def band(
    x: Sequence[float],
    low: Sequence[float | None],
    high: Sequence[float | None],
    colour: str,
    opacity: float = 0.14,
) -> dict:
    """The area between two lines, without a place in the legend."""
    fill = {"fill": "toself", "fillcolor": alpha(colour, opacity), "line": {"width": 0}}
    hidden = {"hoverinfo": "skip", "showlegend": False}
    return scatter([*x, *reversed(x)], [*high, *reversed(low)], "lines", **fill, **hidden)


def labels_above(rows: Sequence[Any], left: Sequence[str], right: Sequence[str]) -> list[dict]:
    """Name and value of each row of a chart above its mark: long names fit, on a phone too.

    A name may have several lines, parted by <br>. All annotations at once: `add_annotation` would check the
    earlier ones again.
    """
    place = {"xref": "paper", "yanchor": "middle", "align": "left"}
    shared = {**place, "showarrow": False, "borderpad": 0, "font": {"size": 13}}
    return [
        {
            **shared,
            "text": text,
            "x": x,
            "y": row,
            "xanchor": anchor,
            "yshift": ABOVE_MARK + LINE_OF_LABEL / 2 * text.count("<br>"),
        }
        for row, name, value in zip(rows, left, right, strict=True)
        for text, x, anchor in ((name, 0, "left"), (value, 1, "right"))
    ]
