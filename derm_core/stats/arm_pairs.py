"""Every pair of arms beside its accuracy: gaps at matched training accuracy, differences of gaps, McNemar.

    pairs_of(arms, first) -> [(a, b)]                       every pair once, `first` in front and in its direction
    matched_pairs(curves {arm: curves}, pairs) -> [{"a", "b", **gaps.matched}]
    gap_differences(curves, drawn, pairs, at_level) -> [{"a", "b", "kind", "at", interval of a − b, "p", "p_holm",
                                                             "primary": False}]
        kind "loss" or "accuracy"; at "final", "best", "test", "matched", "area"
    mcnemar(labels, groups, probabilities {arm: (S, N, C)}, pairs) -> [{"a", "b", "n", "a_only", "b_only", "p"}]

Where predictions exist, final and with test for val, an interval resamples the groups of both sets, each by
itself, and adds the seeds (method "bootstrap", gap_stats.py). At the best epoch, at matched training accuracy
and over the whole curve only the curves exist: the seeds alone (method "seeds"), which is too narrow a picture,
for another validation set would move all seeds together. A pair that is not comparable at matched training accuracy
has a row without numbers (method "none").

Holm's correction runs over all these rows as a family of its own: they ask another question than the test metrics do
and resample other sets. No gap difference is the primary test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

from ..seeds import stream_seed
from .gap_intervals import Drawn, gap_interval, less
from .gaps import Curves, accuracy_gap, area, loss_gap, matched, spread, with_test
from .intervals import holm

Pair = tuple[str, str]
KINDS = {"loss": loss_gap, "accuracy": accuracy_gap}
PLACES = ("final", "best", "test", "matched", "area")
NOTHING = {
    "mean": None,
    "std": None,
    "low": None,
    "high": None,
    "se": None,
    "df": None,
    "method": "none",
}


def pairs_of(arms: Sequence[str], first: Pair | None = None) -> list[Pair]:
    """Every pair once; the one named in advance comes first and keeps its direction."""
    rest = [pair for pair in combinations(arms, 2) if first is None or set(pair) != set(first)]
    return [first, *rest] if first else rest


def matched_pairs(curves: Mapping[str, Curves], pairs: Sequence[Pair]) -> list[dict]:
    """`gaps.matched` for every pair."""
    return [{"a": a, "b": b, **matched(curves[a], curves[b], (a, b))} for a, b in pairs]


def gap_differences(
    curves: Mapping[str, Curves],
    drawn: Mapping[str, Mapping[str, Drawn]],
    pairs: Sequence[Pair],
    at_level: Sequence[Mapping],
) -> list[dict]:
    """See the module's docstring. drawn: {split: gap_stats.draw} of train, val and test; at_level: matched_pairs."""

    def resampled(a: str, b: str) -> dict[str, dict]:
        change = {split: less(of[a], of[b]) for split, of in drawn.items()}
        return {
            at: gap_interval(change["train"], change[other])
            for at, other in (("final", "val"), ("test", "test"))
        }

    return _rows(curves, pairs, at_level, resampled)


def fold_gap_differences(
    curves: Mapping[str, Curves],
    tested: Mapping[str, tuple[np.ndarray, np.ndarray]],
    pairs: Sequence[Pair],
    at_level: Sequence[Mapping],
) -> list[dict]:
    """The same of curves whose columns are folds, with test loss and accuracy (K,) of every arm; intervals over folds."""

    def over_folds(a: str, b: str) -> dict[str, dict]:
        final = {
            kind: spread(gap_of(curves[a])[-1] - gap_of(curves[b])[-1])
            for kind, gap_of in KINDS.items()
        }
        test = [with_test(curves[arm], *tested[arm]) for arm in (a, b)]
        return {
            "final": final,
            "test": {
                kind: spread(np.subtract(*(of[kind]["by_seed"] for of in test))) for kind in KINDS
            },
        }

    return [
        row | {"method": "folds" if row["method"] == "seeds" else row["method"]}
        for row in _rows(curves, pairs, at_level, over_folds)
    ]


def _rows(
    curves: Mapping[str, Curves], pairs: Sequence[Pair], at_level: Sequence[Mapping], tested
) -> list[dict]:
    rows = []
    for (a, b), level in zip(pairs, at_level, strict=True):
        drawn = tested(a, b)
        for kind, gap_of in KINDS.items():
            found = {at: drawn[at][kind] for at in drawn} | _by_seeds(curves[a], curves[b], gap_of)
            found["matched"] = NOTHING
            if level["comparable"]:
                at_a, at_b = (np.array(level["arms"][arm][kind]["by_seed"]) for arm in (a, b))
                found["matched"] = spread(at_a - at_b)
            rows += [
                {
                    "a": a,
                    "b": b,
                    "kind": kind,
                    "at": at,
                    **{key: found[at][key] for key in NOTHING},
                    "p": p_value(found[at]),
                    "p_holm": None,
                    "primary": False,
                }
                for at in PLACES
            ]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(p)
    return rows


def _by_seeds(curves_a: Curves, curves_b: Curves, gap_of) -> dict[str, dict]:
    """Differences at the best epoch and over the whole curve; seed by seed."""
    values = []
    for curves in (curves_a, curves_b):
        gap, losses = gap_of(curves), curves["val_loss"]
        best = np.nanargmin(np.where(np.isfinite(losses).any(0), losses, 0), axis=0)
        values.append((gap[best, np.arange(len(best))], area(curves["epoch"], gap)))
    (best_a, area_a), (best_b, area_b) = values
    return {"best": spread(best_a - best_b), "area": spread(area_a - area_b)}


def p_value(found: Mapping) -> float | None:
    """Two-sided p of an interval's estimate against 0, Student's t; None where there is no interval."""
    if found["low"] is None or found["se"] is None:
        return None
    if found["se"] == 0:
        return 1.0 if found["mean"] == 0 else 0.0
    return float(2 * student.sf(abs(found["mean"]) / found["se"], found["df"]))


def mcnemar(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    pairs: Sequence[Pair],
    *,
    seed: int = 0,
) -> list[dict]:
    """Exact McNemar (1947) of plain accuracy: seed-ensemble predictions, one random image a group. Descriptive.

    a_only: images that a alone gets right; p: binomial, two-sided, of the discordant images.
    """
    order = np.random.default_rng(stream_seed(seed, "one image a group")).permutation(len(labels))
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    chosen = order[first]
    right = {
        arm: np.asarray(p).mean(0)[chosen].argmax(-1) == np.asarray(labels)[chosen]
        for arm, p in probabilities.items()
    }
    rows = []
    for a, b in pairs:
        a_only, b_only = int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())
        p = float(binomtest(a_only, a_only + b_only).pvalue) if a_only + b_only else 1.0
        rows.append({"a": a, "b": b, "n": len(chosen), "a_only": a_only, "b_only": b_only, "p": p})
    return rows
