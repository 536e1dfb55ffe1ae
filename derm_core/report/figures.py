"""Figures of a study: data in, plotly Figure out. Every figure has a title that says what it shows;
an arm's colour, symbol and place come from `words`. Those of the further questions stand in extra_figures.

    learning_curves({arm: curves}, "loss")      {arm: Figure}, one panel an arm, shared axes
    gap_against_accuracy(rows)                  every arm with its intervals; the control always on
    per_class(rows)                             dots with intervals, one a class and arm
    confusion(matrix, classes, arm)             row-normalised
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import words
from .canvas import CLEAR, GRID, SPLIT_NAMES, ZERO, alpha, blank, error_bar
from .labels import edges, label_spots

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def seed_band(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and standard deviation (over seeds, n − 1) of `column` at each epoch: epoch, mean, std."""
    found = curves.dropna(subset=[column]).groupby("epoch", sort=True)[column]
    return pd.DataFrame({"mean": found.mean(), "std": found.std(ddof=1).fillna(0.0)}).reset_index()


def learning_curves(curves: Mapping[str, pd.DataFrame], quantity: str, names: Mapping[str, str] | None = None,
                    height: int = 250) -> dict[str, Figure]:
    """One panel an arm, all with the same axes: validation solid, training dashed, ±1 std bands over seeds.

    curves: per arm a table with columns epoch, seed, train_<quantity>, val_<quantity>.
    The space between the two lines is the gap.
    """
    bands = {arm: {split: seed_band(table, f"{split}_{quantity}") for split in ("train", "val")
                   if f"{split}_{quantity}" in table} for arm, table in curves.items()}
    y_range, x_range = _shared_ranges([band for pair in bands.values() for band in pair.values()])
    share = quantity in words.SHARES
    panels = {}
    for key in words.ordered(bands):
        arm = words.arm(key, (names or {}).get(key))
        figure = blank(f"{words.QUANTITIES.get(quantity, quantity)} by epoch, {arm.name}", height, x="Epoch")
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
    figure.add_trace(dict(
        type="scatter", x=[*band["epoch"], *band["epoch"][::-1]], y=[*upper, *lower[::-1]], fill="toself", hoverinfo="skip",
        fillcolor=alpha(colour, 0.20 if split == "val" else 0.10), line={"width": 0}, mode="lines", showlegend=False))
    value = "%{y:.1%}" if share else "%{y:.3f}"
    figure.add_trace(dict(
        type="scatter", x=band["epoch"], y=band["mean"], mode="lines" if len(band) > 1 else "markers", name=SPLIT_NAMES[split],
        line={"color": colour, "width": 2.2 if split == "val" else 1.8, "dash": "solid" if split == "val" else "dot"},
        marker={"color": colour, "symbol": "circle" if split == "val" else "circle-open"},
        hovertemplate=f"{SPLIT_NAMES[split]}: {value} at epoch %{{x:.4g}}<extra></extra>"))


def gap_against_accuracy(rows: Sequence[Mapping[str, Any]], *, x: str = "Balanced accuracy, test",
                         y: str = "Accuracy gap, training − validation", gap_is_share: bool = True,
                         height: int = 360) -> Figure:
    """Each arm's gap above its accuracy, with 95 % intervals where they are given.

    rows: {arm, name?, x, x_low?, x_high?, y, y_low?, y_high?}. A small gap means little far to the left.
    """
    figure = blank("Overfitting gap against accuracy", height, x=x, y=y)
    figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})
    arms = [words.arm(row["arm"], row.get("name")) for row in rows]
    for row, arm, spot in zip(rows, arms, label_spots(rows, [arm.name for arm in arms])):
        figure.add_trace(dict(
            type="scatter", x=[row["x"]], y=[row["y"]], mode="markers+text", name=arm.name, text=[arm.name], textposition=spot,
            marker={"color": arm.colour, "symbol": arm.symbol, "size": 12, "line": {"width": 1, "color": arm.colour}},
            error_x=error_bar(row, "x", arm.colour), error_y=error_bar(row, "y", arm.colour), cliponaxis=False,
            hovertemplate=f"{arm.name}<br>accuracy %{{x:.1%}}<br>gap %{{y:{'.1%' if gap_is_share else '.3f'}}}<extra></extra>"))
    left, right = edges(rows, "x")
    room = 0.16 * max(right - left, 1e-3)
    figure.update_xaxes(tickformat=".0%", range=[left - room, right + room], nticks=7)
    figure.update_yaxes(tickformat=".1~%" if gap_is_share else ".3~f")
    return figure


