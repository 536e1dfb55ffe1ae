"""Figures: data in, plotly Figure out, no Streamlit. Show them with `frame.show_chart`.

Backgrounds are transparent and fonts are left to the page's theme, so that a figure suits light and
dark; only colours that carry meaning (an arm, a class) are set. Every figure has a title that says
what it shows. An arm's colour, symbol and place come from `words`.

    learning_curves({arm: curves}, "loss")      {arm: Figure}, one panel an arm, shared axes
    gap_against_accuracy(rows)                  every arm with its intervals; the control always on
    per_class(rows)                             dots with intervals, one a class and arm
    probability_bars({class: p}, colour=…)      what one model thinks of one image
    balance_bars(counts)                        classes (rows) in splits (columns)
    map_scatter(points, x, y, colour_by)        a latent map; customdata carries the row
    confusion(matrix, classes, arm)             row-normalised
    lines({name: (x, y)}, title)                a run's series, say train and val loss
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import words
from .labels import edges, label_spots

CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(127,135,137,0.22)"
ZERO = "rgba(127,135,137,0.65)"
MODEBAR = {"bgcolor": CLEAR, "color": ZERO, "activecolor": "#1A857E"}
MARGIN = {"l": 8, "r": 12, "t": 10, "b": 8}
SPLIT_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
SPLIT_COLOURS = {"train": "#0F6B66", "val": "#4FA39B", "test": "#A5915C"}
MAP_LIMIT = 50_000
ROW, BAR = 38, 0.24  # bars with their names above: pixels a row, and the share of it that the bar takes
TRACK = "rgba(127,135,137,0.16)"
# For classes and attributes: Okabe–Ito and Tol's muted colours, at 3:1 or close to it on both pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#B0609F", "#B8860B", "#5B8FD9", "#C44E52", "#7F8587", "#6A9F3C",
           "#7A68C4", "#2A9DA8", "#A0694B")
SEQUENTIAL = "Viridis"


def _figure(title: str, height: int, *, x: str = "", y: str = "", legend: bool = False, **layout: Any) -> go.Figure:
    """An empty figure in the house's look: thin grid, no frame, legend above and left."""
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "title": {"standoff": 8}, "fixedrange": True}
    figure = go.Figure()
    figure.update_layout(
        title=title, height=height, margin=MARGIN | ({"t": 34} if legend else {}), paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom", "title": None},
        hoverlabel={"namelength": -1}, modebar=MODEBAR, **layout)
    figure.update_xaxes(axis | {"title": {"text": x, "standoff": 8}})
    figure.update_yaxes(axis | {"title": {"text": y, "standoff": 8}})
    return figure


def alpha(colour: str, opacity: float) -> str:
    """'#0072B2' at an opacity, as plotly writes it."""
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


# ---- learning curves ---------------------------------------------------------------------------


