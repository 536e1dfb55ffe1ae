"""A latent map as a scatter plot (WebGL), coloured by class or on a scale, with rings around selected images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from derm_core.insight.regions import Region
from derm_core.insight.selection import categories, is_scale
from derm_core.report.figure_style import INK, alpha, blank
from pages.ui.charts import PALETTE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAP_LIMIT = 50_000  # points that are drawn of a map
HOVER_DISTANCE = 30  # pixels from a dot at which the pointer means it: half an image in its place
MAX_RINGS = 30  # selected points, up to which each has a ring
MAX_ENLARGED = 300  # selected points, up to which each is drawn larger
COLOUR_BAR = {
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
}
Trace = dict[str, Any]


def map_scatter(
    points: pd.DataFrame,
    *,
    x: str = "umap_x",
    y: str = "umap_y",
    colour_by: str = "label",
    title: str = "Latent map",
    selected: Sequence[int] = (),
    height: int = 620,
    equal: bool = True,
    levels: Sequence[str] = (),
    name: str = "",
    filtered_out: pd.DataFrame | None = None,
    density: tuple[bytes, Region] | None = None,
) -> Figure:
    """A latent map. Text columns get one colour and legend entry for each value, numbers a colour scale.

    Coordinates are sent as 4-byte numbers. Distances between far groups mean little in UMAP: no labels on the axes.

    Args:
        points: columns `x`, `y`, "row" (the customdata of each point: what a click or lasso returns) and `colour_by`.
        x: column of the x axis.
        y: column of the y axis.
        colour_by: column that decides the colour.
        title: of the chart.
        selected: rows selected elsewhere. The others are paler, and a few have rings, until the chart has a
            selection of its own.
        height: in pixels.
        equal: whether both axes have the same scale.
        levels: values in a fixed order, so that two maps share their colours.
        name: of the colour scale.
        filtered_out: points that are drawn behind, without colour, and cannot be selected.
        density: a PNG that lies below all points, and the region that it shows.
    """
    figure = blank(title, height, legend=True, dragmode="pan", clickmode="event+select")
    size = float(np.clip(9 - 1.3 * np.log10(max(len(points), 1)), 3.0, 8.0))
    cloud = _Cloud(x, y, size, selected)
    values = points[colour_by] if colour_by in points else pd.Series("", index=points.index)
    everything, traces = points, []
    if filtered_out is not None and len(filtered_out):
        everything = pd.concat([points, filtered_out])
        grey = {"size": size, "color": alpha(INK, 0.1)}
        traces.append(cloud.background(filtered_out, "Left out by the filter", grey))
    if is_scale(values):
        traces += _scale_traces(cloud, points, values, name or colour_by)
    else:
        traces += _class_traces(cloud, points, categories(values), levels)
    figure.add_traces(traces + _rings(cloud, everything))
    axes = {
        axis: {
            "showticklabels": False,
            "showgrid": False,
            "fixedrange": False,
            "range": core_range(everything[column]),
        }
        for axis, column in (("xaxis", x), ("yaxis", y))
    }
    if equal:
        axes["yaxis"]["scaleanchor"] = "x"
    if density is not None:
        figure.add_layout_image(_below(*density))
    return figure.update_layout(
        margin={"l": 0, "r": 30},
        legend={"itemsizing": "constant"},
        showlegend=not is_scale(values),
        modebar={"orientation": "v"},
        hoverdistance=HOVER_DISTANCE,
        **axes,
    )


@dataclass(frozen=True)
class _Cloud:
    """How the points of one map become traces: the columns of their coordinates, their size, the selected rows."""

    x: str
    y: str
    size: float
    selected: Sequence[int]

    def background(self, points: pd.DataFrame, name: str, marker: dict[str, Any]) -> Trace:
        """Points that cannot be selected."""
        return {
            "type": "scattergl",
            "x": points[self.x].to_numpy(np.float32),
            "y": points[self.y].to_numpy(np.float32),
            "mode": "markers",
            "hoverinfo": "skip",
            "name": name,
            "marker": marker,
        }

    def trace(self, points: pd.DataFrame, name: str, hover: str, marker: dict[str, Any]) -> Trace:
        """Points that return their row when they are clicked. hover: template of the hover text."""
        trace = {
            "type": "scattergl",
            "x": points[self.x].to_numpy(np.float32),
            "y": points[self.y].to_numpy(np.float32),
            "mode": "markers",
            "name": name,
            "customdata": points["row"].to_numpy(np.int32),
            "hovertemplate": f"{hover}<extra></extra>",
            "marker": {"size": self.size, "opacity": 0.8} | marker,
            "selected": {"marker": {"size": self.size + 1}},
            "unselected": {"marker": {"opacity": 0.25}},
        }
        if len(self.selected) < 2:
            return trace
        growth = 4 if len(self.selected) <= MAX_ENLARGED else 1
        return trace | {
            "selectedpoints": np.flatnonzero(points["row"].isin(list(self.selected))).tolist(),
            "selected": {"marker": {"size": self.size + growth, "opacity": 1}},
        }


def _scale_traces(cloud: _Cloud, points: pd.DataFrame, values: pd.Series, name: str) -> list[Trace]:
    """The points on a colour scale from the 1st to the 99th percentile; those without a value apart."""
    low, high = (float(end) for end in np.nanquantile(values, [0.01, 0.99]))
    known = values.notna()
    scale = {
        "color": values[known].to_numpy(np.float32),
        "colorscale": "Viridis",
        "cmin": low,
        "cmax": high,
        "colorbar": COLOUR_BAR,
    }
    traces = [cloud.trace(points[known], name, f"{name} %{{marker.color:.3~g}}", scale)]
    if not known.all():
        traces.insert(0, cloud.trace(points[~known], "unknown", "unknown", {"color": INK}))
    return traces


def _class_traces(
    cloud: _Cloud, points: pd.DataFrame, text: pd.Series, levels: Sequence[str]
) -> list[Trace]:
    """A trace for each value, the largest first: small classes are drawn over large ones."""
    return [
        cloud.trace(points[is_part], value, "%{fullData.name}", {"color": colour})
        | {"legendrank": 1000 + place}
        for place, value, colour, is_part in parts(text, levels)
    ]


def named_values(text: pd.Series, levels: Sequence[str] = ()) -> list[str]:
    """The values that have a colour of their own, in its order: `levels`, else the most frequent."""
    counts = text.value_counts()
    named = list(levels)[: len(PALETTE)] or sorted(counts.index[: len(PALETTE)])
    return [value for value in named if value != "unknown"]


def parts(text: pd.Series, levels: Sequence[str]) -> list[tuple[int, str, str, np.ndarray]]:
    """(place in the legend, name, colour, bool (n,) its points) of each value that occurs, largest first."""
    values, named = text.to_numpy(), named_values(text, levels)
    entries = [(place, value, PALETTE[place], values == value) for place, value in enumerate(named)]
    is_rest, is_unknown = ~text.isin(named).to_numpy(), values == "unknown"
    entries += [
        (len(PALETTE), "unknown", INK, is_rest & is_unknown),
        (len(PALETTE), "other values", INK, is_rest & ~is_unknown),
    ]
    present = [part for part in entries if part[3].any()]
    return sorted(present, key=lambda part: -int(part[3].sum()))


def _below(png: bytes, region: Region) -> dict[str, Any]:
    """A picture below all points, as plotly's layout has it."""
    return {
        "source": f"data:image/png;base64,{base64.b64encode(png).decode()}",
        "xref": "x",
        "yref": "y",
        "x": region.west,
        "y": region.north,
        "sizex": region.east - region.west,
        "sizey": region.north - region.south,
        "sizing": "stretch",
        "layer": "below",
    }


