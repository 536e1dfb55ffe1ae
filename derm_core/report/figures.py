"""Figures of a study: data in, plotly Figure out. Every figure has a title that says what it shows;
an arm's colour, symbol and place come from `words`. Those of the further questions stand in extra_figures.

    learning_curves({arm: curves}, "loss")      {arm: Figure}, one panel an arm, shared axes
    gap_against_accuracy(rows)                  every arm with its intervals; the control always on
    per_class(rows)                             dots with intervals, one a class and arm
    dots(rows, title=…, x=…)                    the same for any groups: subgroups, test sets, studies
    confusion(matrix, classes, arm)             row-normalised
    disagreement(entry, classes)                what two arms decide for the same images
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import formatting
from ..arms import arm_style, in_order
from .figure_style import CLEAR, GRID, INK, SPLIT_NAMES, ZERO, alpha, blank, error_bar
from .label_placement import edges, label_spots

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def seed_band(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and standard deviation (over seeds, n − 1) of `column` at each epoch: epoch, mean, std."""
    found = curves.dropna(subset=[column]).groupby("epoch", sort=True)[column]
    return pd.DataFrame({"mean": found.mean(), "std": found.std(ddof=1).fillna(0.0)}).reset_index()


def learning_curves(
    curves: Mapping[str, pd.DataFrame],
    quantity: str,
    names: Mapping[str, str] | None = None,
    height: int = 250,
) -> dict[str, Figure]:
    """One panel an arm, all with the same axes: validation solid, training dashed, ±1 std bands over seeds.

    curves: per arm a table with columns epoch, seed, train_<quantity>, val_<quantity>.
    The space between the two lines is the gap.
    """
    bands = {
        arm: {
            split: seed_band(table, f"{split}_{quantity}")
            for split in ("train", "val")
            if f"{split}_{quantity}" in table
        }
        for arm, table in curves.items()
    }
    y_range, x_range = _shared_ranges([band for pair in bands.values() for band in pair.values()])
    share = quantity in formatting.SHARES
    panels = {}
    for key in in_order(bands):
        arm = arm_style(key, (names or {}).get(key))
        figure = blank(
            f"{formatting.QUANTITIES.get(quantity, quantity)} by epoch, {arm.name}",
            height,
            x="Epoch",
        )
        for split, band in bands[key].items():
            _add_band(figure, band, arm.colour, split, share)
        figure.update_xaxes(range=x_range)
        figure.update_yaxes(range=y_range, tickformat=".1~%" if share else None, nticks=6)
        panels[key] = figure
    return panels


def _shared_ranges(bands: Sequence[pd.DataFrame]) -> tuple[list[float] | None, list[float] | None]:
    bands = [band for band in bands if len(band)]
    if not bands:
        return None, None
    low = min(float((band["mean"] - band["std"]).min()) for band in bands)
    high = max(float((band["mean"] + band["std"]).max()) for band in bands)
    last = max(float(band["epoch"].max()) for band in bands)
    room = 0.05 * max(high - low, 1e-6)
    return [low - room, high + room], [-0.02 * max(last, 1), 1.02 * max(last, 1)]


def _add_band(figure: Figure, band: pd.DataFrame, colour: str, split: str, share: bool) -> None:
    upper, lower = band["mean"] + band["std"], band["mean"] - band["std"]
    figure.add_trace(
        dict(
            type="scatter",
            x=[*band["epoch"], *band["epoch"][::-1]],
            y=[*upper, *lower[::-1]],
            fill="toself",
            hoverinfo="skip",
            fillcolor=alpha(colour, 0.20 if split == "val" else 0.10),
            line={"width": 0},
            mode="lines",
            showlegend=False,
        )
    )
    value = "%{y:.1%}" if share else "%{y:.3f}"
    figure.add_trace(
        dict(
            type="scatter",
            x=band["epoch"],
            y=band["mean"],
            mode="lines" if len(band) > 1 else "markers",
            name=SPLIT_NAMES[split],
            line={
                "color": colour,
                "width": 2.2 if split == "val" else 1.8,
                "dash": "solid" if split == "val" else "dot",
            },
            marker={"color": colour, "symbol": "circle" if split == "val" else "circle-open"},
            hovertemplate=f"{SPLIT_NAMES[split]}: {value} at epoch %{{x:.4g}}<extra></extra>",
        )
    )


