"""Calling one class against the rest: operating points, sensitivity at a fixed specificity, net benefit.

The class is the config's, else melanoma, else the high priority. Thresholds are chosen on validation,
seed by seed, and in folds on the validation images of each fold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..config import StudyConfig
from ..events import TICK, Event
from ..records import require
from ..stats.decision_curve import THRESHOLDS, net_benefit_values, treat_all_values
from ..stats.image_means import image_means
from ..stats.intervals import Difference, Interval
from ..stats.multiple_tests import with_holm
from ..stats.operating_point import (
    SPECIFICITY,
    OperatingCurve,
    image_thresholds,
    operating_point,
)
from ..stats.paired import Estimate
from ..stats.recalibration import unstratified
from ..stats.resampling import Resamples
from .answers import OperatingPoint
from .clinical_answers import (
    FixedSpecificity,
    NetBenefit,
    NetBenefitCurve,
    SensitivityAt,
    SensitivityLevel,
)
from .tested_images import TestedImages

if TYPE_CHECKING:  # it loads torch
    from .trained_arm import TrainedArm, TrainedStudy

MELANOMA = ("mel", "melanoma", "high")


def target_class(config: StudyConfig, classes: Sequence[str]) -> str | None:
    """The class that is called: the config's, else melanoma, else the high priority; None where there is none.

    Raises:
        ConfigError: where the config names a class that is not there.
    """
    wanted = config.target_class
    require(wanted is None or wanted in classes, "target_class", wanted, ", ".join(classes))
    return wanted or melanoma_class(classes)


def melanoma_class(classes: Sequence[str]) -> str | None:
    """Melanoma, else the high priority; None where there is neither."""
    known = {name.lower(): name for name in reversed(list(classes))}
    return next((known[name] for name in MELANOMA if name in known), None)


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """One class against the rest.

    Args:
        index: of the class.
        positive: (n,) bool, the test images of the class.
    """

    study: TrainedStudy
    test: TestedImages
    name: str
    index: int
    positive: np.ndarray

    @cached_property
    def unstratified(self) -> Resamples:
        """Resamples of the test groups in which the share of the class varies."""
        return unstratified(self.positive, self.test.groups, self.test.bootstrap, self.test.seed)

    @property
    def groups(self) -> int:
        """How many test groups have an image of the class."""
        return len(np.unique(self.test.groups[self.positive]))

    def scores(self, arm: str) -> np.ndarray:
        """Probabilities of the class (S, n) on test."""
        return self.test.probabilities[arm][..., self.index]

    def validation(self, arm: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Positive (m,) and scores (S, m) on validation; None where a side has no image."""
        one = self.study.trained[arm]
        positive = self.study.data.labels[one.positions["val"]] == self.index
        of_val, _ = self.folds(arm) or (np.zeros(len(positive)), None)
        sides = [positive[of_val == fold] for fold in np.unique(of_val)]
        if not all(side.any() and not side.all() for side in sides):
            return None
        return positive, one.probabilities["val"][..., self.index]

    def folds(self, arm: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The fold of each validation and of each test image; None on one split."""
        one: TrainedArm = self.study.trained[arm]
        return (one.folds["val"], one.folds["test"]) if one.folds else None


def find_target(study: TrainedStudy, test: TestedImages) -> Target | None:
    """The class that is called, where test images are on both sides of it."""
    name = target_class(study.config, study.data.classes)
    if name is None:
        return None
    index = list(study.data.classes).index(name)
    positive = test.labels == index
    both_sides = positive.any() and not positive.all()
    return Target(study, test, name, index, positive) if both_sides else None


def operating_points(target: Target) -> Generator[Event, None, OperatingPoint | None]:
    """The curve of every arm; None where validation has one side alone."""
    config, arms = target.study.config, dict[str, OperatingCurve]()
    for arm in target.test.probabilities:
        if val := target.validation(arm):
            arms[arm] = operating_point(
                val,
                (target.positive, target.test.groups, target.scores(arm)),
                resamples=config.bootstrap,
                seed=config.split_seed,
                folds=target.folds(arm),
            )
        yield TICK
    if not arms:
        return None
    return OperatingPoint(
        class_name=target.name,
        images=int(target.positive.sum()),
        groups=target.groups,
        specificity=tuple(SPECIFICITY.tolist()),
        arms=arms,
    )


def fixed_specificity(target: Target) -> Generator[Event, None, FixedSpecificity | None]:
    """Sensitivity at the config's specificities, and its difference to the opponent; Holm corrects over all of them."""
    test, levels = target.test, np.array(target.study.config.specificities)
    cuts: dict[str, np.ndarray] = {}
    caught: dict[str, list[Estimate]] = {}
    spared: dict[str, list[Estimate]] = {}
    for arm in test.probabilities:
        if val := target.validation(arm):
            cuts[arm] = image_thresholds(val, levels, target.folds(arm))
            called = target.scores(arm)[:, :, None] > cuts[arm]
            caught[arm] = image_means(test.resamples, called, target.positive, test.folds)
            spared[arm] = image_means(test.resamples, ~called, ~target.positive, test.folds)
        yield TICK
    if not caught or not len(levels):
        return None
    others = len(np.unique(test.groups[~target.positive]))
    pairs = _against(list(caught), test.opponent)
    rows = [
        Difference.of(a, b, (caught[a][k] - caught[b][k]).interval(), metric="sensitivity")
        for k in range(len(levels))
        for a, b in pairs
    ]
    tested = with_holm(rows)
    return FixedSpecificity(
        class_name=target.name,
        images=int(target.positive.sum()),
        groups=target.groups,
        opponent=test.opponent,
        levels=tuple(
            SensitivityLevel(
                specificity=float(level),
                arms={
                    arm: SensitivityAt(
                        threshold=float(np.where(np.isfinite(cut), cut, 0.0)[..., k].mean()),
                        sensitivity=caught[arm][k].interval("recall", target.groups),
                        specificity=spared[arm][k].interval("recall", others),
                    )
                    for arm, cut in cuts.items()
                },
                differences=tuple(tested[k * len(pairs) : (k + 1) * len(pairs)]),
            )
            for k, level in enumerate(levels)
        ),
    )


def _against(arms: Sequence[str], opponent: str | None) -> list[tuple[str, str]]:
    """Each arm beside the opponent, which stands second."""
    return [(arm, opponent) for arm in arms if opponent in arms and arm != opponent and opponent]


def net_benefit(target: Target) -> Generator[Event, None, NetBenefit]:
    """The decision curve of every arm against calling every image and none."""
    test, positive = target.test, target.positive
    all_values = treat_all_values(positive)
    treat_all = all_values.mean((0, 1))
    better = np.where(treat_all > 0, all_values, 0.0)
    arms = {}
    for arm in test.probabilities:
        values = net_benefit_values(positive, target.scores(arm))
        of_arm, over = (
            [one.interval() for one in image_means(test.resamples, each, None, test.folds)]
            for each in (values, values - better)
        )
        spans = {**_numbers("", of_arm), **_numbers("gain_", over)}
        arms[arm] = NetBenefitCurve(gain=spans.pop("gain_mean"), **spans)
        yield TICK
    return NetBenefit(
        class_name=target.name,
        prevalence=float(positive.mean()),
        thresholds=tuple(THRESHOLDS.tolist()),
        treat_all=tuple(treat_all.tolist()),
        arms=arms,
    )


def _numbers(prefix: str, each: Sequence[Interval]) -> Mapping[str, tuple[float | None, ...]]:
    names = ("mean", "low", "high")
    return {f"{prefix}{end}": tuple(getattr(one, end) for one in each) for end in names}
