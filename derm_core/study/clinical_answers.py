"""What a reviewer asks of a study, as records: sensitivity, net benefit, subgroup tests, another head, cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..machine import Power
from ..records import named, optional
from ..stats.evaluation import Metrics
from ..stats.intervals import Difference, Interval
from ..stats.operating_point import Numbers


@dataclass(frozen=True, kw_only=True)
class SensitivityAt:
    """One arm at its threshold from validation: what that threshold gives on test.

    Args:
        threshold: mean over seeds and folds.
        sensitivity, specificity: on the test images.
    """

    threshold: float | None
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, kw_only=True)
class SensitivityLevel:
    """Every arm with thresholds that reach one specificity on validation.

    Args:
        specificity: wanted, 0 to 1.
        arms: {arm: what its threshold gives}.
        differences: in sensitivity, of each arm and the opponent.
    """

    specificity: float
    arms: dict[str, SensitivityAt]
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FixedSpecificity:
    """Sensitivity for one class at fixed specificities; images and groups of that class."""

    class_name: str = field(metadata=named("class"))
    images: int
    groups: int
    opponent: str | None
    levels: tuple[SensitivityLevel, ...]


@dataclass(frozen=True, kw_only=True)
class NetBenefitCurve:
    """Net benefit at each threshold, and how far it is above the better of calling all images and none.

    Args:
        mean, low, high: net benefit with its 95 % interval.
        gain, gain_low, gain_high: the same less that of the better of the two.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    gain: Numbers
    gain_low: Numbers
    gain_high: Numbers


@dataclass(frozen=True, kw_only=True)
class NetBenefit:
    """Decision curves for one class.

    Args:
        prevalence: share of the test images that are of the class.
        thresholds: (K,) probabilities of the class from which an image is called.
        treat_all: (K,) net benefit of calling every image; that of calling none is 0.
    """

    class_name: str = field(metadata=named("class"))
    prevalence: float
    thresholds: tuple[float, ...]
    treat_all: tuple[float, ...]
    arms: dict[str, NetBenefitCurve]


@dataclass(frozen=True, kw_only=True)
class SubgroupTest:
    """One subgroup against the rest in balanced accuracy: of an arm, or of the difference of two arms.

    Args:
        value: the subgroup.
        arm: whose balanced accuracy it is.
        opponent: the arm whose balanced accuracy is subtracted first; None: no other arm.
        classes: number of classes that both sides have, over which both are compared.
        change: subgroup less the rest.
        p: two-sided.
        p_holm: corrected over subgroups, attributes and arms, each attribute of an arm with the same
            weight.
    """

    value: str
    arm: str
    opponent: str | None = optional()
    classes: int
    change: Interval
    p: float | None
    p_holm: float | None

    @property
    def differs(self) -> bool:
        """Whether the subgroup is shown to differ from the rest."""
        return self.p_holm is not None and self.p_holm < 0.05


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """Every arm with a linear head in place of the one with two layers, on the same features.

    Args:
        strengths: the penalties that validation selects from.
        chosen: {arm: the penalties chosen, one a matrix of features and fold}.
        arms: {arm: balanced accuracy and macro-AUROC}.
        differences: of each arm and the opponent in both metrics.
    """

    opponent: str | None = None
    strengths: tuple[float, ...] = ()
    chosen: dict[str, tuple[float, ...]] = field(default_factory=dict)
    arms: dict[str, Metrics] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    note: str = ""
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class ArmCost:
    """What one arm cost on this machine; None where it is not known. In folds seconds are those of all folds.

    Args:
        pretraining_images: different images that its weights were pretrained on (in folds, the mean).
        pretraining_seconds: of pretraining runs in this workspace; 0 where nothing was pretrained.
        head_images: training images of its heads (in folds, the mean).
        feature_seconds: of the extraction of its features, when they were computed.
        head_seconds: of its heads on the whole grid, its share by width of the features.
        energy_kwh: of those of these seconds that are known.
    """

    pretraining_images: float | None = None
    pretraining_seconds: float | None = None
    head_images: float | None = None
    feature_seconds: float | None = None
    head_seconds: float | None = None
    energy_kwh: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Images, seconds and estimated energy of every arm; power: {"cpu" or "cuda": watts, and their source}."""

    arms: dict[str, ArmCost] = field(default_factory=dict)
    power: dict[str, Power] = field(default_factory=dict)
