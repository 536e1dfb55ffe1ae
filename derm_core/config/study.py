"""A comparison of arms under identical conditions."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ..arms import (
    BESIDE_METADATA,
    BOTH,
    METADATA,
    arm_embeddings,
    arm_parts,
    arm_recipe,
    arm_size,
    own_architecture,
    reads_images_alone,
)
from ..records import Checked, Range, Rule, optional, require
from .pretrain import PretrainConfig
from .recipes import RECIPES
from .shared import (
    ARMS,
    SIZES,
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
    at_least_one,
    check_fold,
)

Corruption = Literal[
    "defocus",
    "motion",
    "noise",
    "jpeg",
    "pixelation",
    "brightness",
    "contrast",
    "saturation",
    "hair",
    "ruler",
    "ink",
    "bubbles",
    "vignette",
]
CORRUPTIONS: tuple[Corruption, ...] = typing.get_args(Corruption)
JOINABLE = ("vae", "imagenet", "random")  # and recipe:NAME and imagenet@SIZE


def is_arm(arm: str) -> bool:
    """Whether a study can have an arm of this name."""
    if arm in ARMS or arm.startswith(("bundle:", "run:")) or arm_embeddings(arm):
        return True
    if arm.startswith(BESIDE_METADATA):
        beside = arm.removeprefix(BESIDE_METADATA)
        return METADATA not in arm_parts(beside) and beside != "scratch" and is_arm(beside)
    if own := own_architecture(arm):
        return own.size is None or own.size in SIZES
    parts = arm_parts(arm)
    differ = len(set(parts)) == len(parts) <= 2 and set(parts) != set(BOTH)
    return differ and all(map(_is_part, parts))


def _is_part(part: str) -> bool:
    size = arm_size(part)
    return part in JOINABLE or arm_recipe(part) in RECIPES or (size is not None and size in SIZES)


StudyArm = Annotated[
    str,
    Rule(
        is_arm,
        f"{', '.join(ARMS)}, imagenet@SIZE, recipe:NAME ({', '.join(RECIPES)}), two of these side by side "
        "such as imagenet+random, metadata+ARM (age, sex and site beside that arm), timm:NAME, hf-hub:OWNER/NAME, "
        "file:FILE.safetensors+ARCHITECTURE (each with its own network; @SIZE may follow, and @token, @mean or @both), "
        "embeddings:NAME (vectors that were brought), bundle:NAME or run:ID",
    ),
]
GridValues = Annotated[tuple[NotNegative, ...], Rule(bool, "one or more numbers, 0 or above")]


@dataclass(frozen=True, kw_only=True)
class FinetuneSchedule(Checked):
    """One schedule for every arm of the regime "finetune": AdamW, warm-up and cosine.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in each step.
        learning_rate: highest learning rate, reached after the warm-up.
        weight_decay: weight decay of AdamW.
        warmup_fraction: share of the steps in which the learning rate rises.
        layer_decay: factor on the learning rate from each layer to the one below it; 1: none.
        ema_decay: decay of the moving average of the weights that is evaluated and saved; 0: none.
        lora_rank: rank of low-rank updates (LoRA) that are trained in place of the weights of networks with
            linear layers of attention; 0: whole networks are trained.
        augment: how training images are changed.
    """

    epochs: Epochs = 12
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 5e-4
    weight_decay: NotNegative = 0.05
    warmup_fraction: ShareBelowOne = 0.1
    layer_decay: Annotated[float, Range(0, 1, above=True)] = 0.75
    ema_decay: ShareBelowOne = 0.998
    lora_rank: Annotated[int, Range(0, 256)] = optional(0)
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            scale_min=0.7, brightness=0.15, contrast=0.15, saturation=0.15, cast=0.05
        )
    )


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Checked):
    """One comparison: arms × seeds × settings, under identical conditions.

    Attributes:
        dataset: name of the dataset.
        arms: vae, imagenet, random, both (vae and imagenet side by side), scratch, colour,
            metadata (age, sex and site, no picture), imagenet@SIZE (ImageNet at another input size, in
            pixels), recipe:NAME (a further pretraining of that recipe), two of these side by side such
            as imagenet+random, metadata+ARM (age, sex and site beside the features of that arm),
            timm:NAME, hf-hub:OWNER/NAME or file:FILE.safetensors+ARCHITECTURE (pretrained networks, each
            with its own architecture, input size and pooling), embeddings:NAME (vectors that were brought;
            the command takes embeddings:FILE), bundle:NAME or run:ID of a pretraining.
        backbone: the network of every arm that has none of its own.
        input_size: side of the input, in pixels.
        regime: "frozen": classifiers on fixed features; "finetune": whole networks are trained.
        vae_run: pretraining whose encoder is the arm vae.
        recipe_runs: pretrainings of the arms recipe:NAME, in their order; the supervisor fills them in.
        vae: extractor of the library that is the arm vae instead.
        pretrain: pretraining that is queued before the study where neither of them is given.
        pooling: feature of every arm: "pooled", the mean of the last stage over its positions;
            "multi", the means of the last two stages side by side; or "mu", the posterior mean, for
            VAEs (others stay pooled).
        split_seed: seed of the split into training, validation and test images.
        splits: "grouped", 70 / 15 / 15 of whole groups; or "official", that which the dataset names,
            whatever crosses it.
        seeds: seeds of training, one classifier each.
        hidden: units of the classifier's hidden layer.
        epochs: passes over the training features.
        batch_size: features in each step, doubled while an epoch would have more than 128 steps.
        loss: loss of the classifiers.
        learning_rates, weight_decays: grid from which validation selects; it is widened where a choice
            lies on its edge.
        finetune: schedule of the regime "finetune".
        bootstrap: number of bootstrap resamples.
        labels: "classes", those of the dataset; or "priority", these mapped to high, medium, low.
        label_fractions: shares of the training groups on which classifiers are trained as well.
        corruptions: image corruptions under which the test is repeated.
        shortcut: strengths with which a planted artefact is tied to one class.
        external: datasets that are tested as well.
        target_class: class whose sensitivity and net benefit are measured; none: melanoma, else the high
            priority.
        specificities: specificities at which its sensitivity is measured, thresholds chosen on
            validation.
        linear_head: whether every arm is also tested with a tuned linear head.
        saliency_images: test images with a lesion mask for which it is measured how much of each arm's saliency
            lies inside; 0: not measured.
        mode: "reproducible", or "fast", which may choose its precision and layout by trial steps.
        device: where the run computes.
        devices: number of GPUs, or of processes on the CPU, that share the extraction of features, or each
            training of the regime "finetune".
        max_images: use only so many images of the dataset, whole groups of them.
        draw: how these are drawn: "by_split", from each part of the split in its share; or
            "before_split", as earlier versions did, to repeat a run of theirs.
        preset: preset from which the study was made.
        folds: number of folds of whole groups, pretraining repeated in each.
        fold: fold that is the test part, counted from 1; none: all of them, their predictions
            put together.
        fold_runs: ids of the studies of the folds; the supervisor fills them in.
        count_seen: whether arms whose pretraining has seen the dataset's images take part in the
            verdict all the same.
        marks: marks of the dataset's images that are used: exclusions, and new labels where asked for.
    """

    dataset: str
    arms: Annotated[tuple[StudyArm, ...], at_least_one("one or more different arms")] = (
        "vae",
        "imagenet",
        "random",
        "both",
    )
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: InputSize = 64
    regime: Literal["frozen", "finetune"] = "frozen"
    vae_run: str | None = None
    recipe_runs: tuple[str, ...] = ()
    vae: str | None = None
    pretrain: PretrainConfig | None = None
    pooling: Literal["pooled", "mu", "multi"] = "pooled"
    split_seed: int = 0
    splits: Splits = "grouped"
    seeds: Annotated[tuple[int, ...], at_least_one("one or more different numbers")] = (
        0,
        1,
        2,
        3,
        4,
    )
    hidden: Annotated[int, Range(1)] = 64
    epochs: Epochs = 60
    batch_size: BatchSize = 128
    loss: Literal["cross_entropy", "focal", "brier"] = "cross_entropy"
    learning_rates: GridValues = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    weight_decays: GridValues = (0.0, 0.3, 1.0, 3.0)
    finetune: FinetuneSchedule = field(default_factory=FinetuneSchedule)
    bootstrap: Annotated[int, Range(1)] = 2000
    labels: Literal["classes", "priority"] = "classes"
    label_fractions: tuple[Annotated[float, Range(0, 1, above=True)], ...] = ()
    corruptions: tuple[Corruption, ...] = ()
    shortcut: tuple[Share, ...] = ()
    external: tuple[str, ...] = ()
    target_class: str | None = None
    specificities: tuple[Annotated[float, Range(0, 1, above=True, below=True)], ...] = (0.8, 0.9)
    linear_head: bool = False
    saliency_images: Annotated[int, Range(0, 100_000)] = optional(0)
    mode: Mode = "reproducible"
    device: Device = "auto"
    devices: DeviceCount = 1
    max_images: ImageLimit | None = None
    draw: Draw = "by_split"
    preset: str = "custom"
    folds: FoldCount = 0
    fold: int | None = None
    fold_runs: tuple[str, ...] = ()
    count_seen: bool = optional(False)
    marks: UsedMarks | None = optional()

    kind: ClassVar[str] = "study"

    @property
    def all_folds(self) -> bool:
        """Whether this study puts the predictions of all folds together."""
        return self.folds > 0 and self.fold is None

    @property
    def parts(self) -> tuple[str, ...]:
        """The different arms of which the arms are made, each alone or beside another."""
        return tuple(dict.fromkeys(part for arm in self.arms for part in arm_parts(arm)))

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of the further pretrainings, one for each part recipe:NAME."""
        return tuple(recipe for part in self.parts if (recipe := arm_recipe(part)))

    @property
    def other_sizes(self) -> tuple[int, ...]:
        """The input sizes of arms, in pixels, that are not the study's."""
        return tuple(size for part in self.parts if (size := arm_size(part)))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.pooling != "multi" or (self.regime == "frozen" and self.backbone.stage > 0),
            "pooling",
            self.pooling,
            "'pooled' for the regime 'finetune' and for stage 0: 'multi' joins the last two stages of frozen features",
        )
        require(
            not self.vae or not (self.vae_run or self.pretrain or self.folds),
            "vae",
            self.vae,
            "nothing beside vae_run or pretrain, and in folds, each of which has a pretraining of its own",
        )
        require(
            not self.finetune.lora_rank or self.regime == "finetune",
            "finetune.lora_rank",
            self.finetune.lora_rank,
            "0 with the regime 'frozen', which trains no weights of networks",
        )
        check_fold(self.folds, self.fold, self.splits)
        if self.folds:
            self._check_folds()
        self._check_arms()

    def _check_arms(self) -> None:
        different = {frozenset(arm_parts(arm)) for arm in self.arms}
        require(len(different) == len(self.arms), "arms", self.arms, "one or more different arms")
        require(
            self.input_size not in self.other_sizes,
            "arms",
            f"imagenet@{self.input_size}",
            f"imagenet, which reads {self.input_size} pixels in this study",
        )
        for name in ("corruptions", "shortcut", "saliency_images", "external"):
            value = getattr(self, name)
            require(
                not value or any(map(reads_images_alone, self.arms)),
                name,
                value,
                "nothing beside metadata and embeddings alone: it needs an arm whose features follow from an image, "
                "such as random",
            )
        own = self.pretrain.recipe.name if self.pretrain else None
        for recipe in self.recipes:
            require(
                own is not None and recipe != own,
                "arms",
                f"recipe:{recipe}",
                f"vae, which has that recipe ({own})"
                if own
                else "recipes beside pretrain, the pretraining of vae that gives their settings and images",
            )
        require(
            not self.recipe_runs or len(self.recipe_runs) == len(self.recipes),
            "recipe_runs",
            self.recipe_runs,
            "nothing, or one for each arm recipe:NAME",
        )

    def _check_folds(self) -> None:
        for arm in self.arms:
            require(
                not any(part.startswith(("bundle:", "run:")) for part in arm_parts(arm)),
                "arms",
                arm,
                "no bundle:NAME and no run:ID in folds: other weights may have seen the images of a fold",
            )
        for name in ("corruptions", "shortcut", "saliency_images", "external"):
            value = getattr(self, name)
            require(not value, name, value, "nothing in folds; label_fractions may be asked")
        require(
            not self.vae_run or self.fold is not None,
            "vae_run",
            self.vae_run,
            "nothing: every fold has a pretraining of its own",
        )
        if self.pretrain:
            expected = (self.folds, self.fold) if self.fold else (0, None)
            require(
                (self.pretrain.folds, self.pretrain.fold) == expected,
                "pretrain.fold",
                self.pretrain.fold,
                f"that of the study, {self.fold}",
            )
