"""Pretraining of a VAE: the recipe, and the run that follows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ..records import Checked, Range, optional, require
from .shared import (
    AugmentConfig,
    BackboneConfig,
    BatchSize,
    Device,
    DeviceCount,
    Draw,
    Epochs,
    FoldCount,
    ImageLimit,
    InputSize,
    LearningRate,
    Mode,
    NotNegative,
    Share,
    ShareBelowOne,
    Splits,
    UsedMarks,
    check_fold,
)


@dataclass(frozen=True, kw_only=True)
class Recipe(Checked):
    """How a VAE is pretrained. Named recipes stand in recipes.py, the losses in training/losses.py.

    The loss is elbo_weight · (reconstruction + beta · KL) + consistency · NT-Xent of two views.

    Attributes:
        name: name of the recipe.
        epochs: passes over the training images.
        batch_size: images in each step.
        learning_rate: highest learning rate, reached after the warm-up.
        weight_decay: weight decay of AdamW.
        warmup_fraction: share of the steps in which the learning rate rises.
        latent_dim: dimensions of the latent code.
        decoder_width: channels of the decoder's first layer.
        beta: weight of the KL divergence (Higgins et al. 2017).
        kl_warmup_fraction: share of the steps in which the weight of the KL divergence rises.
        free_bits: nats of KL divergence that each latent dimension has for free (Kingma et al.
            2016).
        elbo_weight: weight of reconstruction and KL divergence together.
        target: what is reconstructed: the "clean" image of the same geometric view, or the "view"
            itself, with its colours changed.
        gradient_weight, ssim_weight: weight of the edge and of the structure loss beside the
            likelihood, per pixel value.
        consistency: weight of the normalised temperature-scaled cross-entropy (Chen et al. 2020)
            between two views of each image; 0: one view.
        temperature: temperature of that loss.
        projection_dim: dimensions in which that loss compares the views.
        ema_decay: decay of the moving average of the weights that is evaluated and saved; 0: none.
        augment: how views differ.
    """

    name: str = "paper"
    epochs: Epochs = 16
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    weight_decay: NotNegative = 0.05
    warmup_fraction: ShareBelowOne = 0.05
    latent_dim: Annotated[int, Range(1, 4096)] = 128
    decoder_width: Annotated[int, Range(8, 4096)] = 128
    beta: NotNegative = 1.0
    kl_warmup_fraction: Share = 0.25
    free_bits: NotNegative = 0.0
    elbo_weight: NotNegative = 1.0
    target: Literal["clean", "view"] = "clean"
    gradient_weight: NotNegative = 0.0
    ssim_weight: NotNegative = 0.0
    consistency: NotNegative = 0.0
    temperature: Annotated[float, Range(0.01, 10)] = 0.2
    projection_dim: Annotated[int, Range(2, 4096)] = 64
    ema_decay: ShareBelowOne = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    @property
    def views(self) -> int:
        """Views of each image in a pass over the images."""
        return 2 if self.consistency > 0 else 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.elbo_weight + self.consistency > 0,
            "elbo_weight",
            self.elbo_weight,
            "above 0 where consistency is 0: nothing would be learnt",
        )
        require(
            self.target == "clean" or self.augment.mask_ratio == 0,
            "target",
            self.target,
            "'clean' where mask_ratio is above 0: hidden patches are not to be reconstructed",
        )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Checked):
    """One VAE pretraining on the training split's images. Labels are not read.

    Attributes:
        dataset: name of the dataset.
        backbone: the encoder.
        input_size: side of the input, in pixels.
        recipe: how the VAE is trained.
        split_seed: seed of the split into training, validation and test images.
        splits: "grouped", 70 / 15 / 15 of whole groups; or "official", that which the dataset names,
            whatever crosses it.
        seed: seed of every draw of the run.
        images: "train", those of the training split; or "all", the transductive variant: also the
            pixels, never the labels, of validation and test images, stated with every result.
        mode: "reproducible", or "fast", which may choose its precision and layout by trial steps.
        device: where the run computes.
        devices: number of GPUs, or of processes on the CPU, that share the training.
        max_images: use only so many images of the dataset, whole groups of them.
        draw: how these are drawn: "by_split", from each part of the split in its share; or
            "before_split", as earlier versions did, to repeat a run of theirs.
        folds: number of folds; 0: the one split.
        fold: fold whose training images are used, counted from 1.
        marks: marks of the dataset's images whose exclusions are left out.
    """

    dataset: str
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: InputSize = 64
    recipe: Recipe = field(default_factory=Recipe)
    split_seed: int = 0
    splits: Splits = "grouped"
    seed: int = 0
    images: Literal["train", "all"] = "train"
    mode: Mode = "reproducible"
    device: Device = "auto"
    devices: DeviceCount = 1
    max_images: ImageLimit | None = None
    draw: Draw = "by_split"
    folds: FoldCount = 0
    fold: int | None = None
    marks: UsedMarks | None = optional()

    kind: ClassVar[str] = "pretrain"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fold(self.folds, self.fold, self.splits)
        require(
            (self.folds > 0) == (self.fold is not None),
            "fold",
            self.fold,
            "a number where folds is one, else nothing",
        )
        require(
            not self.folds or self.images == "train",
            "images",
            self.images,
            "'train' in a fold, which is to be tested",
        )
