"""Bootstrap and jackknife of a test set by groups within class: weights, and every metric under all weights at once.

Nothing is resampled image by image: a resample is a weight for each group, and a metric under R
weightings is a few matmuls, since every metric here is a ratio of sums over groups (AUROC: of a
quadratic form). The seeds share the weights, so that what they have in common can be told apart.

Shapes: N images, M groups, C classes, S seeds, R weightings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..seeds import stream_seed
from .intervals import Component, group_components
from .metrics import brier_losses, confidence_bins, debiased_bins, decide, log_losses

BLOCKS = 60  # jackknife blocks a class at most
BINS = 15
RUNNING_SUMS = 2**18  # numbers, 2 MB, which a core's cache holds
ROWS_AT_ONCE = 64  # resamples


@dataclass(frozen=True)
class Design:
    """A labelled set with its groups (patients or lesions).

    Args:
        labels: (N,) class indices.
        group: (N,) codes 0 … M−1.
        stratum: (M,) class within which a group is resampled.
        classes: number of classes.
    """

    labels: np.ndarray
    group: np.ndarray
    stratum: np.ndarray
    classes: int

    @cached_property
    def sizes(self) -> np.ndarray:
        """(C,) groups of each stratum."""
        return np.bincount(self.stratum, minlength=self.classes)

    def groups_of(self, c: int) -> int:
        """How many groups have an image of class c."""
        return len(np.unique(self.group[self.labels == c]))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums (M, K) over each group's images of values (N, K), float32."""
        return np.add.reduceat(
            np.asarray(values, np.float64)[self._order], self._starts, axis=0
        ).astype(np.float32)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.group, kind="stable")

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.searchsorted(self.group[self._order], np.arange(len(self.stratum)))


def make_design(labels: np.ndarray, groups: np.ndarray, classes: int) -> Design:
    """The design of labels (N,) and group ids (N,). A group's stratum is the rarest class among its images."""
    labels = np.asarray(labels)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(labels, minlength=classes)
    rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    lowest = np.full(group.max() + 1, classes)
    np.minimum.at(lowest, group, rank[labels])
    return Design(labels, group, np.argsort(rank)[lowest], classes)


@dataclass(frozen=True)
class Resamples:
    """Resamples of a set's groups: bootstrap weights, and jackknife weights that leave out one block.

    Args:
        design: the set.
        weights: (R + J, M) of the groups; the bootstrap's R rows first.
        strata: (J,) class of each jackknife block.
    """

    design: Design
    weights: np.ndarray
    strata: np.ndarray

    @classmethod
    def draw(
        cls, design: Design, count: int, seed: int, *stream: str, jackknife_first: bool = True
    ) -> Resamples:
        """`count` bootstrap resamples and the jackknife of a set, from one stream of random numbers.

        Args:
            design: the set.
            count: R.
            seed, stream: name the stream.
            jackknife_first: which of the two draws first; published intervals rest on the order.
        """
        rng = np.random.default_rng(stream_seed(seed, *stream))
        strata = _jackknife_strata(design)
        weights = np.ones((count + len(strata), len(design.stratum)), np.float32)
        if jackknife_first:
            _leave_out_blocks(design, weights[count:], rng)
        _resample_groups(design, weights[:count], rng)
        if not jackknife_first:
            _leave_out_blocks(design, weights[count:], rng)
        return cls(design, weights, strata)

    def components(self, values: np.ndarray) -> list[Component]:
        """Variance over groups of a value under each weighting, (R + J, S) by seed or (R + J,)."""
        count = len(self.weights) - len(self.strata)
        return group_components(values[:count], values[count:], self.strata)


