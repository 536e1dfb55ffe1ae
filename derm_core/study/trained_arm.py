"""What training leaves of one arm, whatever the regime: curves, and probabilities of its final models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_atomic
from ..heads.grid import CURVES
from .arms import Arm


@dataclass
class TrainedArm:
    """One arm at one setting.

    width: D, length of its feature vector. curves: epoch (T,), step (T,) and each of CURVES (T, S).
    positions: per split (n,) into the study's images; train may be a subset. probabilities: per
    split (S, n, C), the plain softmax. setting: {learning_rate, weight_decay}.
    """

    arm: Arm
    width: int
    curves: dict[str, np.ndarray]
    positions: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    setting: dict[str, float] = field(default_factory=dict)


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
