"""Balanced accuracy of many models on one test set, all under the same resamples of its groups.

    scorer = Scorer(labels, groups, classes, resamples=2000, seed=0)
    clean, hard = scorer.balanced_accuracy(decisions), scorer.balanced_accuracy(others)      (S, n) classes
    scorer.interval(combine(lambda a, b: 1 - b / a, clean, hard))

An Estimate carries the seeds' values on the full set and under every resample and jackknife block;
whatever is computed from Estimates of one scorer is therefore paired over groups, and over seeds where
both have as many. Intervals are those of stats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from ..seeds import stream_seed
from .intervals import FEW_GROUPS, Component, components, holm, interval
from .resampling import bootstrap_weights, jackknife_weights, make_design, means_under


class Estimate(NamedTuple):
    """by_seed (S,): on the full set; drawn (R + J, S): under each weighting."""

    by_seed: np.ndarray
    drawn: np.ndarray


def combine(function: Callable, *estimates: Estimate) -> Estimate:
    """`function` of estimates on the same groups: seed by seed where all have as many seeds, else of their means."""
    if len({len(e.by_seed) for e in estimates}) > 1:
        estimates = tuple(
            Estimate(e.by_seed.mean(keepdims=True), e.drawn.mean(1, keepdims=True))
            for e in estimates
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(
            np.asarray(function(*(e.by_seed for e in estimates))),
            np.asarray(function(*(e.drawn for e in estimates))),
        )


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates of the same groups and seeds."""
    return combine(lambda *values: np.mean(values, 0), *estimates)


class Scorer:
    """A labelled test set with its resamples. labels (n,), groups (n,); see the module's docstring."""

    def __init__(
        self, labels: np.ndarray, groups: np.ndarray, classes: int, *, resamples: int, seed: int
    ):
        self.design, self.classes, self.resamples = (
            make_design(labels, groups, classes),
            classes,
            resamples,
        )
        rng = np.random.default_rng(stream_seed(seed, "bootstrap"))
        weights = bootstrap_weights(self.design, resamples, rng)
        left_out, self.strata = jackknife_weights(self.design, rng)
        self.weights = np.concatenate([weights, left_out])
        self._onehot = np.eye(classes)[self.design.labels]
        self._counts = self.weights @ self.design.sums(self._onehot)

    def balanced_accuracy(self, decisions: np.ndarray, among: np.ndarray | None = None) -> Estimate:
        """Of decisions (S, n): the mean recall over the classes that have images, or over those in `among` (C,) bool."""
        correct, seeds = np.asarray(decisions) == self.design.labels, len(decisions)
        images = self._onehot.sum(0)
        present = (images > 0) if among is None else (images > 0) & among
        by_seed = (correct @ self._onehot)[:, present] / images[present]
        hits = self.weights @ self.design.sums(
            (correct.T[:, :, None] * self._onehot[:, None]).reshape(correct.shape[1], -1)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            share = hits.reshape(len(hits), seeds, -1) / self._counts[:, None]
        return Estimate(by_seed.mean(1), np.nanmean(share[:, :, present], 2))

    def mean(self, values: np.ndarray) -> Estimate:
        """Of one number an image and seed (S, n)."""
        return Estimate(values.mean(1), means_under(self.design, values.T, self.weights))

    def parts(self, estimate: Estimate) -> list[Component]:
        """The variance over groups of an estimate, split over classes."""
        return components(
            estimate.drawn[: self.resamples], estimate.drawn[self.resamples :], self.strata
        )

    def interval(self, estimate: Estimate, metric: str = "") -> dict:
        """Its 95 % interval; metric "balanced_accuracy" for a share, which keeps within 0 and 1."""
        groups = len(self.design.stratum) if metric else FEW_GROUPS
        return interval(estimate.by_seed, self.parts(estimate), groups, metric)


def with_tests(rows: list[dict]) -> list[dict]:
    """Rows with an interval of a difference, with "p" of Student's t and "p_holm", Holm's over all of them."""
    for row in rows:
        row["p"] = None
        if row["mean"] is not None:
            size = abs(row["mean"]) / row["se"] if row["se"] > 0 else np.inf if row["mean"] else 0.0
            row["p"] = float(2 * student.sf(size, row["df"]))
    tested = [row for row in rows if row["p"] is not None]
    adjusted = dict(zip(map(id, tested), holm([row["p"] for row in tested]), strict=True))
    return [
        {**row, "p_holm": float(adjusted[id(row)]) if id(row) in adjusted else None} for row in rows
    ]
