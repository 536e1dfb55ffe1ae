"""Paired comparison of models on one test set: the same resamples of its groups for all, seed by seed.

    scorer = Scorer(labels, groups, classes, resamples=2000, seed=0)
    clean, hard = scorer.balanced_accuracy(decisions), scorer.balanced_accuracy(others)      (S, n) classes
    combine(lambda a, b: 1 - b / a, clean, hard).interval()

What is computed from estimates of one scorer is paired over groups, and over seeds where both have
as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .intervals import FEW_GROUPS, Component, Interval, fold_component, interval
from .resampling import Resamples, make_design, means_under

Pair = tuple[str, str]


def arm_pairs(arms: Sequence[str], first: Pair | None = None) -> list[Pair]:
    """Every pair of arms once; the pair `first`, where both are there, in front and in its own direction."""
    pairs = list(combinations(arms, 2))
    if first is None or not set(first) <= set(arms):
        return pairs
    return [first, *(pair for pair in pairs if set(pair) != set(first))]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value on the full set and under every resample.

    Args:
        by_seed: (S,) on the full set.
        drawn: (R + J, S) under each weighting.
        resamples: the weightings.
        by_fold: (K, S) in each fold of out-of-fold predictions.
    """

    by_seed: np.ndarray
    drawn: np.ndarray
    resamples: Resamples
    by_fold: np.ndarray | None = None

    def __sub__(self, other: Estimate) -> Estimate:
        return combine(np.subtract, self, other)

    @property
    def fold_means(self) -> tuple[float, ...] | None:
        """(K,) the value in each fold, mean over seeds; None without folds."""
        return None if self.by_fold is None else tuple(self.by_fold.mean(1).tolist())

    def components(self) -> list[Component]:
        """Variance over groups, split over classes, and what differs between folds beyond it."""
        parts = self.resamples.components(self.drawn)
        if self.by_fold is None:
            return parts
        return parts + fold_component(self.by_fold, parts, self.by_seed)

    def interval(self, metric: str = "", groups: int | None = None) -> Interval:
        """Its 95 % interval.

        Args:
            metric: as of `intervals.interval`, "" for a difference.
            groups: number of groups behind the value, by default all of the set.
        """
        if groups is None:
            groups = len(self.resamples.design.stratum) if metric else FEW_GROUPS
        return interval(self.by_seed, self.components(), groups, metric)


def combine(function: Callable[..., np.ndarray], *estimates: Estimate) -> Estimate:
    """`function` of estimates on the same groups: seed by seed where all have as many seeds, else of their means."""
    by_seed = [estimate.by_seed for estimate in estimates]
    drawn = [estimate.drawn for estimate in estimates]
    by_fold = [estimate.by_fold for estimate in estimates if estimate.by_fold is not None]
    if len({len(values) for values in by_seed}) > 1:
        by_seed = [values.mean(keepdims=True) for values in by_seed]
        drawn = [values.mean(1, keepdims=True) for values in drawn]
        by_fold = [values.mean(1, keepdims=True) for values in by_fold]
    with np.errstate(divide="ignore", invalid="ignore"):
        whole, under = (np.asarray(function(*values)) for values in (by_seed, drawn))
        each = function(*by_fold) if len(by_fold) == len(estimates) else None
    return Estimate(whole, under, estimates[0].resamples, each)


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates of the same groups and seeds."""
    return combine(lambda *values: np.mean(values, 0), *estimates)


def independent_difference(a: Estimate, b: Estimate) -> Interval:
    """a − b on two sets of different groups, with the same seeds: the variances over groups add."""
    return interval(a.by_seed - b.by_seed, [*a.components(), *b.components()], FEW_GROUPS)


class Scorer:
    """A labelled test set with its resamples.

    Args:
        labels: (n,) class indices.
        groups: (n,) ids of patients or lesions.
        classes: number of classes.
        resamples: number of bootstrap resamples.
        seed: of the resamples.
        folds: (n,) the fold of each image of out-of-fold predictions; None where one model an arm
            and seed has tested all images.
    """

    def __init__(
        self,
        labels: np.ndarray,
        groups: np.ndarray,
        classes: int,
        *,
        resamples: int,
        seed: int,
        folds: np.ndarray | None = None,
    ):
        self.design = make_design(labels, groups, classes)
        self.resamples = Resamples.draw(
            self.design, resamples, seed, "bootstrap", jackknife_first=False
        )
        self.images_of_folds = [] if folds is None else [folds == fold for fold in np.unique(folds)]
        self._onehot = np.eye(classes)[self.design.labels]
        self._counts = self.resamples.weights @ self.design.sums(self._onehot)

    def estimate(
        self, by_seed: np.ndarray, drawn: np.ndarray, by_fold: Sequence[np.ndarray] = ()
    ) -> Estimate:
        """An estimate from values (S,) on the full set, (R + J, S) under the weightings and (S,) in each fold."""
        return Estimate(by_seed, drawn, self.resamples, np.stack(by_fold) if len(by_fold) else None)

    def balanced_accuracy(self, decisions: np.ndarray, among: np.ndarray | None = None) -> Estimate:
        """Balanced accuracy of decisions (S, n), over the classes that have images and, where given, are in `among`.

        among: (C,) bool.
        """
        correct, seeds = np.asarray(decisions) == self.design.labels, len(decisions)
        images = self._onehot.sum(0)
        present = (images > 0) if among is None else (images > 0) & among
        by_seed = (correct @ self._onehot)[:, present] / images[present]
        by_fold = [self._recalls(correct, here)[:, present] for here in self.images_of_folds]
        onehot = correct.T[:, :, None] * self._onehot[:, None]
        hits = self.resamples.weights @ self.design.sums(onehot.reshape(correct.shape[1], -1))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = hits.reshape(len(hits), seeds, -1) / self._counts[:, None]
        return self.estimate(
            by_seed.mean(1),
            np.nanmean(share[:, :, present], 2),
            [np.nanmean(recalls, 1) for recalls in by_fold],
        )

    def _recalls(self, correct: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Recall (S, C) of some of the images; NaN of a class that has none there."""
        counts = self._onehot[images].sum(0)
        hits = correct[:, images] @ self._onehot[images]
        return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)

    def mean(self, values: np.ndarray) -> Estimate:
        """The mean of one number an image and seed (S, n)."""
        return self.estimate(
            values.mean(1),
            means_under(self.design, values.T, self.resamples.weights),
            [values[:, here].mean(1) for here in self.images_of_folds],
        )
