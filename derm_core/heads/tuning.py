"""The choice of the heads' settings on validation, and the wider grid where a choice lies on its edge.

heads = TunedHeads()
heads.add(part)                       a part: trained Heads of all arms on some points of the grid
for points in heads.beyond_edges():   points that a wider grid would have there
    ...                               train Heads on them and add these
choice = heads.choose()
heads.probabilities("vae", choice.best["vae"], features["vae"])     # (S, N, C)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from .grid import AXES, Heads

WIDENINGS = 6  # how often a grid is widened at most
SHARED = "shared"  # the name of the setting of all arms among those at an edge
LEAST_FACTOR = 2.0


@dataclass(frozen=True)
class Choice:
    """The settings chosen on validation loss at the final epoch (indices into `TunedHeads.grid`).

    Attributes:
        best: each arm's own, the lowest mean over its seeds: the headline.
        shared: one for all arms, the lowest mean over arms and seeds.
        edges: of each arm, and of "shared", the axes and ends at which its setting lies on the edge
            of the grid, where a wider one might have served better: ("learning_rate", 1) for the
            highest rate, -1 for the lowest. A weight decay of 0 is a natural end and no edge.
        mean_loss: (arms, G) validation loss, mean over seeds; infinite where a head diverged.
    """

    best: dict[str, int]
    shared: int
    edges: dict[str, tuple[tuple[str, int], ...]]
    mean_loss: np.ndarray

    @property
    def losses(self) -> dict[str, float]:
        """{arm: validation loss at its own setting}."""
        rows = zip(self.best.items(), self.mean_loss, strict=True)
        return {arm: float(losses[setting]) for (arm, setting), losses in rows}

    def renamed(self, sources: Mapping[str, str]) -> Choice:
        """The same choice under other names. sources: {name: the arm that has it from now on}."""
        rows = dict(zip(self.best, self.mean_loss, strict=True))
        return Choice(
            {name: self.best[arm] for name, arm in sources.items()},
            self.shared,
            {name: self.edges[arm] for name, arm in {**sources, SHARED: SHARED}.items()},
            np.stack([rows[arm] for arm in sources.values()]),
        )

    @property
    def on_edge(self) -> tuple[str, ...]:
        """The arms, and "shared", whose setting lies on the edge of the grid."""
        return tuple(name for name, edges in self.edges.items() if edges)


class TunedHeads:
    """Trained heads of all arms on one grid, which may have grown: a part for each time it did."""

    def __init__(self) -> None:
        self.parts: list[Heads] = []

    def add(self, part: Heads) -> None:
        """Take in heads that were trained on further points of the grid."""
        if not part.records:
            raise ConfigError("There is nothing to choose from before training: run fit() first.")
        self.parts.append(part)

    def rename(self, sources: Mapping[str, str]) -> None:
        """`Heads.rename` of all parts."""
        for part in self.parts:
            part.rename(sources)

    @property
    def first(self) -> Heads:
        """The heads of the grid as it was given; arms, seeds and steps of all parts are theirs."""
        return self.parts[0]

    @property
    def arms(self) -> tuple[str, ...]:
        return self.first.arms

    @property
    def grid(self) -> tuple[tuple[float, float], ...]:
        """(learning rate, weight decay) of every setting."""
        return tuple(point for part in self.parts for point in part.grid)

    def point(self, setting: int) -> dict[str, float]:
        """{"learning_rate", "weight_decay"} of a setting."""
        return dict(zip(AXES, self.grid[setting], strict=True))

    def choose(self) -> Choice:
        """Settings by validation loss at the last record; a head that diverged counts as infinite."""
        loss = np.stack(
            [
                np.concatenate([part.records[-1].values[arm]["val_loss"] for part in self.parts], 1)
                for arm in self.arms
            ]
        )
        mean = np.nan_to_num(loss, nan=np.inf).mean(1)
        best = {arm: int(mean[i].argmin()) for i, arm in enumerate(self.arms)}
        shared = int(mean.mean(0).argmin())
        edges = {name: self._edges(setting) for name, setting in {**best, SHARED: shared}.items()}
        return Choice(best, shared, edges, mean)

    def _axes(self) -> dict[str, list[float]]:
        """The values of each axis of the grid, ascending."""
        columns = zip(AXES, zip(*self.grid, strict=True), strict=True)
        return {name: sorted(set(values)) for name, values in columns}

    def _edges(self, setting: int) -> tuple[tuple[str, int], ...]:
        point, edges = self.point(setting), []
        for name, values in self._axes().items():
            if len(values) < 2:
                continue  # nothing was chosen along it
            if point[name] == values[-1]:
                edges.append((name, 1))
            elif point[name] == values[0] > 0:
                edges.append((name, -1))
        return tuple(edges)

    def beyond_edges(self) -> list[dict[str, tuple[float, ...]]]:
        """The points that a grid wider by one factor has beyond every edge with a choice on it.

        Returns:
            {"learning_rates", "weight_decays"} of each part still to train; empty where no choice
            is on an edge.
        """
        ends = {edge for edges in self.choose().edges.values() for edge in edges}
        axes = self._axes()
        new = {
            axis: tuple(sorted(_next_value(axes[axis], end) for name, end in ends if name == axis))
            for axis in AXES
        }
        rates, decays = (tuple(axes[axis]) for axis in AXES)
        new_rates, new_decays = (new[axis] for axis in AXES)
        parts = [
            {"learning_rates": new_rates, "weight_decays": decays},
            {"learning_rates": (*rates, *new_rates), "weight_decays": new_decays},
        ]
        return [part for part in parts if all(part.values())]

    def _place(self, setting: int) -> tuple[Heads, int]:
        """The part that holds a setting, and the setting's number in it."""
        for part in self.parts:
            if setting < len(part.grid):
                return part, setting
            setting -= len(part.grid)
        raise IndexError(setting)

    def curves(self, arm: str, setting: int) -> dict[str, np.ndarray]:
        """Curves of one arm at one setting, as of `Heads.curves`."""
        part, number = self._place(setting)
        return part.curves(arm, number)

    def probabilities(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """Plain softmax (S, n, C) of raw features, as of `Heads.probabilities`."""
        part, number = self._place(setting)
        return part.probabilities(arm, number, features)

    def weights(self, arm: str, setting: int) -> list[dict[str, Tensor]]:
        """What a published classifier needs beside its backbone, as of `Heads.weights`."""
        part, number = self._place(setting)
        return part.weights(arm, number)


def _next_value(values: list[float], end: int) -> float:
    """The value beyond an end (1: the highest) of ascending values, in the rhythm of those before it.

    >>> _next_value([1e-4, 3e-4, 1e-3], 1), _next_value([0, 0.3, 1, 3], 1), _next_value([1, 3], -1)
    (0.003, 10.0, 0.333)
    """
    ordered = values if end > 0 else values[::-1]
    last, before = ordered[-1], ordered[-2]
    earlier = ordered[-3] if len(ordered) > 2 else 0.0
    if earlier > 0 and before > 0:
        factor = before / earlier
    elif before > 0:
        factor = last / before
    else:
        factor = 3.0
    factor = factor if end > 0 else 1 / factor
    wider = last * max(factor, LEAST_FACTOR) ** end
    return float(f"{wider:.3g}")