def _rings(cloud: _Cloud, points: pd.DataFrame) -> list[Trace]:
    """A ring around each of a few selected points; hidden where the chart has a selection of its own elsewhere."""
    if not 0 < len(cloud.selected) <= MAX_RINGS:
        return []
    ringed = points[points["row"].isin(list(cloud.selected))]
    if not len(ringed):
        return []
    rings = []
    for colour, width in (("#FFFFFF", 5), ("#111111", 2.5)):
        marker = {
            "symbol": "circle-open",
            "size": cloud.size + 10,
            "color": colour,
            "line": {"width": width},
        }
        ring = cloud.background(ringed, "Chosen", marker)
        rings.append(ring | {"unselected": {"marker": {"opacity": 0}}, "showlegend": False})
    return rings


def mark(figure: Figure, point: Sequence[float], name: str) -> None:
    """A cross at (x, y) on a map, inside its axes, whatever is selected."""
    figure.add_trace(
        {
            "type": "scattergl",
            "x": [float(point[0])],
            "y": [float(point[1])],
            "mode": "markers",
            "name": name,
            "unselected": {"marker": {"opacity": 1}},
            "marker": {
                "symbol": "x",
                "size": 13,
                "color": "#000000",
                "line": {"width": 2, "color": "#FFFFFF"},
            },
            "hovertemplate": f"{name}<extra></extra>",
            "legendrank": 2001,
        }
    )
    widen(figure, point)


def widen(figure: Figure, point: Sequence[float]) -> None:
    """Widen a map's axes where they leave out `point` (x, y)."""
    for axis, value in zip((figure.layout.xaxis, figure.layout.yaxis), point, strict=True):
        low, high = axis.range
        room = 0.05 * (high - low)
        if not low <= value <= high:
            axis.range = [min(low, float(value) - room), max(high, float(value) + room)]


def core_range(values: pd.Series) -> list[float]:
    """Ends of an axis that shows 99 % of the points: far outliers would press the rest together."""
    low, high = np.nanquantile(values, [0.005, 0.995])
    room = 0.25 * max(high - low, 1e-6)
    return [
        max(float(low - room), float(values.min() - room / 4)),
        min(float(high + room), float(values.max() + room / 4)),
    ]
