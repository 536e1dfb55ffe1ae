"""The answers to a study's questions as records: breakdown, fewer labels, corruptions, shortcut, external test sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.audit import MISSING, OTHER
from ..records import named, optional
from ..stats.evaluation import ClassRecall, Metrics
from ..stats.intervals import Difference, Interval
from ..stats.operating_point import Numbers, OperatingCurve
from ..stats.reliability import ReliabilityBin
from .clinical_answers import FixedSpecificity, NetBenefit, SubgroupTest
from .looks import Looks


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One value of an attribute; `caution` where it has fewer than 20 groups."""

    value: str
    images: int
    groups: int
    classes: int
    caution: bool
    arms: dict[str, Metrics]

    @property
    def comparable(self) -> bool:
        """Whether the value is known and has enough groups to be tested."""
        return not self.caution and self.value not in (MISSING, OTHER)


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """One attribute: its values, per arm the value with the lowest balanced accuracy, and tests of each value."""

    attribute: str
    values: tuple[Subgroup, ...]
    worst: dict[str, str | None]
    tests: tuple[SubgroupTest, ...] = optional(())

    def is_worst(self, arm: str) -> bool:
        """Whether the value with the lowest estimate is shown to be below the others."""
        rows = [row for row in self.tests if row.arm == arm and row.opponent is None]
        own = [row for row in rows if row.value == self.worst[arm]]
        if not own and sum(value.comparable for value in self.values) == 2:
            # Of two values the first alone is tested: the second is worse where the first is better.
            return any(row.differs and row.change.sign > 0 for row in rows)
        return any(row.differs and row.change.sign < 0 for row in own)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Reliability of one arm before and after temperature scaling.

    Args:
        temperature: in folds the mean over folds.
        temperatures: one a fold.
        class_name: whose probability has the "slope" and "intercept" in before and after; None where
            none is called.
        before, after: {metric: interval}.
    """

    temperature: float
    temperatures: tuple[float, ...] | None = optional()
    class_name: str | None = field(
        default=None, metadata={"name": "class", "optional": True, "omitted": None}
    )
    bins: tuple[ReliabilityBin, ...]
    bins_after: tuple[ReliabilityBin, ...]
    before: Metrics
    after: Metrics


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Sensitivity for one class against the rest at each specificity."""

    class_name: str = field(metadata=named("class"))
    images: int
    groups: int
    specificity: tuple[float, ...]
    arms: dict[str, OperatingCurve]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Decisions of two arms: counts (C, C), a's class by row and b's by column, and who is right."""

    a: str
    b: str
    matrix: tuple[tuple[float, ...], ...]
    both_right: int
    a_only: int
    b_only: int
    both_wrong: int


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The test set looked at more closely: subgroups, calibration, one class against the rest, disagreement."""

    subgroups: tuple[Subgroups, ...] = ()
    calibration: dict[str, Calibration] = field(default_factory=dict)
    operating_point: OperatingPoint | None = None
    fixed_specificity: FixedSpecificity | None = optional()
    net_benefit: NetBenefit | None = optional()
    disagreement: tuple[Disagreement, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One arm trained with a share of the labels."""

    arm: str
    fraction: float
    images: float | None
    groups: float | None
    balanced_accuracy: Interval
    macro_auroc: Interval
    accuracy: Interval
    by_seed: Numbers = ()


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The share of labels at which one arm overtakes the other."""

    pair: tuple[str, ...] = ()
    fraction: float | None = None
    shown: bool = False
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class SharedLabels:
    """Label efficiency once more with one setting for all arms."""

    rows: tuple[LabelRow, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabelEfficiency:
    """Heads trained on shares of the training groups, with the number of updates fixed.

    Args:
        setting: of earlier versions, the one for all arms, at which their rows are.
        shared: the same with one setting for all arms.
    """

    fractions: tuple[float, ...] = ()
    updates: int | None = None
    note: str = ""
    setting: dict[str, float] | None = optional()
    rows: tuple[LabelRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    crossing: Crossing | None = None
    shared: SharedLabels | None = optional()
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One arm under one corruption at one severity; without severity, the mean over severities."""

    arm: str
    family: str
    severity: int | None = optional()
    balanced_accuracy: Interval | None = optional()
    relative_loss: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The test repeated under image corruptions; relative_loss is the share of the clean balanced accuracy lost."""

    families: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    clean: Metrics = field(default_factory=dict)
    rows: tuple[RobustnessRow, ...] = ()
    families_summary: tuple[RobustnessRow, ...] = ()
    mean: Metrics = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    images: int | None = None
    precision: str | None = None
    note: str = ""
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class ShortcutRow:
    """One arm at one strength of the artefact's tie: balanced accuracy on three test sets, and the reliance."""

    arm: str
    strength: float
    clean: Interval
    aligned: Interval
    reversed: Interval
    reliance: Interval


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """An artefact tied to one class in training, and the other way round in test.

    Args:
        share: of the training images, those of the class.
        reference: reliance, at each strength, of a predictor that sees the artefact alone.
    """

    class_name: str = field(default="", metadata={"name": "class"})
    share: float | None = None
    artefact: str = ""
    base: float | None = None
    strengths: tuple[float, ...] = ()
    rows: tuple[ShortcutRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    reference: Numbers = ()
    text: str = ""
    note: str = optional("")
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class SaliencyRow:
    """How much of one arm's evidence lies inside the lesion masks of a sample of test images.

    Args:
        inside: the share of each image's saliency map inside its mask, mean over images.
        area: the share of the area that the masks have of the same images: what an even map has inside.
        above_area: inside less area, paired image by image.
        images: with a map that is not 0 everywhere.
        method: what the maps are.
    """

    arm: str
    inside: Interval
    area: float
    above_area: Interval
    images: int
    method: str


@dataclass(frozen=True, kw_only=True)
class SaliencyInside:
    """The share of saliency inside the lesion, of every arm that reads an image.

    Args:
        left_out: {arm: why it has none}.
        sampled: images that were drawn.
        masked: test images with a mask, from which they were drawn.
        seed: the training seed whose classifiers were explained.
    """

    rows: tuple[SaliencyRow, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    sampled: int = 0
    masked: int = 0
    seed: int = 0
    note: str = ""
    seconds: float | None = optional()

    def of_arm(self, arm: str) -> SaliencyRow | None:
        """The row of an arm; None where it has none."""
        return next((row for row in self.rows if row.arm == arm), None)


@dataclass(frozen=True, kw_only=True)
class ExternalSet:
    """The same trained models on another labelled dataset.

    Args:
        groups_known: whether a patient or lesion is known of any image of the dataset; None in
            results of earlier versions.
        left_out: {their class: its images} that have no class here.
        absent: classes that the set does not have.
        map: {their class: ours}.
        leak: images that are also in the training data, by how they were recognised.
        drop: {arm: the study's own test set less this one}.
        looks: how often its images had been looked at before; None in results of earlier versions.
        known_as: name of the public data set that it is.
    """

    dataset: str
    images: int
    groups: int
    arms: dict[str, Metrics]
    groups_known: bool | None = optional()
    left_out: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    map: dict[str, str] = field(default_factory=dict)
    leak: dict[str, int] = field(default_factory=dict)
    majority: Metrics = field(default_factory=dict)
    per_class: dict[str, tuple[ClassRecall, ...]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    confusion: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()
    drop: Metrics = field(default_factory=dict)
    drop_differences: tuple[Difference, ...] = ()
    looks: Looks | None = optional()
    known_as: str | None = optional()
    note: str = ""
    subgroups: tuple[Subgroups, ...] = optional(())