def bootstrap_weights(design: Design, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(R, M) float32: within each class, m − 1 of its m groups drawn with replacement, times m/(m − 1).

    The rescaled bootstrap (Rao and Wu 1988): variances of linear statistics come out unbiased,
    where drawing m would make them (m − 1)/m too small. A class with a single group keeps weight 1.
    """
    weights = np.ones((resamples, len(design.stratum)), np.float32)
    _resample_groups(design, weights, rng)
    return weights


def _resample_groups(design: Design, weights: np.ndarray, rng: np.random.Generator) -> None:
    """Write the weights of `bootstrap_weights` over ones (R, M)."""
    for members in _strata(design):
        m = len(members)
        for start in range(0, len(weights) if m > 1 else 0, ROWS_AT_ONCE):
            part = weights[start : start + ROWS_AT_ONCE]
            drawn = rng.multinomial(m - 1, np.full(m, 1 / m), size=len(part))
            part[:, members] = drawn * (m / (m - 1))


def jackknife_weights(design: Design, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights (J, M) that leave out one block of groups of one class each, and that class (J,).

    Blocks are single groups, or BLOCKS random parts of a class with more groups than that.
    """
    strata = _jackknife_strata(design)
    weights = np.ones((len(strata), len(design.stratum)), np.float32)
    _leave_out_blocks(design, weights, rng)
    return weights, strata


def _jackknife_strata(design: Design) -> np.ndarray:
    """(J,) the class of each jackknife block; a class with a single group has none."""
    blocks = np.where(design.sizes > 1, np.minimum(design.sizes, BLOCKS), 0)
    return np.repeat(np.arange(design.classes), blocks)


def _leave_out_blocks(design: Design, weights: np.ndarray, rng: np.random.Generator) -> None:
    """Write the weights of `jackknife_weights` over ones (J, M)."""
    rows = iter(weights)
    for members in _strata(design):
        if len(members) < 2:
            continue
        for block in np.array_split(rng.permutation(members), min(len(members), BLOCKS)):
            row = next(rows)
            row[members] = len(members) / (len(members) - len(block))
            row[block] = 0


def _strata(design: Design) -> list[np.ndarray]:
    return [np.flatnonzero(design.stratum == c) for c in range(design.classes) if design.sizes[c]]


def replicates(
    design: Design, probabilities: np.ndarray, log_prior: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric of metrics.METRICS under each weighting.

    ECE has the full set's bins throughout; a class whose weights vanish is left out.

    Args:
        design: the set.
        probabilities: (S, N, C).
        log_prior: (C,) or (N, C).
        weights: (R, M).

    Returns:
        {metric: (R, S)} and "recall" (R, S, C).
    """
    seeds, labels = len(probabilities), design.labels
    onehot = np.eye(design.classes)[labels]
    adjusted = decide(probabilities, log_prior) == labels
    hits = weights @ design.sums(
        (adjusted.T[:, :, None] * onehot[:, None]).reshape(len(labels), -1)
    )
    counts = weights @ design.sums(onehot)
    share = hits.reshape(len(weights), seeds, -1) / np.maximum(counts, 1e-9)[:, None]
    recall = np.where(counts[:, None] > 0, share, np.nan)
    losses = [of(labels, probabilities) for of in (log_losses, brier_losses)]
    values = np.concatenate([probabilities.argmax(-1) == labels, *losses])
    means = means_under(design, values.T, weights)
    accuracy, log_loss, brier = means.reshape(len(weights), 3, seeds).swapaxes(0, 1)
    return {
        "balanced_accuracy": np.nanmean(recall, 2),
        "macro_auroc": _auroc(design, probabilities, weights, counts),
        "accuracy": accuracy,
        "log_loss": log_loss,
        "brier": brier,
        "ece": _ece(design, probabilities, weights),
        "recall": recall,
    }


def means_under(design: Design, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means (R, K) of values (N, K) under each weighting (R, M)."""
    sums = weights @ design.sums(np.concatenate([values, np.ones((len(values), 1))], 1))
    return sums[:, :-1] / sums[:, -1:]


def _auroc(
    design: Design, probabilities: np.ndarray, weights: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Macro mean (R, S) over classes of Σ w⁺ w⁻ K / (W⁺ W⁻), K = [positive above negative] with ties one half."""
    total, used = np.zeros((len(weights), len(probabilities))), np.zeros((len(weights), 1))
    for c in np.flatnonzero(np.bincount(design.labels, minlength=design.classes)):
        positive = design.labels == c
        if positive.all():
            continue
        pairs = counts[:, c].astype(np.float64) * (counts.sum(1) - counts[:, c])
        used[:, 0] += pairs > 0
        is_fewer = positive.sum() <= (~positive).sum()
        fewer, more = (positive, ~positive) if is_fewer else (~positive, positive)
        for s, scores in enumerate(probabilities[..., c].astype(np.float32)):
            above = _above(design, scores, np.flatnonzero(fewer), np.flatnonzero(more), weights)
            share = above / np.maximum(pairs, 1e-9)
            total[:, s] += np.where(pairs > 0, share if is_fewer else 1 - share, 0)
    return np.where(used > 0, total / np.maximum(used, 1), np.nan)


def _above(
    design: Design, scores: np.ndarray, fewer: np.ndarray, more: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(R,) Σ w v [score of a `fewer` image above that of a `more` image], ties one half, over all such pairs.

    By running sums of the weights in the order of the scores: the time grows with images, not with pairs.
    """
    ranked = more[np.argsort(scores[more], kind="stable")]
    low, high = (np.searchsorted(scores[ranked], scores[fewer], side) for side in ("left", "right"))
    above = np.zeros(len(weights))
    at_once = max(1, RUNNING_SUMS // (len(more) + 1))
    for start in range(0, len(weights), at_once):
        part = weights[start : start + at_once]
        below = np.zeros((len(part), len(more) + 1))
        np.cumsum(part[:, design.group[ranked]], axis=1, dtype=np.float64, out=below[:, 1:])
        above[start : start + at_once] = np.einsum(
            "rp,rp->r", below[:, low] + below[:, high], part[:, design.group[fewer]]
        )
    return above / 2


def _ece(design: Design, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    values, squared = [], weights**2
    for one in probabilities:
        confidence = one.max(-1)
        miss = (confidence - (one.argmax(-1) == design.labels))[:, None]
        onehot = np.eye(BINS)[confidence_bins(confidence, BINS)]
        mass, missed, missed_squared = (
            design.sums(onehot * power) for power in (np.ones_like(miss), miss, miss**2)
        )
        values.append(
            debiased_bins(
                weights @ mass, weights @ missed, squared @ mass, squared @ missed_squared
            )
        )
    return np.stack(values, 1)
