"""The parts of a bundle's card, each a record; `card.Card` joins them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..config.shared import Draw, Splits, UsedMarks
from ..data.used_images import SplitRule
from ..records import Range, named, optional

Size = Annotated[int, Range(1, 4096)]
Count = Annotated[int, Range(1, 65536)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Json = Mapping[str, Any]  # shown and stored, never computed with


@dataclass(frozen=True, kw_only=True)
class DecoderSize:
    """latent_dim: Z. size: pixels a side of the image it gives. width: channels."""

    latent_dim: Size
    size: Size
    width: Size


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Type and shape of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The dataset a model was trained on."""

    dataset: str | None = optional()
    images: int | None = optional()
    groups: int | None = optional()
    layout: str | None = optional()
    license: str | None = optional()
    attribution: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the training data was split.

    Attributes:
        splits: "grouped", or "official", that which the dataset names.
        max_images: how many of its images were used; None: all.
        draw: how these were drawn; cards of earlier versions do not say it.
        note: what crosses the official split, where it was used.
        counts, groups: images and groups of each part.
        looked_before: the most earlier runs that tested one of its test images.
        marks: marks of the dataset's images that were used: exclusions and changed labels.
    """

    seed: int | None = None
    splits: Splits = optional("grouped")
    max_images: int | None = None
    draw: Draw = optional("before_split")
    note: str | None = optional()
    fingerprint: str | None = optional()
    counts: Mapping[str, int] | None = optional()
    groups: Mapping[str, int] | None = optional()
    looked_before: int | None = optional()
    marks: UsedMarks | None = optional()

    @property
    def rule(self) -> SplitRule:
        """What gives the images and the split again; images that marks left out are among them."""
        return SplitRule(
            seed=self.seed or 0, splits=self.splits, max_images=self.max_images, draw=self.draw
        )


@dataclass(frozen=True, kw_only=True)
class Priority:
    """map: the triage priority of each class. ours: whether the map is this program's, not the dataset's."""

    map: Mapping[str, str]
    ours: bool | None = optional()


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The temperature that divides the logits, and the log loss before and after on the images it was fitted on."""

    value: Positive
    images: int | None = optional()
    log_loss_before: float | None = optional()
    log_loss_after: float | None = optional()
    fitted_on: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class ConformalThresholds:
    """Thresholds of prediction sets.

    Attributes:
        coverages: threshold by coverage, such as "0.90".
        calibration_groups: groups they were fitted on, one image each.
        test: by coverage, what the sets gave on the test split (conformal.Coverage as JSON).
    """

    method: str | None = optional()
    score: str | None = optional()
    coverages: Mapping[str, Share]
    calibration_groups: int | None = optional()
    calibrated_on: str | None = optional()
    test: Json | None = optional()


@dataclass(frozen=True, kw_only=True)
class OutlierThreshold:
    """kind: what is measured. quantile: share of calibration images below the threshold."""

    kind: str | None = optional()
    threshold: Positive
    quantile: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class OutlierThresholds:
    """When an image is unlike those of training.

    Attributes:
        distance: of the features.
        reconstruction: error of the decoder's image; None without a decoder.
        rates: share of images flagged, by where they come from.
    """

    distance: OutlierThreshold
    reconstruction: OutlierThreshold | None = None
    calibration_groups: int | None = optional()
    rates: Mapping[str, float] | None = optional()


@dataclass(frozen=True, kw_only=True)
class CardOperatingPoint:
    """The threshold for one class that keeps `specificity` on validation, and what it gives on test."""

    class_name: str = field(metadata=named("class"))
    specificity: float
    threshold: float
    chosen_on: str | None = optional()
    sensitivity: Json | None = optional()
    test_specificity: Json | None = optional()
    images: int | None = optional()


@dataclass(frozen=True, kw_only=True)
class DecisionScore:
    """How often one decision is right on test images: intervals with mean, low and high; None where not measured."""

    accuracy: Json | None = None
    balanced_accuracy: Json | None = None


@dataclass(frozen=True, kw_only=True)
class CardDecisions:
    """How often the two decisions are right: the most probable class, and that adjusted for class frequency."""

    most_probable: DecisionScore
    adjusted: DecisionScore


@dataclass(frozen=True, kw_only=True)
class DuplicateThreshold:
    """The distance below which an image repeats a training image, and how many made copies it recognises."""

    threshold: float
    false_alarms: float | None = optional()
    copies: int | None = optional()
    found: Mapping[str, float] | None = optional()


@dataclass(frozen=True, kw_only=True)
class ReferenceListing:
    """The file reference.safetensors beside the model.

    Attributes:
        images: training images whose features are in it, of the `of` that its statistics come from.
        ids: whether it names them.
        public: whether anybody may see them.
        left_out: what an export left out of it.
    """

    public: bool = False
    of: int | None = optional()
    axes: int | None = optional()
    duplicate: DuplicateThreshold | None = optional()
    file_bytes: int = 0
    sha256: str = ""
    tensors: Mapping[str, TensorSpec] = dataclasses.field(default_factory=dict)
    images: int | None = optional()
    ids: bool | None = optional()
    left_out: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class Memorisation:
    """Whether images drawn from a decoder repeat training images (publish.memorisation)."""

    samples: int
    copies: int
    drawn_from: str | None = optional()
    training_images: int | None = optional()
    copy_ratio: float | None = optional()
    nearest_rmse: Json | None = optional()
    ratio: Json | None = optional()
    held_out_images: int | None = optional()
    held_out_nearest_rmse: Json | None = optional()
    held_out_ratio: Json | None = optional()
    held_out_copies: int | None = optional()


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How well an extractor's decoder reconstructs validation images; colours 0 to 1, KL in nats an image."""

    pixel_mse: float
    active_units: float
    images: float
    kl: float | None = optional()
    note: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class LatentStatistics:
    """By latent dimension (Z,), over validation images: KL, mean and standard deviation of the posterior means."""

    kl: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: int | None = optional()


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours:
    """What the nearest training images predict for validation images."""

    accuracy: float
    balanced_accuracy: float
    neighbours: int | None = optional()
    images: int | None = optional()
    split: str | None = optional()
