"""The points that a map's chart leaves out: what a lasso holds of them, and those of a region, to be drawn above it.

A chart draws at most map_scatter.MAP_LIMIT points. Where a map has more, their density lies below the chart, and the
page's script (map_hover.js) asks for those in view whenever one zooms or moves the map.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from starlette.responses import Response

from derm_core.insight.regions import Region, inside_any, spread
from derm_core.insight.selection import categories, is_scale
from derm_core.report.figure_style import scale_colours
from derm_core.seeds import stream_seed
from pages.ui import map_route, map_scatter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SHADES = 256  # of a colour scale
NO_TRACE = 255  # of a value that no drawn point has


@dataclass(frozen=True, eq=False)
class MapDetail:
    """All n points of a chart that pass the filter.

    Attributes:
        rows: (n,) of the manifest.
        places: (n, 2) float32.
        colours: (n, 3) uint8, red, green and blue.
        traces: (n,) uint8, the number of the chart's trace that a point belongs to, or NO_TRACE.
        is_drawn: (n,) bool, whether the chart draws it.
        is_chosen: (n,) bool, whether its image was selected elsewhere.
    """

    rows: np.ndarray
    places: np.ndarray
    colours: np.ndarray
    traces: np.ndarray
    is_drawn: np.ndarray
    is_chosen: np.ndarray

    @functools.cached_property
    def rank(self) -> np.ndarray:
        """(n,) a random order in which points are left out, the same in every region."""
        rng = np.random.default_rng(stream_seed(0, "points of a region"))
        return rng.permutation(len(self.rows))

    def inside(
        self, boxes: Sequence[Region], outlines: Sequence[np.ndarray], drawn: Sequence[int]
    ) -> list[int]:
        """Manifest rows of all points inside boxes or lassos, drawn or not.

        Of a trace that the legend hides there are none, where the chart draws a point of it inside.

        Args:
            boxes: that were drawn in the chart.
            outlines: of its lassos.
            drawn: the rows that the chart itself found inside.
        """
        inside = inside_any(self.places, boxes, outlines)
        is_found = np.isin(self.rows, drawn)
        missed = np.setdiff1d(
            self.traces[inside & self.is_drawn & ~is_found], self.traces[is_found]
        )
        further = inside & ~self.is_drawn & ~np.isin(self.traces, missed)
        rows: list[int] = self.rows[is_found | further].tolist()
        return rows

    def within(self, region: Region) -> bytes:
        """The points of a region that the chart does not draw; with those that it draws at most MAP_LIMIT.

        Returns:
            Little-endian: uint32 their number m and how many were left out; m times int32 the rows,
            float32 x, float32 y; m times uint8 the trace, 1 or 0 for chosen or not; m times three uint8
            of the colour.
        """
        inside = region.holds(self.places)
        further = np.flatnonzero(inside & ~self.is_drawn)
        room = max(map_scatter.MAP_LIMIT - int((inside & self.is_drawn).sum()), 0)
        shown = spread(self.rank, further, room)
        parts = (
            np.array([len(shown), len(further) - len(shown)], "<u4"),
            self.rows[shown].astype("<i4"),
            *self.places[shown].astype("<f4").T,
            self.traces[shown],
            self.is_chosen[shown].astype(np.uint8),
            self.colours[shown],
        )
        return b"".join(part.tobytes() for part in parts)

    def respond(self, query: map_route.Query) -> Response:
        """`within` of ?west=…&east=…&south=…&north=…. Raises BadQuery."""
        try:
            ends = [float(query[name]) for name in ("west", "east", "south", "north")]
        except (KeyError, ValueError):
            ends = [np.nan]
        if not np.isfinite(ends).all():
            raise map_route.BadQuery("west, east, south, north: the ends of a region, numbers.")
        return Response(self.within(Region(*ends)), media_type="application/octet-stream")


def further_points(
    figure: Figure,
    points: pd.DataFrame,
    colour_by: str,
    levels: Sequence[str],
    columns: tuple[str, str],
    ringed: Sequence[int],
) -> MapDetail:
    """All points that pass the filter, with the colours that the figure, which draws some of them, gives.

    Args:
        figure: of `map_scatter`, of some of the points.
        points: all of them.
        colour_by, levels: as the figure was drawn with.
        columns: of x and y.
        ringed: rows that are selected elsewhere.
    """
    traces = [trace for trace in figure.data if trace.customdata is not None]
    drawn = np.concatenate([trace.customdata for trace in traces])
    values = points[colour_by]
    if is_scale(values):
        colours, numbers = _on_scale(values, traces)
    else:
        colours, numbers = _by_class(categories(values), levels, traces)
    return MapDetail(
        rows=points["row"].to_numpy(np.int32),
        places=points[list(columns)].to_numpy(np.float32),
        colours=colours,
        traces=numbers,
        is_drawn=points["row"].isin(drawn).to_numpy(),
        is_chosen=points["row"].isin(list(ringed)).to_numpy(),
    )


def _on_scale(values: pd.Series, traces: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Colours and traces of points on the colour scale of a figure; those without a value have a trace of their own."""
    of_scale = next(n for n, trace in enumerate(traces) if trace.marker.cmin is not None)
    of_unknown = next((n for n in range(len(traces)) if n != of_scale), NO_TRACE)
    low, high = traces[of_scale].marker.cmin, traces[of_scale].marker.cmax
    table = scale_colours(SHADES)
    share = (values.to_numpy(float) - low) / max(high - low, 1e-12)
    known = np.isfinite(share)
    shade = np.rint(np.clip(np.where(known, share, 0), 0, 1) * (SHADES - 1)).astype(int)
    grey = np.array(_hex(map_scatter.INK))
    colours = np.where(known[:, None], table[shade], grey).astype(np.uint8)
    return colours, np.where(known, of_scale, of_unknown).astype(np.uint8)


def _by_class(
    text: pd.Series, levels: Sequence[str], traces: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Colours and traces of points of these values."""
    number_of = {trace.name: number for number, trace in enumerate(traces)}
    colours = np.zeros((len(text), 3), np.uint8)
    numbers = np.full(len(text), NO_TRACE, np.uint8)
    for _, name, colour, is_part in map_scatter.parts(text, levels):
        colours[is_part] = _hex(colour)
        numbers[is_part] = number_of.get(name, NO_TRACE)
    return colours, numbers


def _hex(colour: str) -> tuple[int, ...]:
    """'#0072B2' as red, green and blue."""
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
