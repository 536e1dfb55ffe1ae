"""What training leaves: the curves and probabilities of one arm, and a whole trained study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import StudyConfig
from ..events import Event
from ..files import write_atomic, writing
from ..heads.grid import CURVES
from ..heads.tuning import TunedHeads
from ..stats.gaps import Curves
from ..stats.paired import Scorer
from ..workspace import RunFiles, Workspace
from .arms import Arm
from .roles import counted
from .study_data import StudyData


@dataclass
class TrainedArm:
    """One arm at one setting, of whatever regime.

    Args:
        width: D, length of its feature vector.
        curves: epoch (T,), step (T,) and each of CURVES (T, S).
        positions: {split: (n,) into the study's images}; train may be a subset.
        probabilities: {split: (S, n, C)}, the plain softmax of its final models.
        setting: {learning_rate, weight_decay}.
        folds: {split: (n,)} the fold of each image of "val" and "test"; empty on one split.
    """

    arm: Arm
    width: int
    curves: dict[str, np.ndarray]
    positions: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    setting: dict[str, float] = field(default_factory=dict)
    folds: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class FrozenHeads:
    """The heads of the regime `frozen`.

    Args:
        heads: of every arm, seed and setting.
        features: {arm: (n, D) or (S, n, D)} behind them.
        best: {arm: index of its own setting}.
        shared: index of the one setting for all arms.
        seconds: of the training of all heads.
    """

    heads: TunedHeads
    features: dict[str, np.ndarray]
    best: dict[str, int]
    shared: int
    seconds: float = 0.0

    def options(self, setting: int) -> dict[str, Any]:
        """One setting as a grid of its own, for `Heads`."""
        rate, decay = self.heads.grid[setting]
        return {"learning_rates": (rate,), "weight_decays": (decay,)}

    def arms_by_setting(self) -> dict[int, list[str]]:
        """{setting: the arms that are at it, tuned or shared}: what every further training of heads needs."""
        arms: dict[int, list[str]] = {self.shared: list(self.best)}
        for arm, setting in self.best.items():
            if setting != self.shared:
                arms.setdefault(setting, []).append(arm)
        return arms


@dataclass(frozen=True)
class TrainedStudy:
    """A study with what its arms are trained and tested with.

    Args:
        trained: every arm, each at its own best setting; empty before training.
        log_prior: (C,) of the training split, or (N, C) of out-of-fold predictions, one row a test
            image.
        frozen: of the regime `frozen` alone.
        shared: every arm at the one setting for all of them; empty where there is none.
        folds: (N,) the fold of each labelled test image of out-of-fold predictions.
        chosen: {role: the arm that was chosen for it, one a fold}.
        devices: of the processes that share long extractions of features, see `feature_shards`.
    """

    config: StudyConfig
    workspace: Workspace
    run: RunFiles
    data: StudyData
    device: str
    trained: dict[str, TrainedArm]
    log_prior: np.ndarray
    frozen: FrozenHeads | None = None
    shared: dict[str, TrainedArm] = field(default_factory=dict)
    folds: np.ndarray | None = None
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    def at_shared(self) -> TrainedStudy:
        """The study with every arm at the setting that all share."""
        return replace(self, trained=self.shared, shared={})

    @property
    def curves(self) -> dict[str, Curves]:
        """{arm: its learning curves}."""
        return {arm: one.curves for arm, one in self.trained.items()}

    @property
    def counted(self) -> list[str]:
        """The arms that take part in the verdict, see `roles.counted`."""
        return counted(
            {name: one.arm.seen for name, one in self.trained.items()}, self.config.count_seen
        )

    def probabilities(self, split: str) -> dict[str, np.ndarray]:
        """{arm: plain softmax (S, n, C) of the images of a split}."""
        return {arm: one.probabilities[split] for arm, one in self.trained.items()}

    @cached_property
    def scorer(self) -> Scorer:
        """The study's own test set with the resamples that all its paired comparisons share."""
        return Scorer(
            self.data.labels_of("test"),
            self.data.groups_of("test"),
            len(self.data.classes),
            resamples=self.config.bootstrap,
            seed=self.config.split_seed,
            folds=self.folds,
        )


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as one .npz file."""
    with writing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # none is called as a parameter is


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Raises OSError or ValueError where it cannot be read."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def curve_events(
    arm: str, values: Mapping[str, Sequence[float | None] | np.ndarray], step: int, epoch: float
) -> Iterator[Event]:
    """The live curves of an arm at one evaluation. values: of each of CURVES one number a seed."""
    for name in CURVES:
        series = f"{arm}/{name.replace('_', '/', 1)}"
        yield Event(kind="metric", series=series, value=values[name], step=step, epoch=epoch)


def save_curves(path: Path, curves: dict[str, np.ndarray], seeds: tuple[int, ...]) -> None:
    """Write curves as CSV with one row an evaluation and seed: epoch, step, seed, then CURVES."""
    columns = {
        "epoch": np.repeat(curves["epoch"], len(seeds)),
        "step": np.repeat(curves["step"], len(seeds)),
        "seed": np.tile(seeds, len(curves["epoch"])),
        **{name: np.asarray(curves[name]).reshape(-1) for name in CURVES},
    }
    write_atomic(path, pd.DataFrame(columns).to_csv(index=False))
