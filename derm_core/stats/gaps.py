"""The overfitting gap: loss gap = validation − training, accuracy gap = training − validation; larger is worse in both.

`Curves` are those of one arm at one setting: epoch (T,), train_loss, val_loss, train_accuracy,
val_accuracy (T, S), a column a seed (or fold). Gaps are read at the final epoch, at each seed's
lowest validation loss, at matched training accuracy, and as the area between the curves.

Where predictions exist (final epoch; test set in place of validation) an interval resamples the
groups of both sets, each by itself, and adds the seeds: the two sets are other groups, so their
variances add. Elsewhere only the curves exist and intervals are over seeds alone, which is too
narrow: another validation set would move all seeds together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import GAP_MARGINS, Difference, Interval, seed_interval
from .metrics import LOSSES
from .multiple_tests import with_holm
from .paired import Estimate, Pair, independent_difference
from .resampling import Resamples, make_design, means_under

POINTS_BEFORE = 3  # evaluations that a comparable arm has before it reaches the matched accuracy
UNKNOWN = Interval(mean=None)
Curves = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MatchedArm:
    """One arm where it first reaches the matched training accuracy: the epoch, and both gaps there."""

    epoch: float | None
    loss: Interval
    accuracy: Interval


@dataclass(frozen=True)
class MatchedPair:
    """Two arms' gaps at the same training accuracy.

    Args:
        a, b: the arms.
        level: that training accuracy, the lower of the two maxima.
        comparable: whether both arms were trained for long enough before they reached it.
        reason: why not; None where they are comparable.
        arms: {a or b: its gaps}.
    """

    a: str
    b: str
    level: float | None
    comparable: bool
    reason: str | None
    arms: dict[str, MatchedArm]

    def reason_with(self, names: Mapping[str, str]) -> str:
        """The reason, with the arms' names in place of their keys; empty without one."""
        reason = self.reason or ""
        for arm in (self.a, self.b):
            reason = reason.replace(f" {arm} ", f" {names[arm]} ")
        return reason

    def difference(self, kind: str) -> np.ndarray:
        """a − b of one gap (S,)."""
        values = [getattr(self.arms[arm], kind).by_seed for arm in (self.a, self.b)]
        return np.subtract(*values)


def loss_gap(curves: Curves) -> np.ndarray:
    """(T, S) validation − training loss."""
    return curves["val_loss"] - curves["train_loss"]


def accuracy_gap(curves: Curves) -> np.ndarray:
    """(T, S) training − validation accuracy."""
    return curves["train_accuracy"] - curves["val_accuracy"]


GAPS: dict[str, Callable[[Curves], np.ndarray]] = {"loss": loss_gap, "accuracy": accuracy_gap}


def first_epoch(epoch: np.ndarray) -> int:
    """Index of the evaluation after the first epoch; the last one where there is none."""
    return int(np.argmax(np.asarray(epoch) >= 1)) if np.max(epoch) >= 1 else len(epoch) - 1