def gap_against_accuracy(
    rows: Sequence[Mapping[str, Any]],
    *,
    x: str = "Balanced accuracy, test",
    y: str = "Accuracy gap, training − validation",
    gap_is_share: bool = True,
    height: int = 360,
) -> Figure:
    """Each arm's gap above its accuracy, with 95 % intervals where they are given.

    rows: {arm, name?, x, x_low?, x_high?, y, y_low?, y_high?}. A small gap means little far to the left.
    """
    figure = blank("Overfitting gap against accuracy", height, x=x, y=y)
    figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})
    arms = [arm_style(row["arm"], row.get("name")) for row in rows]
    for row, arm, spot in zip(rows, arms, label_spots(rows, [arm.name for arm in arms])):
        figure.add_trace(
            dict(
                type="scatter",
                x=[row["x"]],
                y=[row["y"]],
                mode="markers+text",
                name=arm.name,
                text=[arm.name],
                textposition=spot,
                marker={
                    "color": arm.colour,
                    "symbol": arm.symbol,
                    "size": 12,
                    "line": {"width": 1, "color": arm.colour},
                },
                error_x=error_bar(row, "x", arm.colour),
                error_y=error_bar(row, "y", arm.colour),
                cliponaxis=False,
                hovertemplate=f"{arm.name}<br>accuracy %{{x:.1%}}<br>gap "
                f"%{{y:{'.1%' if gap_is_share else '.3f'}}}<extra></extra>",
            )
        )
    left, right = edges(rows, "x")
    room = 0.16 * max(right - left, 1e-3)
    figure.update_xaxes(tickformat=".0%", range=[left - room, right + room], nticks=7)
    figure.update_yaxes(tickformat=".1~%" if gap_is_share else ".3~f")
    return figure


def per_class(
    rows: Sequence[Mapping[str, Any]], *, title: str = "Recall by class, test", x: str = "Recall"
) -> Figure:
    """Dots with 95 % intervals. rows: {arm, name?, class, n, mean, low, high}; one line a class, arms beneath each other."""
    figure = dots([row | {"group": row["class"]} for row in rows], title=title, x=x)
    return figure.update_xaxes(range=[-0.02, 1.02])


