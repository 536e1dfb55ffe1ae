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
USUAL, FAR = (
    0.97,
    3.0,
)  # share of the epochs that an axis always holds; what is further up, by this factor, may lie above


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


def seed_band(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and standard deviation (over seeds, n − 1) of `column` at each epoch: epoch, mean, std."""
    values = curves.dropna(subset=[column]).groupby("epoch", sort=True)[column]
    std = values.std(ddof=1).fillna(0.0)
    return pd.DataFrame({"mean": values.mean(), "std": std}).reset_index()


def _bands(
    curves: Mapping[ArmStyle, pd.DataFrame], metric: str
) -> dict[ArmStyle, dict[str, pd.DataFrame]]:
    return {
        arm: {
            split: seed_band(table, f"{split}_{metric}")
            for split in SPLITS
            if f"{split}_{metric}" in table
        }
        for arm, table in curves.items()
    }


def _beyond_the_axis(curves: Mapping[ArmStyle, pd.DataFrame], metric: str) -> str:
    """A sentence where single epochs lie above the axis; else empty."""
    bands = [band for pair in _bands(curves, metric).values() for band in pair.values()]
    upper = _upper_ends(bands)
    if not len(upper) or (top := _top(upper)) >= upper.max():
        return ""
    above = int((upper > top).sum())
    ends, highest = (f"{v:.2g}" if v < 100 else f"{v:,.0f}" for v in (top, float(upper.max())))
    return (
        f" The axis ends at {ends}; {above} of {len(upper)} epochs lie above it, up to {highest}."
    )


def _upper_ends(bands: Sequence[pd.DataFrame]) -> np.ndarray:
    ends = [(band["mean"] + band["std"]).to_numpy(float) for band in bands if len(band)]
    together = np.concatenate(ends) if ends else np.empty(0)
    return together[np.isfinite(together)]


def _top(upper: np.ndarray) -> float:
    """Where the axis ends: at the highest value, unless few epochs lie so far up that the rest would be flat."""
    usual = float(np.quantile(upper, USUAL))
    return usual if upper.max() > FAR * usual > 0 else float(upper.max())


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
    upper = _upper_ends(bands)
    high = _top(upper)
    lower = np.concatenate([band["mean"] - band["std"] for band in bands])
    low = float(np.nanquantile(lower, 0 if high >= upper.max() else 1 - USUAL))
    last = max(float(band["epoch"].max()) for band in bands)
    room = 0.05 * max(high - low, 1e-6)
    return [low - room, high + room], [-0.02 * max(last, 1), 1.02 * max(last, 1)]


def _add_band(figure: Figure, values: pd.DataFrame, arm: ArmStyle, split: str, share: bool) -> None:
    """One part's mean over seeds with ±1 standard deviation."""
    solid, epochs = split == "val", list(values["epoch"])
    low, high = values["mean"] - values["std"], values["mean"] + values["std"]
    figure.add_trace(band(epochs, [*low], [*high], arm.colour, 0.20 if solid else 0.10))
    width, dash = (2.2, "solid") if solid else (1.8, "dot")
    figure.add_trace(
        line_trace(
            arm,
            epochs,
            [*values["mean"]],
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
        means = table.groupby("epoch").mean(numeric_only=True)
        means = means[[float(epoch).is_integer() for epoch in means.index]]
        places = np.linspace(0, max(len(means) - 1, 0), EPOCHS_SHOWN).round().astype(int)
        lines += [
            {"Arm": arm, "Epoch": f"{epoch:g}"}
            | {
                SPLIT_NAMES[split]: quantity_text(row.get(f"{split}_{metric}"), metric)
                for split in SPLITS
            }
            for epoch, row in means.iloc[np.unique(places)[: len(means)]].iterrows()
        ]
    return lines
