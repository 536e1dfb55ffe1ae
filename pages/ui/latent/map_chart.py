"""One map's chart, and below it the quality measures of the map and what the chart leaves out."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.insight.regions import density_picture
from derm_core.insight.selection import categories, is_scale, sample
from derm_core.report.figure_style import again
from derm_core.stats.feature_space import TRUST_SAMPLE
from pages.ui import cached, frame, glossary, map_route, map_scatter, words
from pages.ui.latent import map_detail, map_hover, selection
from pages.ui.latent.filters import MapSettings
from pages.ui.latent.loaded_map import METHODS, LoadedMap

MEASURES = (
    f"Trustworthiness is computed on {TRUST_SAMPLE:,} images drawn at random where there are more. Silhouette and "
    "nearest-neighbour accuracy are those of the feature space, not of the map."
)
DENSITY_COLOUR = (127, 133, 135)  # figure_style.INK
TERMS = ("umap", "pca", "trustworthiness", "neighbours-kept", "silhouette", "knn")


@dataclass(frozen=True)
class MapChart:
    """A map's figure as a dict, the texts that belong to it, and the points that it leaves out; None if it has all."""

    figure: dict[str, Any]
    caption: str
    alt: str
    detail: map_detail.MapDetail | None


def explain() -> None:
    """What the methods and the measures below a map mean."""
    glossary.explain(terms=TERMS, more=MEASURES)


def draw_map(
    first: LoadedMap,
    loaded: LoadedMap,
    settings: MapSettings,
    rows: list[int],
    side: str,
    height: int,
    upload: tuple[float, float] | None,
) -> map_hover.ShownChart:
    """Draw one map.

    Args:
        first: the map of the address, whose points the filter's mask refers to.
        loaded: the map to draw, `first` itself or the second one.
        settings: method, colour and filter.
        rows: selected manifest rows.
        side: "a" or "b".
        height: in pixels.
        upload: (x, y) of the user's own image on this map.
    """
    method, colour, version = settings.method, settings.colour, selection.current().chart_version
    filtered = st.query_params.get("filter", "")
    # With more images it is another chart: as the same one it would give up what is selected in it.
    shown = f"{loaded.run_id}-{len(loaded.points)}"
    key = f"map-{side}-{shown}-{method}-{colour}-{filtered}-{version}"
    ringed = selection.rows_to_ring(key, rows)
    chart: MapChart = cached.built_once(
        (
            first.version,
            loaded.version,
            loaded.name,
            method,
            colour,
            height,
            tuple(first.levels(colour)),
            np.packbits(settings.mask).tobytes(),
            np.array(ringed, np.int64).tobytes(),
        ),
        lambda: build_chart(first, loaded, settings, ringed, height),
    )
    figure = again(chart.figure)
    if upload is not None:
        map_scatter.mark(figure, upload, "your image, approximately")
    frame.show_chart(
        figure,
        None,
        key=key,
        on_select=functools.partial(selection.select_in_chart, first, key, chart.detail),
        caption=chart.caption,
        alt=chart.alt,
    )
    if chart.detail is None:
        return map_hover.ShownChart(side, key, None)
    further = map_route.offer(
        map_route.POINTS, f"map-points-{side}", chart.detail.respond, chart.detail
    )
    return map_hover.ShownChart(side, key, further.address)


def build_chart(
    first: LoadedMap, loaded: LoadedMap, settings: MapSettings, ringed: list[int], height: int
) -> MapChart:
    """The map with rings around the rows `ringed`; points that do not pass the filter are grey, and only some drawn."""
    method, colour, points = settings.method, settings.colour, loaded.points
    passing = points["row"].isin(set(first.points["row"][settings.mask])).to_numpy()
    visible, filtered_out = points_to_draw(points, passing, ringed)
    columns = (f"{method}_x", f"{method}_y")
    colour_name = first.columns.get(colour, colour)
    levels, everything, density = first.levels(colour), None, None
    if len(visible) < passing.sum():
        everything = _with_colour(points[passing], first, colour)
        density = density_picture(everything[list(columns)].to_numpy(), DENSITY_COLOUR)
        if not is_scale(everything[colour]):  # as without the sample
            levels = map_scatter.named_values(categories(everything[colour]), levels)
    figure = map_scatter.map_scatter(
        _with_colour(visible, first, colour),
        x=columns[0],
        y=columns[1],
        colour_by=colour,
        name=colour_name,
        levels=levels,
        selected=ringed,
        height=height,
        equal=method == "umap",
        filtered_out=filtered_out,
        title=f"{METHODS[method]} of {loaded.dataset.name} · {loaded.name}",
        density=density,
    )
    if len(ringed) <= map_scatter.MAX_RINGS:  # one that a link names may lie far outside
        for place in points.loc[points["row"].isin(ringed), list(columns)].to_numpy():
            map_scatter.widen(figure, place)
    return MapChart(
        figure.to_dict(),
        _caption(loaded, visible, filtered_out, passing, method),
        f"{METHODS[method]} of {len(visible):,} images by {loaded.name}, coloured by "
        f"{colour_name.lower()}; the table below holds the same points.",
        None
        if everything is None
        else map_detail.further_points(figure, everything, colour, levels, columns, ringed),
    )


