"""What training leaves: the curves and probabilities of one arm, and a whole trained study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import StudyConfig
from ..files import write_atomic, writing
from ..heads.grid import CURVES, Heads
from ..stats.paired import Scorer
from ..workspace import RunFiles, Workspace
from .arms import Arm
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
    """

    arm: Arm
    width: int
    curves: dict[str, np.ndarray]
    positions: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    setting: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FrozenHeads:
    """The heads of the regime `frozen`.

    Args:
        heads: of every arm, seed and setting.
        features: {arm: (n, D) or (S, n, D)} behind them.
        setting: index of the one setting for all arms.
    """

    heads: Heads
    features: dict[str, np.ndarray]
    setting: int

    @property
    def learning_rate(self) -> float:
        return self.heads.grid[self.setting][0]

    @property
    def weight_decay(self) -> float:
        return self.heads.grid[self.setting][1]


@dataclass(frozen=True)
class TrainedStudy:
    """A trained study, as its questions take it.

    Args:
        trained: every arm at the one setting.
        log_prior: (C,) of the training split, or (N, C) of out-of-fold predictions, one row a test
            image.
        frozen: of the regime `frozen` alone.
    """

    config: StudyConfig
    workspace: Workspace
    run: RunFiles
    data: StudyData
    device: str
    trained: dict[str, TrainedArm]
    log_prior: np.ndarray
    frozen: FrozenHeads | None = None


def test_scorer(config: StudyConfig, data: StudyData) -> Scorer:
    """The study's own test set with the resamples that all its paired comparisons share."""
    return Scorer(
        data.labels_of("test"),
        data.groups_of("test"),
        len(data.classes),
        resamples=config.bootstrap,
        seed=config.split_seed,
    )


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as one .npz file."""
    with writing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # none is called as a parameter is


def curves_table(curves: dict[str, np.ndarray], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Curves as a table with one row an evaluation and seed: epoch, step, seed, then CURVES."""
    times, count = len(curves["epoch"]), len(seeds)
    return pd.DataFrame(
        {
            "epoch": np.repeat(curves["epoch"], count),
            "step": np.repeat(curves["step"], count),
            "seed": np.tile(seeds, times),
            **{name: np.asarray(curves[name]).reshape(-1) for name in CURVES},
        }
    )


def save_curves(path: Path, curves: dict[str, np.ndarray], seeds: tuple[int, ...]) -> None:
    """Write `curves_table` as CSV."""
    write_atomic(path, curves_table(curves, seeds).to_csv(index=False))
