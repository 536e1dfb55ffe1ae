"""The result of a comparison of brought predictions, as records."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.prediction_records import OwnLabels
from ..records import named
from ..stats.evaluation import ClassRecall
from ..stats.intervals import Difference, Interval
from ..stats.operating_point import OperatingCurve
from .answers import Subgroups
from .predictions_audit import SplitAudit


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model on all of its own images.

    Attributes:
        images: that its file names; matched: those in the dataset; unmatched: the first of the others.
        tested: those with a label, which the numbers are of; groups: of these.
        labels_given, labels_agree: images with a true label in the file, and with the dataset's.
        decision: whose balanced accuracy and accuracy it is: "predicted label", "most probable class" or
            "prior-adjusted class" (accuracy then of the most probable class).
        seeds: repeats.
        macro_auroc, accuracy, ece: estimates; None where the file has labels alone.
        intervals: of every metric that it has.
        by_own_labels: what the file gives by itself, on all of its images.
    """

    images: int
    matched: int
    tested: int
    groups: int
    labels_given: int | None
    labels_agree: int | None
    decision: str
    seeds: int
    balanced_accuracy: Interval
    macro_auroc: float | None
    accuracy: float | None
    ece: float | None
    intervals: dict[str, Interval]
    per_class: tuple[ClassRecall, ...]
    cautions: tuple[str, ...]
    unmatched: tuple[str, ...]
    by_own_labels: OwnLabels | None


@dataclass(frozen=True, kw_only=True)
class TargetPoints:
    """Sensitivity for one class at SPECIFICITIES, on the tested images' own ROC curves."""

    class_name: str = field(metadata=named("class"))
    specificities: tuple[float, ...]
    models: dict[str, OperatingCurve]


@dataclass(frozen=True, kw_only=True)
class PredictionsCompared:
    """Everything that is measured of brought predictions.

    Attributes:
        verdict: which model is the most accurate, where that is shown, and which cannot be told apart.
        split: what the split tore apart, in words.
        images_compared: that all models share and that pairs are compared on.
        differences: of every pair, the more accurate model first; ties: groups not told apart.
    """

    dataset: str
    verdict: tuple[str, ...]
    split: tuple[str, ...]
    classes: tuple[str, ...]
    models: dict[str, ModelResult]
    images_compared: int
    differences: tuple[Difference, ...]
    ties: tuple[tuple[str, ...], ...]
    audit: SplitAudit
    operating_points: TargetPoints | None
    subgroups: tuple[Subgroups, ...]
    notes: tuple[str, ...]
