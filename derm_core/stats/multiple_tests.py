"""Holm's correction for many tests, and the tests of paired predictions: sign flips over groups, McNemar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ..seeds import stream_seed
from .intervals import Difference
from .resampling import Design

FLIPS_AT_ONCE = (
    200  # a multiple of 4: random bytes come four at a time, and so are those of all flips at once
)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of arms a and b: n images, those that one arm alone classifies correctly, two-sided p."""

    a: str
    b: str
    n: int
    a_only: int
    b_only: int
    p: float


def holm(p: Sequence[float], weights: Sequence[float] | None = None) -> np.ndarray:
    """Holm's step-down adjusted p values (1979), in the order given.

    Args:
        p: of the tests of one family.
        weights: of the tests, all 1 unless given: a test's share of the level is its share of the
            weight that is left.
    """
    values = np.asarray(p, np.float64)
    share = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(values / share)
    left = np.cumsum(share[order][::-1])[::-1]
    adjusted = np.maximum.accumulate(np.minimum((values / share)[order] * left, 1.0))
    return adjusted[np.argsort(order)]


def with_holm(rows: Sequence[Difference]) -> list[Difference]:
    """The rows as one family: `p_holm` of every row that has a p, None for the others."""
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return [
        dataclasses.replace(row, p_holm=None if row.p is None else float(next(adjusted)))
        for row in rows
    ]


def with_families(rows: Sequence[Difference]) -> list[Difference]:
    """Holm's correction within each family that `correction` names; the primary test alone needs none."""
    adjusted: dict[int, float] = {}
    for family in {row.correction for row in rows} - {"primary"}:
        members = [
            i for i, row in enumerate(rows) if row.correction == family and row.p is not None
        ]
        values = holm([rows[i].p or 0.0 for i in members])
        adjusted |= dict(zip(members, values.tolist(), strict=True))
    return [dataclasses.replace(row, p_holm=adjusted.get(i)) for i, row in enumerate(rows)]


def sign_flip(
    design: Design, difference: np.ndarray, *, flips: int = 10_000, seed: int = 0
) -> float:
    """Permutation test by sign flips over groups, of a difference in balanced accuracy.

    Under the null hypothesis the two arms' answers for a group are exchangeable: the signs of the
    groups' contributions are flipped at random.

    Args:
        design: the test set.
        difference: (N,) of correct (0 or 1, seed mean), arm a minus arm b.
        flips: how many random flips.
        seed: of the random flips.

    Returns:
        Two-sided p = (1 + as extreme) / (1 + flips), never 0.
    """
    counts = np.bincount(design.labels, minlength=design.classes)
    share = difference / counts[design.labels] / (counts > 0).sum()
    by_group = np.bincount(design.group, weights=share)
    by_group = by_group[by_group != 0]
    rng = np.random.default_rng(stream_seed(seed, "sign flips"))
    extreme, least = 0, abs(by_group.sum()) - 1e-9
    for start in range(0, flips, FLIPS_AT_ONCE):
        shape = min(FLIPS_AT_ONCE, flips - start), len(by_group)
        signs = rng.integers(0, 2, shape, dtype=np.int8) * np.float32(2) - 1
        extreme += int((np.abs(signs @ by_group) >= least).sum())
    return (1 + extreme) / (1 + flips)


def mcnemar(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int = 0,
) -> list[McNemar]:
    """Exact McNemar test (1947) of plain accuracy, for every pair of arms. Descriptive.

    Args:
        labels: (N,).
        groups: (N,) ids; one random image a group is used.
        probabilities: {arm: (S, N, C)}; decisions are those of the seed ensemble (mean
            probability).
        pairs: the arms to compare.
        seed: of the choice of images.
    """
    order = np.random.default_rng(stream_seed(seed, "one image a group")).permutation(len(labels))
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    images = order[first]
    correct = {
        arm: np.asarray(p).mean(0)[images].argmax(-1) == np.asarray(labels)[images]
        for arm, p in probabilities.items()
    }
    rows = []
    for a, b in pairs:
        a_only = int((correct[a] & ~correct[b]).sum())
        b_only = int((correct[b] & ~correct[a]).sum())
        # The binomial test of a fair coin: its distribution is symmetric, so both tails are twice the smaller one.
        p = min(1.0, 2 * float(special.bdtr(min(a_only, b_only), a_only + b_only, 0.5)))
        rows.append(McNemar(a, b, len(images), a_only, b_only, p))
    return rows