def area(epoch: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Area between the training and validation curves from step 0 to the end over the epochs: the mean gap (S,).

    epoch (T,), gap (T, S); trapezia between evaluations.
    """
    epoch = np.asarray(epoch, np.float64)
    length = epoch[-1] - epoch[0]
    if length > 0:
        mean_gap: np.ndarray = np.trapezoid(gap, epoch, axis=0) / length
        return mean_gap
    return np.asarray(gap[-1], np.float64)


def at_best(curves: Curves, gap: np.ndarray) -> np.ndarray:
    """`gap` (T, S) at each seed's lowest validation loss, (S,)."""
    losses = curves["val_loss"]
    best = np.nanargmin(np.where(np.isfinite(losses).any(0), losses, 0), axis=0)
    return gap[best, np.arange(len(best))]


def gaps(curves: Curves, over: str = "seeds") -> dict[str, dict[str, Interval]]:
    """Both gaps of one arm from its curves, {kind: {"final", "best", "area"}}, with intervals over seeds or folds."""
    return {
        kind: {
            "final": seed_interval((values := gap_of(curves))[-1], over),
            "best": seed_interval(at_best(curves, values), over),
            "area": seed_interval(area(curves["epoch"], values), over),
        }
        for kind, gap_of in GAPS.items()
    }


def with_test(curves: Curves, loss: np.ndarray, accuracy: np.ndarray) -> dict[str, np.ndarray]:
    """Both final gaps (S,) with the test set's loss and accuracy (S,) of the final heads in place of validation's."""
    return {
        "loss": np.asarray(loss) - curves["train_loss"][-1],
        "accuracy": curves["train_accuracy"][-1] - np.asarray(accuracy),
    }


def matched(curves_a: Curves, curves_b: Curves, names: Pair) -> MatchedPair:
    """Both arms' gaps where each first reaches the same training accuracy.

    The level is the lower of the two seed-mean maxima. The first crossing of the seed-mean training
    accuracy is interpolated between two evaluations, and so are the gaps there. Not comparable
    where an arm starts at or above the level, or crosses it with fewer than three evaluations
    before: there the gap would be that of a head that has hardly been trained.
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
            reasons.append(f"{name} reaches it after {after} evaluations")
        arms[name] = _at(curves, accuracy, after, level)
    at = f"Training accuracy {100 * level:.1f} %"
    reason = f"{at}: {', '.join(reasons)}." if reasons else None
    return MatchedPair(*names, level, not reasons, reason, arms)


def _at(curves: Curves, accuracy: np.ndarray, after: int, level: float) -> MatchedArm:
    before = max(after - 1, 0)
    rise = accuracy[after] - accuracy[before]
    share = (level - accuracy[before]) / rise if rise > 0 else 0.0

    def here(values: np.ndarray) -> np.ndarray:
        return values[before] + share * (values[after] - values[before])

    epoch = float(here(np.asarray(curves["epoch"], np.float64)))
    loss, accuracy_at = (seed_interval(here(gap_of(curves))) for gap_of in GAPS.values())
    return MatchedArm(epoch, loss, accuracy_at)


def matched_pairs(curves: Mapping[str, Curves], pairs: Sequence[Pair]) -> list[MatchedPair]:
    """`matched` for every pair of arms."""
    return [matched(curves[a], curves[b], (a, b)) for a, b in pairs]


def final_estimates(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    loss: str,
    *,
    split: str,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Mean loss and accuracy of the final models on one split, all arms under the same resamples of its groups.

    Args:
        labels: (n,).
        groups: (n,) ids.
        probabilities: {arm: (S, n, C)}.
        loss: one of metrics.LOSSES.
        split: names the stream of random numbers.
        resamples: of the bootstrap.
        seed: of the resamples.
    """
    design = make_design(labels, groups, next(iter(probabilities.values())).shape[-1])
    drawn = Resamples.draw(design, resamples, seed, "gaps", split)
    values = {
        arm: np.concatenate([LOSSES[loss](design.labels, p), p.argmax(-1) == design.labels])
        for arm, p in probabilities.items()
    }
    under = means_under(design, np.concatenate(list(values.values())).T, drawn.weights)
    estimates: dict[str, dict[str, Estimate]] = {}
    start = 0
    for arm, rows in values.items():
        whole = rows.mean(-1).reshape(2, -1)
        here = under[:, start : start + len(rows)].reshape(len(under), 2, -1)
        estimates[arm] = {
            kind: Estimate(whole[k], here[:, k], drawn) for k, kind in enumerate(GAPS)
        }
        start += len(rows)
    return estimates


def gap_interval(
    train: Mapping[str, Estimate], other: Mapping[str, Estimate]
) -> dict[str, Interval]:
    """Both gaps between two sets with intervals that resample the groups of both; of one arm, or of a − b."""
    return {
        "loss": independent_difference(other["loss"], train["loss"]),
        "accuracy": independent_difference(train["accuracy"], other["accuracy"]),
    }


def gap_differences(
    curves: Mapping[str, Curves],
    estimates: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    matched_at: Sequence[MatchedPair],
    loss: str = "cross_entropy",
) -> list[Difference]:
    """Differences of two arms' gaps at every place, Holm-corrected among themselves.

    A study corrects them together with its other tests (study.families).

    Args:
        curves: {arm: curves}.
        estimates: {split: final_estimates} of train, val and test.
        matched_at: `matched_pairs` of the pairs to compare; without numbers where they are not
            comparable.
        loss: one of metrics.LOSSES, that of the curves.
    """

    def resampled(a: str, b: str) -> dict[str, dict[str, Interval]]:
        train, val, test = (
            {kind: estimates[split][a][kind] - estimates[split][b][kind] for kind in GAPS}
            for split in ("train", "val", "test")
        )
        return {"final": gap_interval(train, val), "test": gap_interval(train, test)}

    return _differences(curves, matched_at, resampled, "seeds", loss)


def fold_gap_differences(
    curves: Mapping[str, Curves],
    tested: Mapping[str, tuple[np.ndarray, np.ndarray]],
    matched_at: Sequence[MatchedPair],
    loss: str = "cross_entropy",
) -> list[Difference]:
    """`gap_differences` of curves whose columns are folds; every interval is over folds.

    tested: {arm: test loss (K,) and accuracy (K,) of every fold}; loss: that of the curves.
    """

    def over_folds(a: str, b: str) -> dict[str, dict[str, Interval]]:
        final_a, final_b = ({k: of(curves[arm])[-1] for k, of in GAPS.items()} for arm in (a, b))
        test_a, test_b = (with_test(curves[arm], *tested[arm]) for arm in (a, b))
        return {
            "final": {kind: seed_interval(final_a[kind] - final_b[kind], "folds") for kind in GAPS},
            "test": {kind: seed_interval(test_a[kind] - test_b[kind], "folds") for kind in GAPS},
        }

    return _differences(curves, matched_at, over_folds, "folds", loss)


def _differences(
    curves: Mapping[str, Curves],
    matched_at: Sequence[MatchedPair],
    predicted: Callable[[str, str], dict[str, dict[str, Interval]]],
    over: str,
    loss: str,
) -> list[Difference]:
    rows = []
    margins = {"loss": GAP_MARGINS.get(loss), "accuracy": GAP_MARGINS["accuracy"]}
    for level in matched_at:
        a, b = level.a, level.b
        ends = predicted(a, b)
        for kind, gap_of in GAPS.items():
            gap_a, gap_b = (gap_of(curves[arm]) for arm in (a, b))
            best = at_best(curves[a], gap_a) - at_best(curves[b], gap_b)
            whole = area(curves[a]["epoch"], gap_a) - area(curves[b]["epoch"], gap_b)
            at_level = seed_interval(level.difference(kind), over) if level.comparable else UNKNOWN
            places = {
                "final": ends["final"][kind],
                "best": seed_interval(best, over),
                "test": ends["test"][kind],
                "matched": at_level,
                "area": seed_interval(whole, over),
            }
            for at, gap in places.items():
                # over seeds alone nothing is known of another set of images: no equivalence
                margin = None if gap.method == "seeds" else margins[kind]
                by_fold = gap.by_seed if over == "folds" else None
                about = {"kind": kind, "at": at, "primary": False, "by_fold": by_fold}
                rows.append(Difference.of(a, b, gap, margin, **about))
    return with_holm(rows)