def _with_colour(points: pd.DataFrame, first: LoadedMap, colour: str) -> pd.DataFrame:
    """The points with the column to colour by, which the first map has where this one lacks it."""
    if colour in points or colour not in first.points:
        return points
    return points.merge(first.points[["row", colour]], on="row")


def points_to_draw(
    points: pd.DataFrame, passing: np.ndarray, ringed: list[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is drawn of a map: of the points that pass the filter, and of the others.

    At most MAP_LIMIT of the first; of the others as many as that leaves room for, but a tenth of the limit at least.
    A few ringed images are always among them.
    """
    limit = map_scatter.MAP_LIMIT
    room = max(limit - int(passing.sum()), limit // 10)
    always = points["row"].isin(ringed if len(ringed) <= map_scatter.MAX_ENLARGED else [])

    def draw(part: pd.DataFrame, count: int) -> pd.DataFrame:
        some = sample(part, count)
        return pd.concat([some, part[always[part.index] & ~part.index.isin(some.index)]])

    return draw(points[passing], limit), draw(points[~passing], room)


def _caption(
    loaded: LoadedMap,
    visible: pd.DataFrame,
    filtered_out: pd.DataFrame,
    passing: np.ndarray,
    method: str,
) -> str:
    """The map's measures in a line, and what is not visible on it."""
    lines = [_measures(loaded, method)]
    if loaded.info.expected:
        lines.append(
            f"{len(passing):,} of {loaded.info.expected:,} images so far, drawn at random."
        )
    if not passing.all():
        lines.append(f"The filter leaves {passing.sum():,} of {len(passing):,} images.")
    if len(visible) < passing.sum():
        lines.append(
            f"{len(visible):,} of {passing.sum():,} points are drawn, each class in proportion, above the density of "
            "all; zoom in to see more of a region."
        )
    if len(filtered_out) < (~passing).sum():
        lines.append(f"Of what the filter leaves out, {len(filtered_out):,} points are drawn.")
    if method == "pca" and loaded.info.pca_explained:
        variance = words.percent(sum(loaded.info.pca_explained))
        lines.append(f"These two axes hold {variance} of the variance.")
    drawn = pd.concat([visible, filtered_out])
    inside = pd.concat(
        [
            drawn[axis].between(*map_scatter.core_range(drawn[axis]))
            for axis in (f"{method}_x", f"{method}_y")
        ],
        axis=1,
    ).all(axis=1)
    if outside := int((~inside).sum()):
        far = words.count(outside, "far image")
        lines.append(f"{far} outside the frame: drag the map to see more.")
    if method == "umap":
        lines.append("Distances between clusters of a UMAP mean little.")
    return " ".join(filter(None, lines))


def _measures(loaded: LoadedMap, method: str) -> str:
    """'Trustworthiness 0.91 · neighbours kept 25.0 % · …': those that are known."""
    quality, suffix = loaded.quality, "" if method == "umap" else "_pca"
    parts = [
        f"{name} {words.percent(value) if share else words.number(value, 2)}"
        for name, value, share in (
            ("Trustworthiness", quality.get(f"trustworthiness{suffix}"), False),
            ("neighbours kept", quality.get(f"neighbourhood_preservation{suffix}"), True),
            ("silhouette", quality.get("silhouette"), False),
            ("kNN balanced accuracy", quality.get("knn_balanced_accuracy"), True),
        )
        if not words.missing(value)
    ]
    return " · ".join(parts) + "." if parts else ""
