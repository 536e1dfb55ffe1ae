"""Test images with every arm's predictions, under one set of resamples: what breakdowns are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..stats.evaluation import Evaluation, evaluate
from ..stats.resampling import Resamples, make_design
from .roles import choose_pair, opponent

if TYPE_CHECKING:  # it loads torch
    from .trained_arm import TrainedStudy


@dataclass(frozen=True, eq=False)
class TestedImages:
    """Labelled test images of a study or of another dataset.

    Args:
        labels, groups: (n,) class indices and group codes.
        probabilities: {arm: (S, n, C)} plain softmax, float64.
        log_prior: (C,), or (n, C) of out-of-fold predictions.
        classes: names.
        bootstrap: number of resamples.
        seed: of the resamples.
        folds: (n,) the fold of each image of out-of-fold predictions.
    """

    __test__ = False  # for pytest: it is no test

    labels: np.ndarray
    groups: np.ndarray
    probabilities: dict[str, np.ndarray]
    log_prior: np.ndarray
    classes: tuple[str, ...]
    bootstrap: int
    seed: int
    folds: np.ndarray | None = None

    @classmethod
    def of(cls, study: TrainedStudy) -> TestedImages:
        """The study's own test images."""
        data, config = study.data, study.config
        return cls(
            data.labels_of("test"),
            data.groups_of("test"),
            {arm: np.asarray(p, np.float64) for arm, p in study.probabilities("test").items()},
            study.log_prior,
            tuple(data.classes),
            config.bootstrap,
            config.split_seed,
            study.folds,
        )

    @cached_property
    def resamples(self) -> Resamples:
        """The resamples of the images' groups that all paired comparisons share."""
        design = make_design(self.labels, self.groups, len(self.classes))
        return Resamples.draw(design, self.bootstrap, self.seed, "bootstrap", jackknife_first=False)

    @property
    def opponent(self) -> str | None:
        """The arm that others are compared with: ImageNet, or what stands in for it; None where there is no other."""
        pair = choose_pair(list(self.probabilities))
        return opponent(list(self.probabilities)) or (pair[1] if pair else None)

    def prior_of(self, images: slice | np.ndarray) -> np.ndarray:
        """The log prior of some of the images, (C,) or (m, C)."""
        return self.log_prior if self.log_prior.ndim == 1 else self.log_prior[images]

    def evaluate(
        self, probabilities: Mapping[str, np.ndarray], images: slice | np.ndarray = slice(None)
    ) -> Evaluation:
        """All statistics of some of the images, from probabilities (S, n, C) of all of them."""
        return evaluate(
            self.labels[images],
            self.groups[images],
            {arm: p[:, images] for arm, p in probabilities.items()},
            self.prior_of(images),
            self.classes,
            resamples=self.bootstrap,
            seed=self.seed,
            folds=None if self.folds is None else self.folds[images],
        )