def dots(rows: Sequence[Mapping[str, Any]], *, title: str, x: str, share: bool = True) -> Figure:
    """Arms beneath each other in each group, with 95 % intervals: whatever is compared between a few groups.

    rows: {arm, name?, group, n?, faint?, mean, low, high}; n stands behind the group's name; faint groups are drawn pale.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    counts = {row["group"]: row.get("n") for row in rows}
    arms = in_order(dict.fromkeys(row["arm"] for row in rows))
    figure = blank(title, 90 + max(34, 15 * len(arms) + 8) * len(groups), x=x, legend=True)
    for place, key in enumerate(arms):
        chosen = [row for row in rows if row["arm"] == key]
        arm = arm_style(key, chosen[0].get("name"))
        offset = (place - (len(arms) - 1) / 2) * (0.72 / len(arms))
        values, low, high = (
            np.array(
                [row["mean"] if formatting.missing(row.get(end)) else row[end] for row in chosen],
                dtype=float,
            )
            for end in ("mean", "low", "high")
        )
        strength = [0.35 if row.get("faint") else 1 for row in chosen]
        figure.add_trace(
            dict(
                type="scatter",
                x=values,
                y=[groups.index(row["group"]) + offset for row in chosen],
                mode="markers",
                name=arm.name,
                marker={
                    "color": arm.colour,
                    "symbol": arm.symbol,
                    "size": 9,
                    "line": {"width": 1, "color": arm.colour},
                    "opacity": strength,
                },
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": high - values,
                    "arrayminus": values - low,
                    "color": alpha(arm.colour, 0.6),
                    "thickness": 1.4,
                    "width": 0,
                },
                customdata=[row["group"] for row in chosen],
                hovertemplate=f"{arm.name}, %{{customdata}}: %{{x:{'.1%' if share else '.3f'}}}<extra></extra>",
            )
        )
    labels = [
        f"{name} <span style='opacity:.65'>({counts[name]:,})</span>" if counts.get(name) else name
        for name in groups
    ]
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=labels,
        range=[len(groups) - 0.5, -0.5],
        gridcolor=CLEAR,
    )
    figure.update_xaxes(tickformat=".0%" if share else ".3~f", nticks=8)
    for edge in range(1, len(groups)):
        figure.add_hline(y=edge - 0.5, line={"color": GRID, "width": 1})
    return figure


def confusion(
    matrix: Sequence[Sequence[float]],
    classes: Sequence[str],
    arm_key: str,
    name: str | None = None,
    height: int | None = None,
) -> Figure:
    """Of the images of each class (rows), the share that is called each class (columns)."""
    counts = np.asarray(matrix, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    arm = arm_style(arm_key, name)
    said = [
        [
            f"{a} called {b}: {formatting.percent(share[i, j])} ({counts[i, j]:.0f})"
            for j, b in enumerate(classes)
        ]
        for i, a in enumerate(classes)
    ]
    figure = _cells(
        f"Confusion, {arm.name}",
        share,
        [[f"{100 * value:.0f}" for value in row] for row in share],
        said,
        classes,
        arm.colour,
        height,
    )
    return figure.update_xaxes(title={"text": "Rows: what it is. Columns: what it is called."})


def disagreement(
    entry: Mapping[str, Any], classes: Sequence[str], names: Mapping[str, str] | None = None
) -> Figure:
    """How many images arm a decides one way (rows) and arm b another (columns); off the diagonal they disagree."""
    counts = np.asarray(entry["matrix"], dtype=float)
    a, b = (arm_style(entry[side], (names or {}).get(entry[side])).name for side in "ab")
    off = counts * (1 - np.eye(len(counts)))
    said = [
        [
            f"{a}: {one}<br>{b}: {other}<br>{counts[i, j]:.0f} images"
            for j, other in enumerate(classes)
        ]
        for i, one in enumerate(classes)
    ]
    figure = _cells(
        f"Decisions: {a} against {b}",
        np.sqrt(off),
        [[f"{n:.0f}" if n else "" for n in row] for row in counts],
        said,
        classes,
        INK,
    )
    return figure.update_xaxes(title={"text": f"Rows: {a}.<br>Columns: {b}."})


def _cells(
    title: str,
    shade: np.ndarray,
    text: list,
    said: list,
    classes: Sequence[str],
    colour: str,
    height: int | None = None,
) -> Figure:
    """A square of cells, shaded and with `text`. On each an unseen mark: heatmaps cannot be chosen by a click.

    The marks say `said` under the pointer; their customdata is (row, column).
    """
    figure = blank(title, height or 110 + 34 * len(classes))
    figure.add_trace(
        dict(
            type="heatmap",
            z=shade,
            x=list(classes),
            y=list(classes),
            zmin=0,
            zmax=max(float(shade.max()), 1e-9),
            xgap=2,
            ygap=2,
            colorscale=[[0, alpha(colour, 0.05)], [1, alpha(colour, 0.8)]],
            showscale=False,
            text=text,
            texttemplate="%{text}",
            hoverinfo="skip",
        )
    )
    places = [(i, j) for i in range(len(classes)) for j in range(len(classes))]
    figure.add_trace(
        dict(
            type="scatter",
            x=[classes[j] for _, j in places],
            y=[classes[i] for i, _ in places],
            customdata=places,
            mode="markers",
            text=[said[i][j] for i, j in places],
            hovertemplate="%{text}<extra></extra>",
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
    return figure.update_xaxes(
        gridcolor=CLEAR, tickangle=-40 if max(map(len, classes), default=0) > 6 else 0
    )