def seed_band(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and standard deviation (over seeds, n − 1) of `column` at each epoch: epoch, mean, std."""
    found = curves.dropna(subset=[column]).groupby("epoch", sort=True)[column]
    return pd.DataFrame({"mean": found.mean(), "std": found.std(ddof=1).fillna(0.0)}).reset_index()


def learning_curves(curves: Mapping[str, pd.DataFrame], quantity: str, names: Mapping[str, str] | None = None,
                    height: int = 250) -> dict[str, go.Figure]:
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
        figure = _figure(f"{words.QUANTITIES.get(quantity, quantity)} by epoch, {arm.name}", height, x="Epoch")
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


def _add_band(figure: go.Figure, band: pd.DataFrame, colour: str, split: str, share: bool) -> None:
    upper, lower = band["mean"] + band["std"], band["mean"] - band["std"]
    figure.add_trace(go.Scatter(
        x=[*band["epoch"], *band["epoch"][::-1]], y=[*upper, *lower[::-1]], fill="toself", hoverinfo="skip",
        fillcolor=alpha(colour, 0.20 if split == "val" else 0.10), line={"width": 0}, mode="lines", showlegend=False))
    value = "%{y:.1%}" if share else "%{y:.3f}"
    figure.add_trace(go.Scatter(
        x=band["epoch"], y=band["mean"], mode="lines" if len(band) > 1 else "markers", name=SPLIT_NAMES[split],
        line={"color": colour, "width": 2.2 if split == "val" else 1.8, "dash": "solid" if split == "val" else "dot"},
        marker={"color": colour, "symbol": "circle" if split == "val" else "circle-open"},
        hovertemplate=f"{SPLIT_NAMES[split]}: {value} at epoch %{{x:.4g}}<extra></extra>"))


def lines(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, *, x: str = "Epoch",
          share: bool = False, height: int = 230) -> go.Figure:
    """A run's own series over time. A name with "train" in it is dotted, the others solid."""
    figure = _figure(title, height, x=x, legend=True)
    for index, (name, (xs, ys)) in enumerate(series.items()):
        dotted = "train" in name.lower() and len(series) > 1
        figure.add_trace(go.Scatter(
            x=list(xs), y=list(ys), name=name, mode="lines" if len(xs) > 3 else "lines+markers",
            line={"color": words.arm("vae").colour if index < 2 else PALETTE[index], "width": 2,
                  "dash": "dot" if dotted else "solid"},
            hovertemplate=f"{name}: %{{y:{'.1%' if share else '.4g'}}} at %{{x:.4g}}<extra></extra>"))
    figure.update_yaxes(tickformat=".1~%" if share else None, nticks=6)
    return figure


# ---- results -----------------------------------------------------------------------------------


def gap_against_accuracy(rows: Sequence[Mapping[str, Any]], *, x: str = "Balanced accuracy, test",
                         y: str = "Accuracy gap, training − validation", gap_is_share: bool = True,
                         height: int = 360) -> go.Figure:
    """Each arm's gap above its accuracy, with 95 % intervals where they are given.

    rows: {arm, name?, x, x_low?, x_high?, y, y_low?, y_high?}. A small gap means little far to the left.
    """
    figure = _figure("Overfitting gap against accuracy", height, x=x, y=y)
    figure.add_hline(y=0, line={"color": ZERO, "width": 1, "dash": "dash"})
    arms = [words.arm(row["arm"], row.get("name")) for row in rows]
    for row, arm, spot in zip(rows, arms, label_spots(rows, [arm.name for arm in arms])):
        figure.add_trace(go.Scatter(
            x=[row["x"]], y=[row["y"]], mode="markers+text", name=arm.name, text=[arm.name], textposition=spot,
            marker={"color": arm.colour, "symbol": arm.symbol, "size": 12, "line": {"width": 1, "color": arm.colour}},
            error_x=_interval(row, "x", arm.colour), error_y=_interval(row, "y", arm.colour), cliponaxis=False,
            hovertemplate=f"{arm.name}<br>accuracy %{{x:.1%}}<br>gap %{{y:{'.1%' if gap_is_share else '.3f'}}}<extra></extra>"))
    left, right = edges(rows, "x")
    room = 0.16 * max(right - left, 1e-3)
    figure.update_xaxes(tickformat=".0%", range=[left - room, right + room], nticks=7)
    figure.update_yaxes(tickformat=".1~%" if gap_is_share else ".3~f")
    return figure


def _interval(row: Mapping[str, Any], axis: str, colour: str) -> dict | None:
    low, high = row.get(f"{axis}_low"), row.get(f"{axis}_high")
    if words.missing(low) or words.missing(high):
        return None
    return {"type": "data", "symmetric": False, "array": [max(0.0, high - row[axis])], "thickness": 1.3, "width": 4,
            "arrayminus": [max(0.0, row[axis] - low)], "color": alpha(colour, 0.65)}


def per_class(rows: Sequence[Mapping[str, Any]], *, title: str = "Recall by class, test", x: str = "Recall",
              order: Sequence[str] | None = None) -> go.Figure:
    """Dots with 95 % intervals. rows: {arm, name?, class, n, mean, low, high}; one line a class, arms beneath each other."""
    classes = list(order or dict.fromkeys(row["class"] for row in rows))
    counts = {row["class"]: row.get("n") for row in rows}
    arms = words.ordered(dict.fromkeys(row["arm"] for row in rows))
    figure = _figure(title, 90 + max(34, 15 * len(arms) + 8) * len(classes), x=x, legend=True)
    for place, key in enumerate(arms):
        chosen = [row for row in rows if row["arm"] == key and row["class"] in classes]
        arm = words.arm(key, chosen[0].get("name") if chosen else None)
        offset = (place - (len(arms) - 1) / 2) * (0.72 / max(len(arms), 1))
        values = np.array([row["mean"] for row in chosen], dtype=float)
        high = np.array([row["mean"] if words.missing(row.get("high")) else row["high"] for row in chosen], dtype=float)
        low = np.array([row["mean"] if words.missing(row.get("low")) else row["low"] for row in chosen], dtype=float)
        figure.add_trace(go.Scatter(
            x=values, y=[classes.index(row["class"]) + offset for row in chosen], mode="markers", name=arm.name,
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


LABEL = 34  # letters that fit beside a percentage in a card of 280 px


def probability_bars(probabilities: Mapping[str, float], *, colour: str, title: str = "", order: Sequence[str] = (),
                     names: Mapping[str, str] | None = None) -> go.Figure:
    """What one model thinks of one image; give both models the same `order` and they stand side by side.

    The most probable class is drawn full, the others paler, each on a track from 0 to 100 %.
    """
    classes = list(order) or sorted(probabilities, key=probabilities.get, reverse=True)
    values = [probabilities.get(name, 0.0) for name in classes]
    top = int(np.argmax(values)) if values else 0
    figure = _figure(title, ROW * len(classes) + 16, barmode="overlay", bargap=0)
    figure.add_trace(go.Bar(x=[1] * len(classes), y=classes, orientation="h", width=BAR, hoverinfo="skip",
                            marker={"color": TRACK, "cornerradius": 3}))
    figure.add_trace(go.Bar(
        x=values, y=classes, orientation="h", width=BAR,
        marker={"color": [colour if i == top else alpha(colour, 0.45) for i in range(len(values))], "cornerradius": 3},
        customdata=[(names or {}).get(name, name) for name in classes], hovertemplate="%{customdata}: %{x:.1%}<extra></extra>"))
    shown = [words.short((names or {}).get(name, name), LABEL) for name in classes]
    _label_above(figure, classes, [f"<b>{text}</b>" if i == top else text for i, text in enumerate(shown)],
                 [words.percent(value) for value in values])
    figure.update_xaxes(range=[0, 1])
    return figure


def _label_above(figure: go.Figure, rows: Sequence[str], left: Sequence[str], right: Sequence[str]) -> None:
    """Name and value of each row of a bar chart above its bar: long names fit, on a phone too."""
    for row, name, value in zip(rows, left, right, strict=True):
        for text, x, anchor in ((name, 0, "left"), (value, 1, "right")):
            figure.add_annotation(text=text, x=x, y=row, xref="paper", xanchor=anchor, yanchor="middle", showarrow=False,
                                  yshift=13, borderpad=0, font={"size": 13})
    figure.update_layout(margin={"l": 0, "r": 8})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, type="category", range=[len(rows) - 0.62, -0.9], autorange=False)


def confusion(matrix: Sequence[Sequence[float]], classes: Sequence[str], arm_key: str, name: str | None = None,
              height: int | None = None) -> go.Figure:
    """Of the images of each class (rows), the share that is called each class (columns)."""
    counts = np.asarray(matrix, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    arm = words.arm(arm_key, name)
    figure = _figure(f"Confusion, {arm.name}", height or 110 + 34 * len(classes), x="Called", y="Is")
    figure.add_trace(go.Heatmap(
        z=share, x=list(classes), y=list(classes), zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, alpha(arm.colour, 0.05)], [1, alpha(arm.colour, 0.85)]],
        text=[[f"{100 * value:.0f}" for value in row] for row in share], texttemplate="%{text}",
        customdata=counts, hovertemplate="%{y} called %{x}: %{z:.1%} (%{customdata:.0f})<extra></extra>"))
    figure.update_yaxes(autorange="reversed", gridcolor=CLEAR)
    figure.update_xaxes(gridcolor=CLEAR, tickangle=-40 if max(map(len, classes), default=0) > 6 else 0)
    return figure


# ---- data --------------------------------------------------------------------------------------


def balance_bars(counts: pd.DataFrame, *, title: str = "Images by class and split",
                 names: Mapping[str, str] | None = None) -> go.Figure:
    """Stacked bars. counts: index = class (or attribute value), columns = splits, values = how many."""
    rows = [str(name) for name in counts.index]
    figure = _figure(title, ROW * len(counts) + 50, legend=True, barmode="stack")
    for split in counts.columns:
        figure.add_trace(go.Bar(
            x=counts[split], y=rows, orientation="h", width=BAR, name=SPLIT_NAMES.get(split, str(split)),
            marker={"color": SPLIT_COLOURS.get(split, words.arm("random").colour)},
            hovertemplate=f"%{{y}}, {SPLIT_NAMES.get(split, split)}: %{{x:,}}<extra></extra>"))
    totals = counts.sum(axis=1)
    _label_above(figure, rows, [f"<b>{row}</b> {(names or {}).get(row, '')}" for row in rows],
                 [f"{total:,} · {words.percent(total / max(totals.sum(), 1))}" for total in totals])
    figure.update_layout(legend={"traceorder": "normal"})
    figure.update_xaxes(range=[0, max(totals.max(), 1)])
    return figure


def map_scatter(points: pd.DataFrame, *, x: str = "umap_x", y: str = "umap_y", colour_by: str = "label",
                row: str = "row", title: str = "Latent map", chosen: Sequence[int] = (), height: int = 620,
                equal: bool = True) -> go.Figure:
    """A latent map with scattergl. Text columns get one colour and legend entry a value, numbers a scale.

    points: columns x, y, `row` (carried as customdata, what a click or lasso returns) and `colour_by`.
    chosen: rows drawn with a ring ("Marked"). equal: one scale for both axes. Distances between far groups mean
    little in UMAP: no axis labels.
    """
    figure = _figure(title, height, legend=True, dragmode="pan", clickmode="event+select")
    figure.update_layout(margin={"l": 0, "r": 30}, legend={"itemsizing": "constant"},
                         modebar=MODEBAR | {"orientation": "v"})
    size = float(np.clip(9 - 1.3 * np.log10(max(len(points), 1)), 3.0, 8.0))
    values = points[colour_by] if colour_by in points else pd.Series("", index=points.index)
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 12:
        figure.add_trace(_cloud(points, x, y, row, colour_by, size, {
            "color": values, "colorscale": SEQUENTIAL, "colorbar": {"title": colour_by, "thickness": 12}}, values))
        figure.update_layout(showlegend=False)
    else:
        text = values.astype("object").where(values.notna(), "unknown").astype(str)
        shown = list(text.value_counts().index[:len(PALETTE)])
        for index, name in enumerate(sorted(shown)):
            part = points[text == name]
            figure.add_trace(_cloud(part, x, y, row, name, size, {"color": PALETTE[index]}, text[text == name]))
        rest = points[~text.isin(shown)]
        if len(rest):
            figure.add_trace(_cloud(rest, x, y, row, "other values", size, {"color": "#9AA0A2"}, text[rest.index]))
    ring = points[points[row].isin(list(chosen))]
    if len(ring):
        figure.add_trace(go.Scattergl(x=ring[x], y=ring[y], mode="markers", hoverinfo="skip", name="Marked",
                                      marker={"symbol": "circle-open", "size": size + 9, "color": "#D55E00",
                                              "line": {"width": 2}}))
    for column, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        update(showticklabels=False, showgrid=False, fixedrange=False, range=core_range(points[column]))
    if equal:
        figure.update_yaxes(scaleanchor="x")
    return figure


def core_range(values: pd.Series) -> list[float]:
    """Ends of an axis that shows the bulk: far outliers may lie outside, where they would press the rest together."""
    low, high = np.nanquantile(values, [0.005, 0.995])
    room = 0.25 * max(high - low, 1e-6)
    return [max(float(low - room), float(values.min() - room / 4)), min(float(high + room), float(values.max() + room / 4))]


def _cloud(points: pd.DataFrame, x: str, y: str, row: str, name: str, size: float, marker: dict,
           text: pd.Series) -> go.Scattergl:
    return go.Scattergl(x=points[x], y=points[y], mode="markers", name=name, customdata=points[row], text=text,
                        marker={"size": size, "opacity": 0.8} | marker, hovertemplate="%{text}<extra></extra>",
                        selected={"marker": {"size": size + 2}}, unselected={"marker": {"opacity": 0.25}})
