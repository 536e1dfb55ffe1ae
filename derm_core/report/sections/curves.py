"""Learning curves: training and validation by epoch, a panel for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...arms import ArmStyle, in_order
from ...formatting import QUANTITIES
from ...formatting import quantity as quantity_text
from ..figure_style import SPLIT_NAMES, Figure, band, blank, line_trace
from ..section import Row, Section
from ..templating import words
from .parts import is_share

EPOCHS_SHOWN = 11
HEIGHT = 250
SPLITS = ("train", "val")
QUARTILES = (0.25, 0.75)
USUAL, FAR = (
    0.97,
    3.0,
)  # an axis ends at this share of the medians where the highest is FAR times as high


def learning_curves(
    curves: Mapping[str, pd.DataFrame], metric: str, arms: Mapping[str, ArmStyle]
) -> Section:
    """One quantity of every arm by epoch.

    Args:
        curves: for each arm a table with the columns epoch, seed, train_<metric>, val_<metric>
            and, where the study has folds, fold.
        metric: "loss", "accuracy" or "balanced_accuracy".
        arms: name and colour of each arm.
    """
    shown = [arm for arm in in_order(curves) if f"val_{metric}" in curves[arm]]
    rows = [curves[arm].assign(arm=arms[arm].name) for arm in shown]
    numbers = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    wanted = ("arm", "fold", "epoch", "seed", *(f"{split}_{metric}" for split in SPLITS))
    spread = "folds and seeds" if "fold" in numbers else "seeds"
    quantity = QUANTITIES.get(metric, metric)
    of_arms = {arms[arm]: curves[arm] for arm in shown}
    names = ", ".join(arms[arm].name for arm in shown)
    texts = words("curves", metric=metric, quantity=quantity, spread=spread, names=names)
    texts["caption"] += _beyond_the_axis(of_arms, metric)
    return Section(
        **texts,
        figure=lambda: _panels(of_arms, metric),
        table=_at_some_epochs(of_arms, metric),
        numbers=lambda: numbers[[column for column in wanted if column in numbers]],
    )


def middle_of_runs(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Median and quartiles of `column` over seeds and folds at each epoch: epoch, median, low, high.

    A run whose loss shoots up for an epoch moves neither, while it would carry a mean away.
    """
    values = curves.dropna(subset=[column]).groupby("epoch", sort=True)[column]
    low, high = (values.quantile(share) for share in QUARTILES)
    return pd.DataFrame({"median": values.median(), "low": low, "high": high}).reset_index()


def _bands(
    curves: Mapping[ArmStyle, pd.DataFrame], metric: str
) -> dict[ArmStyle, dict[str, pd.DataFrame]]:
    return {
        arm: {
            split: middle_of_runs(table, f"{split}_{metric}")
            for split in SPLITS
            if f"{split}_{metric}" in table
        }
        for arm, table in curves.items()
    }


def _beyond_the_axis(curves: Mapping[ArmStyle, pd.DataFrame], metric: str) -> str:
    """A sentence where the axis ends below the highest band; else empty."""
    bands = [band for pair in _bands(curves, metric).values() for band in pair.values()]
    highest_band = max((band["high"].max() for band in bands if len(band)), default=0.0)
    if (top := _top(bands)) >= highest_band:
        return ""
    names = [f"{split}_{metric}" for split in SPLITS]
    single = pd.concat(
        [table[[name for name in names if name in table]].stack() for table in curves.values()]
    )
    ends, highest = (f"{v:.2g}" if v < 100 else f"{v:,.0f}" for v in (top, float(single.max())))
    return (
        f" The axis ends at {ends}: {(single > top).sum():,} of {len(single):,} values of single runs "
        f"lie above it, up to {highest}."
    )


def _top(bands: Sequence[pd.DataFrame]) -> float:
    """Where the axis ends: at the highest median or quartile.

    Unless few medians lie so far up that the rest would be flat: then at the highest one from the
    first whole epoch on, and where that is far up, too, below it.
    """
    bands = [band for band in bands if len(band)]
    highest_band = max((float(band["high"].max()) for band in bands), default=1.0)
    whole = [band[(band["epoch"] == 0) | (band["epoch"] >= 1)]["median"] for band in bands]
    medians = np.concatenate(whole) if whole else np.empty(0)
    medians = medians[np.isfinite(medians)]
    if not len(medians):
        return highest_band
    usual, highest = float(np.quantile(medians, USUAL)), float(medians.max())
    if not highest_band > FAR * usual > 0:
        return highest_band
    return highest if highest <= FAR * usual else usual


def _panels(curves: Mapping[ArmStyle, pd.DataFrame], metric: str) -> dict[ArmStyle, Figure]:
    bands = _bands(curves, metric)
    y_range, x_range = _shared_ranges([band for pair in bands.values() for band in pair.values()])
    panels = {}
    for arm, of_arm in bands.items():
        figure = blank(f"{QUANTITIES.get(metric, metric)} by epoch, {arm.name}", HEIGHT, x="Epoch")
        for split, values in of_arm.items():
            _add_band(figure, values, arm, split, is_share(metric))
        figure.update_xaxes(range=x_range)
        figure.update_yaxes(
            range=y_range, tickformat=".1~%" if is_share(metric) else None, nticks=6
        )
        panels[arm] = figure
    return panels


def _shared_ranges(bands: Sequence[pd.DataFrame]) -> tuple[list[float] | None, list[float] | None]:
    bands = [band for band in bands if len(band)]
    if not bands:
        return None, None
    high, low = _top(bands), min(float(band["low"].min()) for band in bands)
    last = max(float(band["epoch"].max()) for band in bands)
    room = 0.05 * max(high - low, 1e-6)
    return [low - room, high + room], [-0.02 * max(last, 1), 1.02 * max(last, 1)]


def _add_band(figure: Figure, values: pd.DataFrame, arm: ArmStyle, split: str, share: bool) -> None:
    """One part's median over the runs with its quartiles."""
    solid, epochs = split == "val", list(values["epoch"])
    low, high = [*values["low"]], [*values["high"]]
    figure.add_trace(band(epochs, low, high, arm.colour, 0.20 if solid else 0.10))
    width, dash = (2.2, "solid") if solid else (1.8, "dot")
    figure.add_trace(
        line_trace(
            arm,
            epochs,
            [*values["median"]],
            f"%{{y:{'.1%' if share else '.3f'}}} at epoch %{{x:.4g}}",
            name=SPLIT_NAMES[split],
            mode="lines" if len(values) > 1 else "markers",
            line={"color": arm.colour, "width": width, "dash": dash},
            marker={"color": arm.colour, "symbol": "circle" if solid else "circle-open"},
        )
    )


def _at_some_epochs(curves: Mapping[ArmStyle, pd.DataFrame], metric: str) -> list[Row]:
    lines: list[Row] = []
    for arm, table in curves.items():
        medians = table.groupby("epoch").median(numeric_only=True)
        medians = medians[[float(epoch).is_integer() for epoch in medians.index]]
        places = np.linspace(0, max(len(medians) - 1, 0), EPOCHS_SHOWN).round().astype(int)
        lines += [
            {"Arm": arm, "Epoch": f"{epoch:g}"}
            | {
                SPLIT_NAMES[split]: quantity_text(row.get(f"{split}_{metric}"), metric)
                for split in SPLITS
            }
            for epoch, row in medians.iloc[np.unique(places)[: len(medians)]].iterrows()
        ]
    return lines
