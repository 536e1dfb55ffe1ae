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
        if jackknife_first:
            blocks, strata = jackknife_weights(design, rng)
            boot = bootstrap_weights(design, count, rng)
        else:
            boot = bootstrap_weights(design, count, rng)
            blocks, strata = jackknife_weights(design, rng)
        return cls(design, np.concatenate([boot, blocks]), strata)

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
    for members in _strata(design):
        m = len(members)
        if m > 1:
            weights[:, members] = rng.multinomial(m - 1, np.full(m, 1 / m), size=resamples) * (
                m / (m - 1)
            )
    return weights


def jackknife_weights(design: Design, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights (J, M) that leave out one block of groups of one class each, and that class (J,).

    Blocks are single groups, or BLOCKS random parts of a class with more groups than that.
    """
    rows, strata = [], []
    for members in _strata(design):
        blocks = min(len(members), BLOCKS)
        if blocks < 2:
            continue
        for block in np.array_split(rng.permutation(members), blocks):
            row = np.ones(len(design.stratum), np.float32)
            row[members] = len(members) / (len(members) - len(block))
            row[block] = 0
            rows.append(row)
            strata.append(design.stratum[members[0]])
    return (np.array(rows, np.float32).reshape(-1, len(design.stratum)), np.array(strata, np.int64))


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
    """Σ w⁺ w⁻ K / (W⁺ W⁻), K = [positive above negative] with ties one half; macro mean, (R, S)."""
    of_image, scores = weights[:, design.group], probabilities.astype(np.float32)
    total, used = np.zeros((len(weights), len(scores))), np.zeros((len(weights), 1))
    for c in np.flatnonzero(np.bincount(design.labels, minlength=design.classes)):
        positive = design.labels == c
        if positive.all():
            continue
        fewer, more = (
            (positive, ~positive) if positive.sum() <= (~positive).sum() else (~positive, positive)
        )
        left, right, sign = of_image[:, fewer], of_image[:, more], 1 if fewer is positive else -1
        pairs = counts[:, c].astype(np.float64) * (counts.sum(1) - counts[:, c])
        used[:, 0] += pairs > 0
        for s, one in enumerate(scores[..., c]):
            # (more, fewer): 1 above, 0 level, −1 below
            kernel = np.sign(one[fewer] - one[more, None], dtype=np.float32)
            above = np.einsum("rp,rp->r", right @ kernel, left).astype(np.float64) * sign
            total[:, s] += np.where(pairs > 0, above / np.maximum(pairs, 1e-9) / 2 + 0.5, 0)
    return np.where(used > 0, total / np.maximum(used, 1), np.nan)


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
