"""The overfitting gap, named: loss gap = val − train, accuracy gap = train − val; larger is worse in both.

    gaps(curves) -> {"loss": {"final": spread, "best": spread, "area": spread}, "accuracy": {…}}
    with_test(curves, loss (S,), accuracy (S,)) -> {"loss": spread, "accuracy": spread}   test in place of val
    matched(curves_a, curves_b, names) -> {"level", "comparable", "reason", "arms": {name: {"epoch", "loss", "accuracy"}}}
    spread = {"mean", "std", "low", "high", "se", "df", "method": "seeds", "by_seed": [S]}, the interval from the seeds alone

`curves` are those of one arm at one setting: epoch (T,), train_loss, val_loss, train_accuracy,
val_accuracy (T, S). `gap_stats.gap_interval` adds the images' share of chance to the final gaps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import t as student

POINTS_BEFORE = 3
Curves = Mapping[str, np.ndarray]


def spread(by_seed: np.ndarray) -> dict:
    """Mean, std and the 95 % t interval over seeds (S,); one seed: no interval (null)."""
    by_seed = np.asarray(by_seed, np.float64)
    mean, count = float(by_seed.mean()), len(by_seed)
    found = {
        "mean": mean,
        "std": 0.0,
        "low": None,
        "high": None,
        "se": None,
        "df": None,
        "method": "seeds",
        "by_seed": by_seed.tolist(),
    }
    if count < 2:
        return found
    std = float(by_seed.std(ddof=1))
    se = std / np.sqrt(count)
    reach = float(student.ppf(0.975, count - 1)) * se
    return found | {
        "std": std,
        "low": mean - reach,
        "high": mean + reach,
        "se": float(se),
        "df": count - 1.0,
    }


def first_epoch(epoch: np.ndarray) -> int:
    """Index of the evaluation after the first epoch; the last one where there is none."""
    return int(np.argmax(np.asarray(epoch) >= 1)) if np.max(epoch) >= 1 else len(epoch) - 1


def loss_gap(curves: Curves) -> np.ndarray:
    """(T, S) val − train."""
    return curves["val_loss"] - curves["train_loss"]


def accuracy_gap(curves: Curves) -> np.ndarray:
    """(T, S) train − val."""
    return curves["train_accuracy"] - curves["val_accuracy"]


def gaps(curves: Curves) -> dict[str, dict]:
    """Both gaps at the final epoch, seed by seed at the lowest val loss, and as the area between the curves."""
    best = np.nanargmin(
        np.where(np.isfinite(curves["val_loss"]).any(0), curves["val_loss"], 0), axis=0
    )
    seeds = np.arange(len(best))
    return {
        name: {
            "final": spread(values[-1]),
            "best": spread(values[best, seeds]),
            "area": spread(area(curves["epoch"], values)),
        }
        for name, values in (("loss", loss_gap(curves)), ("accuracy", accuracy_gap(curves)))
    }


def area(epoch: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Area between the train and val curves from step 0 to the end, divided by the epochs: the mean gap (S,).

    epoch (T,), gap (T, S); trapezia between evaluations.
    """
    epoch = np.asarray(epoch, np.float64)
    length = epoch[-1] - epoch[0]
    return (
        np.trapezoid(gap, epoch, axis=0) / length if length > 0 else np.asarray(gap[-1], np.float64)
    )


def with_test(curves: Curves, loss: np.ndarray, accuracy: np.ndarray) -> dict[str, dict]:
    """Both final gaps with the test set's loss and accuracy (S,) of the final heads in place of val's."""
    return {
        "loss": spread(np.asarray(loss) - curves["train_loss"][-1]),
        "accuracy": spread(curves["train_accuracy"][-1] - np.asarray(accuracy)),
    }


def matched(curves_a: Curves, curves_b: Curves, names: tuple[str, str]) -> dict:
    """Both arms' gaps where each first reaches the same training accuracy.

    The level is the lower of the two seed-mean maxima. The first crossing of the seed-mean training
    accuracy is interpolated between two evaluations, and so are the gaps there. Not comparable where
    an arm starts at or above the level, or crosses it with fewer than three evaluations before: there
    the gap would be that of a head that has hardly been trained.
    """
    pair = dict(zip(names, (curves_a, curves_b), strict=True))
    level = min(float(curves["train_accuracy"].mean(1).max()) for curves in pair.values())
    arms, reasons = {}, []
    for name, curves in pair.items():
        accuracy = curves["train_accuracy"].mean(1)
        after = int(np.argmax(accuracy >= level))
        if after == 0:
            reasons.append(f"{name} starts at or above it")
        elif after < POINTS_BEFORE:
            reasons.append(f"{name} crosses it after {after} evaluations")
        arms[name] = _at(curves, accuracy, after, level)
    reason = f"Training accuracy {level:.3f}: {', '.join(reasons)}." if reasons else None
    return {"level": level, "comparable": not reasons, "reason": reason, "arms": arms}


def _at(curves: Curves, accuracy: np.ndarray, after: int, level: float) -> dict:
    before = max(after - 1, 0)
    rise = accuracy[after] - accuracy[before]
    share = (level - accuracy[before]) / rise if rise > 0 else 0.0

    def here(values: np.ndarray) -> np.ndarray:
        return values[before] + share * (values[after] - values[before])

    return {
        "epoch": float(here(np.asarray(curves["epoch"], np.float64))),
        "loss": spread(here(loss_gap(curves))),
        "accuracy": spread(here(accuracy_gap(curves))),
    }