def per_class(rows: Sequence[Mapping[str, Any]], *, title: str = "Recall by class, test", x: str = "Recall",
              order: Sequence[str] | None = None) -> Figure:
    """Dots with 95 % intervals. rows: {arm, name?, class, n, mean, low, high}; one line a class, arms beneath each other."""
    classes = list(order or dict.fromkeys(row["class"] for row in rows))
    counts = {row["class"]: row.get("n") for row in rows}
    arms = words.ordered(dict.fromkeys(row["arm"] for row in rows))
    figure = blank(title, 90 + max(34, 15 * len(arms) + 8) * len(classes), x=x, legend=True)
    for place, key in enumerate(arms):
        chosen = [row for row in rows if row["arm"] == key and row["class"] in classes]
        arm = words.arm(key, chosen[0].get("name") if chosen else None)
        offset = (place - (len(arms) - 1) / 2) * (0.72 / max(len(arms), 1))
        values = np.array([row["mean"] for row in chosen], dtype=float)
        high = np.array([row["mean"] if words.missing(row.get("high")) else row["high"] for row in chosen], dtype=float)
        low = np.array([row["mean"] if words.missing(row.get("low")) else row["low"] for row in chosen], dtype=float)
        figure.add_trace(dict(
            type="scatter", x=values, y=[classes.index(row["class"]) + offset for row in chosen], mode="markers", name=arm.name,
            marker={"color": arm.colour, "symbol": arm.symbol, "size": 9, "line": {"width": 1, "color": arm.colour}},
            error_x={"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low,
                     "color": alpha(arm.colour, 0.6), "thickness": 1.4, "width": 0},
            customdata=[row["class"] for row in chosen],
            hovertemplate=f"{arm.name}, %{{customdata}}: %{{x:.1%}}<extra></extra>"))
    labels = [f"{name} <span style='opacity:.65'>({counts[name]:,})</span>" if counts.get(name) else name
              for name in classes]
    figure.update_yaxes(tickvals=list(range(len(classes))), ticktext=labels, range=[len(classes) - 0.5, -0.5],
                        gridcolor=CLEAR)
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    for edge in range(1, len(classes)):
        figure.add_hline(y=edge - 0.5, line={"color": GRID, "width": 1})
    return figure


def confusion(matrix: Sequence[Sequence[float]], classes: Sequence[str], arm_key: str, name: str | None = None,
              height: int | None = None) -> Figure:
    """Of the images of each class (rows), the share that is called each class (columns)."""
    counts = np.asarray(matrix, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    arm = words.arm(arm_key, name)
    figure = blank(f"Confusion, {arm.name}", height or 110 + 34 * len(classes), x="Called", y="Is")
    figure.add_trace(dict(
        type="heatmap", z=share, x=list(classes), y=list(classes), zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, alpha(arm.colour, 0.05)], [1, alpha(arm.colour, 0.85)]],
        text=[[f"{100 * value:.0f}" for value in row] for row in share], texttemplate="%{text}",
        customdata=counts, hovertemplate="%{y} called %{x}: %{z:.1%} (%{customdata:.0f})<extra></extra>"))
    figure.update_yaxes(autorange="reversed", gridcolor=CLEAR)
    figure.update_xaxes(gridcolor=CLEAR, tickangle=-40 if max(map(len, classes), default=0) > 6 else 0)
    return figure
