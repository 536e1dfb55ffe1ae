"""A map's chart with its measures, and the table that holds the same points."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.insight.selection import COORDINATES, sample
from derm_core.report.figure_style import again
from derm_core.stats.feature_space import TRUST_SAMPLE
from pages.ui import cached, charts, frame, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import METHODS, LoadedMap

MEASURES = (
    f"Trustworthiness: 1 where neighbours on the map are neighbours in feature space, among {TRUST_SAMPLE:,} images drawn at "
    "random where there are more. Neighbours kept: the share of an image's 10 nearest in feature space that are among its 10 "
    "nearest on the map. Silhouette of the classes (−1 to 1) and "
    "the balanced accuracy of a vote among the nearest training images are those of the original space, not of the map."
)


def draw_map(
    first: LoadedMap,
    map_: LoadedMap,
    method: str,
    colour: str,
    kept: np.ndarray,
    rows: list[int],
    place: str,
    height: int,
    upload: tuple[float, float] | None,
) -> None:
    """One map. kept: (n,) bool of the first map's points. place: "a" or "b". upload: where the reader's own image falls."""
    key = f"map-{place}-{map_.run_id}-{method}-{colour}-{st.query_params.get('filter', '')}-{selection.cleared()}"
    ringed = selection.rings(key, rows)
    drawing = cached.drawn(
        (
            first.version,
            map_.version,
            map_.name,
            method,
            colour,
            height,
            tuple(first.levels(colour)),
            np.packbits(kept).tobytes(),
            np.array(ringed, np.int64).tobytes(),
        ),
        lambda: chart_of(first, map_, method, colour, kept, ringed, height),
    )
    figure = again(drawing.figure)
    if upload is not None:
        charts.mark(figure, upload, "your image, approximately")
    frame.show_chart(
        figure,
        None,
        key=key,
        on_select=functools.partial(selection.in_chart, first, key, drawing.counted),
        caption=drawing.caption,
        alt=drawing.alt,
    )


@dataclass(frozen=True)
class Drawing:
    """figure: as a dict; what is said of it below, and to those who do not see it; counted: points that answer to a lasso,
    of how many that the filter leaves."""

    figure: dict
    caption: str
    alt: str
    counted: tuple[int, int]


def chart_of(
    first: LoadedMap,
    map_: LoadedMap,
    method: str,
    colour: str,
    kept: np.ndarray,
    ringed: list[int],
    height: int,
) -> Drawing:
    """The map with these rows ringed, of the points that the filter leaves."""
    left = set(first.points["row"][kept])
    inside = map_.points["row"].isin(left).to_numpy()
    visible, behind = some(map_.points, inside, ringed)
    figure = charts.map_scatter(
        visible
        if colour in map_.points or colour not in first.points
        else visible.merge(first.points[["row", colour]], on="row"),
        x=f"{method}_x",
        y=f"{method}_y",
        colour_by=colour,
        name=first.columns.get(colour, colour),
        levels=first.levels(colour),
        chosen=ringed,
        height=height,
        equal=method == "umap",
        behind=behind if len(behind) else None,
        title=f"{METHODS[method]} of {map_.dataset.name} · {map_.name}",
    )
    rings = map_.points["row"].isin(ringed if len(ringed) <= charts.RINGS else [])
    for place in map_.points.loc[
        rings, [f"{method}_x", f"{method}_y"]
    ].to_numpy():  # far outside, from a link
        charts.hold(figure, place)
    return Drawing(
        figure.to_dict(),
        caption(map_, visible, behind, inside, method),
        f"{METHODS[method]} of {len(visible):,} images by {map_.name}, coloured by "
        f"{first.columns.get(colour, colour).lower()}; the table below holds the same points.",
        (len(visible), int(inside.sum())),
    )


def some(
    points: pd.DataFrame, inside: np.ndarray, ringed: list[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is drawn of a map: of the points that the filter leaves (inside: (n,) bool), and of the others behind them.

    At most charts.MAP_LIMIT of the first, and as many of the others as that leaves room for, but a tenth of the limit at
    least. The images that are ringed, where they are few, are always among them.
    """
    most = charts.MAP_LIMIT
    room = max(most - int(inside.sum()), most // 10)
    wanted = points["row"].isin(ringed if len(ringed) <= charts.FEW else [])

    def drawn(part: pd.DataFrame, count: int) -> pd.DataFrame:
        shown = sample(part, count)
        return pd.concat([shown, part[wanted[part.index] & ~part.index.isin(shown.index)]])

    return drawn(points[inside], most), drawn(points[~inside], room)


def caption(
    map_: LoadedMap, visible: pd.DataFrame, behind: pd.DataFrame, inside: np.ndarray, method: str
) -> str:
    """The map's measures in a line, and what is not to be seen on it."""
    quality, parts = map_.quality, []
    trust = quality.get("trustworthiness" if method == "umap" else "trustworthiness_pca")
    kept = quality.get(
        "neighbourhood_preservation" if method == "umap" else "neighbourhood_preservation_pca"
    )
    for name, value, share in (
        ("Trustworthiness", trust, False),
        ("neighbours kept", kept, True),
        ("silhouette", quality.get("silhouette"), False),
        ("kNN balanced accuracy", quality.get("knn_balanced_accuracy"), True),
    ):
        if not words.missing(value):
            parts.append(f"{name} {words.percent(value) if share else words.number(value, 2)}")
    lines = [" · ".join(parts) + "." if parts else ""]
    if not inside.all():
        lines.append(f"The filter leaves {inside.sum():,} of {len(inside):,} images.")
    if len(visible) < inside.sum():
        lines.append(
            f"{len(visible):,} of {inside.sum():,} points are drawn, each class in proportion."
        )
    if len(behind) < (~inside).sum():
        lines.append(f"Of what the filter leaves out, {len(behind):,} points are drawn.")
    if method == "pca" and map_.about.get("pca_explained"):
        lines.append(
            f"These two axes hold {words.percent(sum(map_.about['pca_explained']))} of the variance."
        )
    drawn = pd.concat([visible, behind])
    outside = np.any(
        [
            ~drawn[axis].between(*charts.core_range(drawn[axis]))
            for axis in (f"{method}_x", f"{method}_y")
        ],
        axis=0,
    ).sum()
    if outside:
        lines.append(
            f"{words.count(outside, 'far image')} outside the frame: drag the map to see more."
        )
    if method == "umap":
        lines.append("Distances between clusters of a UMAP mean little.")
    return " ".join(filter(None, lines))


def draw_table(first: LoadedMap, kept: np.ndarray) -> None:
    """All points that the filter leaves as a table, to sort, to read, to download and to choose from without a mouse."""
    with st.expander("Table", icon=":material/table:", key="table", on_change="rerun") as box:
        if not box.open:
            return
        columns = list(dict.fromkeys(["image_id", *first.columns, "group", *COORDINATES]))
        names = {
            "image_id": "Image id",
            "group": "Group",
            "umap_x": "UMAP x",
            "umap_y": "UMAP y",
            "pca_x": "PCA x",
            "pca_y": "PCA y",
            **first.columns,
        }
        points = lines(first, first.points[kept], columns, names)
        key = f"points-{first.run_id}-{selection.turn()}"
        st.dataframe(
            points[columns],
            hide_index=True,
            height=320,
            key=key,
            alt="All points of the map",
            selection_mode="multi-row",
            column_config={column: names[column] for column in columns},
            on_select=functools.partial(selection.in_table, first, key, points["row"].tolist()),
        )
        st.caption("Tick lines to see their images and to ring them on the maps.")
        frame.download_table(points, "Download CSV", name="map")


def lines(
    first: LoadedMap, points: pd.DataFrame, columns: list[str], names: dict[str, str]
) -> pd.DataFrame:
    """The points in the order asked for, and a line of them chosen by its number: all of it by keyboard and screen reader,
    which the table's own ticks and headings, drawn on a canvas, are not."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        by = st.selectbox("Sort by", columns, format_func=names.get, key="table-sort", width=210)
        order = st.selectbox("Order", ["ascending", "descending"], key="table-order", width=150)
        points = points.sort_values(by, ascending=order == "ascending", kind="stable")
        key = f"line-{first.run_id}-{by}-{order}-{st.query_params.get('filter', '')}"

        def choose() -> None:
            line = st.session_state[key]
            selection.take(first, [] if line is None else [points["row"].iloc[line - 1]], "line")

        line = st.number_input(
            "Choose line",
            1,
            max(len(points), 1),
            None,
            1,
            key=key,
            on_change=choose,
            width=190,
            placeholder=f"1 to {len(points):,}",
            disabled=not len(points),
        )
    if line is not None and line <= len(points):
        name, label = points[["image_id", "label"]].iloc[line - 1]
        st.markdown(
            f"Line {line:,}: **{words.plain(name)}** · {words.plain('no label' if pd.isna(label) else label)}"
        )
    return points
