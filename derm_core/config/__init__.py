"""Settings as frozen dataclasses, to and from JSON with a schema version.

Validation names the field, the value and what is allowed. A run's folder holds its config with
every value resolved, so that it can be repeated anywhere.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from .records import from_json, require

SCHEMA_VERSION = 1
ARMS = ("vae", "imagenet", "random", "both", "scratch", "colour")
MAPPED_ARMS = tuple(
    arm for arm in ARMS if arm != "scratch"
)  # what can be mapped: features before any training with labels
CORRUPTIONS = (
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
)
Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A timm architecture up to a stage (index into its `feature_info`)."""

    architecture: str = "resnet18"
    stage: int = 3

    def __post_init__(self) -> None:
        require(bool(self.architecture), "architecture", self.architecture, "a timm model name")
        require(
            0 <= self.stage <= 9, "stage", self.stage, "0 to 9, an index into timm's feature_info"
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Ranges from which every image of a batch draws its own parameters.

    flip: horizontal and vertical, each with probability 1/2; rotate_degrees: 0 to 180, the largest
    angle; scale_min: smallest share (by side) of the image a view shows; brightness, contrast,
    saturation, cast: largest relative change (cast: of one channel against the others);
    mask_ratio: share of square patches of `mask_patch` pixels that are hidden.
    """

    flip: bool = True
    rotate_degrees: float = 180.0
    scale_min: float = 0.8
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    cast: float = 0.0
    mask_ratio: float = 0.0
    mask_patch: int = 8

    def __post_init__(self) -> None:
        require(0 <= self.rotate_degrees <= 180, "rotate_degrees", self.rotate_degrees, "0 to 180")
        require(0.1 <= self.scale_min <= 1, "scale_min", self.scale_min, "0.1 to 1")
        for name in ("brightness", "contrast", "saturation", "cast"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 to below 1")
        require(0 <= self.mask_ratio < 1, "mask_ratio", self.mask_ratio, "0 to below 1")
        require(self.mask_patch >= 1, "mask_patch", self.mask_patch, "1 or more")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a VAE is pretrained. Named recipes stand in training/recipes.py, the terms in training/losses.py.

    The loss is elbo_weight · (reconstruction + beta · KL) + consistency · (agreement of two views): see VAETask.
    target: what is reconstructed, the "clean" image of the same geometric view or the "view" itself, colours changed.
    free_bits: nats of KL that each latent dimension has for free (Kingma et al. 2016).
    gradient_weight, ssim_weight: of an edge and a structure term beside the likelihood, per pixel value.
    consistency: weight of the normalised temperature-scaled cross-entropy (Chen et al. 2020) between two views
    of each image, by `temperature`, in `projection_dim` dimensions; 0: one view.
    ema_decay: of the moving average of the weights that is evaluated and kept, 0 for none.
    """

    name: str = "paper"
    epochs: int = 16
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_fraction: float = 0.05
    latent_dim: int = 128
    decoder_width: int = 128
    beta: float = 1.0
    kl_warmup_fraction: float = 0.25
    free_bits: float = 0.0
    elbo_weight: float = 1.0
    target: Literal["clean", "view"] = "clean"
    gradient_weight: float = 0.0
    ssim_weight: float = 0.0
    consistency: float = 0.0
    temperature: float = 0.2
    projection_dim: int = 64
    ema_decay: float = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more")
        require(
            0 < self.learning_rate <= 1, "learning_rate", self.learning_rate, "above 0, at most 1"
        )
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(
            0 <= self.warmup_fraction < 1, "warmup_fraction", self.warmup_fraction, "0 to below 1"
        )
        require(1 <= self.latent_dim <= 4096, "latent_dim", self.latent_dim, "1 to 4096")
        require(8 <= self.decoder_width <= 4096, "decoder_width", self.decoder_width, "8 to 4096")
        for name in (
            "beta",
            "free_bits",
            "elbo_weight",
            "gradient_weight",
            "ssim_weight",
            "consistency",
        ):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(
            self.elbo_weight + self.consistency > 0,
            "elbo_weight",
            self.elbo_weight,
            "above 0 where consistency is 0: nothing would be learnt",
        )
        require(
            0 <= self.kl_warmup_fraction <= 1,
            "kl_warmup_fraction",
            self.kl_warmup_fraction,
            "0 to 1",
        )
        require(self.target in ("clean", "view"), "target", self.target, "'clean' or 'view'")
        require(
            self.target == "clean" or self.augment.mask_ratio == 0,
            "target",
            self.target,
            "'clean' where mask_ratio is above 0: hidden patches are not to be reconstructed",
        )
        require(0.01 <= self.temperature <= 10, "temperature", self.temperature, "0.01 to 10")
        require(
            2 <= self.projection_dim <= 4096, "projection_dim", self.projection_dim, "2 to 4096"
        )
        require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 to below 1")


def _check_device(device: str) -> None:
    require(
        device in ("auto", "cpu") or device.startswith("cuda"),
        "device",
        device,
        "'auto', 'cpu', 'cuda' or 'cuda:N'",
    )


def _check_common(config: Any) -> None:
    require(16 <= config.input_size <= 1024, "input_size", config.input_size, "16 to 1024 pixels")
    require(
        config.mode in ("reproducible", "fast"), "mode", config.mode, "'reproducible' or 'fast'"
    )
    _check_device(config.device)
    require(
        config.max_images is None or config.max_images >= 20,
        "max_images",
        config.max_images,
        "nothing, or 20 or more",
    )


def _check_folds(config: Any) -> None:
    require(
        config.folds == 0 or 2 <= config.folds <= 20,
        "folds",
        config.folds,
        "0 for none, else 2 to 20",
    )
    require(
        config.fold is None or 1 <= config.fold <= config.folds,
        "fold",
        config.fold,
        "nothing, or 1 to folds",
    )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One VAE pretraining on the training split's images. Labels are not read.

    images: "train", the training split's; or "all", the transductive variant, which also sees the
    pixels (never the labels) of validation and test images and says so wherever it is shown.
    devices: how many GPUs, or processes on the CPU, share the training.
    max_images: use only this many images of the dataset (whole groups), for tests and first looks.
    folds, fold: the training images are those of this fold (from 1) of so many, not of the one split.
    """

    dataset: str
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: int = 64
    recipe: Recipe = field(default_factory=Recipe)
    split_seed: int = 0
    seed: int = 0
    images: Literal["train", "all"] = "train"
    mode: Literal["reproducible", "fast"] = "reproducible"
    device: str = "auto"
    devices: int = 1
    max_images: int | None = None
    folds: int = 0
    fold: int | None = None

    kind = "pretrain"

    def __post_init__(self) -> None:
        _check_common(self)
        _check_folds(self)
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
        require(self.images in ("train", "all"), "images", self.images, "'train' or 'all'")
        require(1 <= self.devices <= 64, "devices", self.devices, "1 to 64")


@dataclass(frozen=True, kw_only=True)
class FinetuneSchedule:
    """One schedule for every arm of the `finetune` regime: AdamW, warm-up and cosine.

    layer_decay: factor on the learning rate from each layer to the one below it, 1 for none;
    ema_decay: of the moving average of the weights that is evaluated and kept, 0 for none.
    """

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    layer_decay: float = 0.75
    ema_decay: float = 0.998
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            scale_min=0.7, brightness=0.15, contrast=0.15, saturation=0.15, cast=0.05
        )
    )

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more")
        require(
            0 < self.learning_rate <= 1, "learning_rate", self.learning_rate, "above 0, at most 1"
        )
        require(0 < self.layer_decay <= 1, "layer_decay", self.layer_decay, "above 0, at most 1")
        require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 to below 1")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One comparison: arms x seeds x settings, under identical conditions.

    arms: "vae", "imagenet", "random", "both", "scratch", "colour", "bundle:NAME" or "run:PRETRAIN_RUN_ID".
    labels: "classes", the dataset's; or "priority", their mapping to high, medium and low.
    label_fractions: shares of the training groups on which heads are trained as well.
    corruptions: families of image corruptions under which the test is repeated; shortcut: strengths
    of a planted artefact's tie to one class; external: names of datasets that are tested as well.
    vae_run: id of the pretraining whose encoder is the arm "vae". vae: name of an extractor on the shelf that is so instead.
    pooling: an arm's feature, alike for all arms: "pooled", the mean of the stage's map over pixels; "multi",
    those of the last two stages side by side; or "mu", the posterior mean, for VAEs (others stay pooled).
    pretrain: how that pretraining is to be made where `vae_run` is not given: the supervisor
    queues it first and fills in `vae_run`.
    devices: how many GPUs, or processes on the CPU, share each training of the regime "finetune".
    folds, fold: one fold (from 1) of so many is the test part; folds without fold: all of them, pretraining
    repeated in each, and their predictions put together. fold_runs: ids of their studies, by the supervisor.
    """

    dataset: str
    arms: tuple[str, ...] = ("vae", "imagenet", "random", "both")
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: int = 64
    regime: Literal["frozen", "finetune"] = "frozen"
    vae_run: str | None = None
    vae: str | None = None
    pretrain: PretrainConfig | None = None
    pooling: Literal["pooled", "mu", "multi"] = "pooled"
    split_seed: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    hidden: int = 64
    epochs: int = 60
    batch_size: int = 128
    loss: Literal["cross_entropy", "focal", "brier"] = "cross_entropy"
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    weight_decays: tuple[float, ...] = (1e-2, 1e-1, 1.0)
    finetune: FinetuneSchedule = field(default_factory=FinetuneSchedule)
    bootstrap: int = 2000
    labels: Literal["classes", "priority"] = "classes"
    label_fractions: tuple[float, ...] = ()
    corruptions: tuple[str, ...] = ()
    shortcut: tuple[float, ...] = ()
    external: tuple[str, ...] = ()
    mode: Literal["reproducible", "fast"] = "reproducible"
    device: str = "auto"
    devices: int = 1
    max_images: int | None = None
    preset: str = "custom"
    folds: int = 0
    fold: int | None = None
    fold_runs: tuple[str, ...] = ()

    kind = "study"

    @property
    def all_folds(self) -> bool:
        """Whether this study puts the predictions of all folds together."""
        return self.folds > 0 and self.fold is None

    def __post_init__(self) -> None:
        _check_common(self)
        require(
            len(self.arms) >= 1 and len(set(self.arms)) == len(self.arms),
            "arms",
            self.arms,
            "one or more different arms",
        )
        for arm in self.arms:
            require(
                arm in ARMS or arm.startswith(("bundle:", "run:")),
                "arms",
                arm,
                f"{', '.join(ARMS)}, bundle:NAME or run:ID",
            )
        require(
            self.regime in ("frozen", "finetune"), "regime", self.regime, "'frozen' or 'finetune'"
        )
        require(
            self.pooling in ("pooled", "mu", "multi"),
            "pooling",
            self.pooling,
            "'pooled', 'mu' or 'multi'",
        )
        require(
            self.pooling != "multi" or (self.regime == "frozen" and self.backbone.stage > 0),
            "pooling",
            self.pooling,
            "'pooled' for the regime 'finetune' and for stage 0: 'multi' joins the last two stages of frozen features",
        )
        require(
            self.loss in ("cross_entropy", "focal", "brier"),
            "loss",
            self.loss,
            "'cross_entropy', 'focal' or 'brier'",
        )
        require(
            len(self.seeds) >= 1 and len(set(self.seeds)) == len(self.seeds),
            "seeds",
            self.seeds,
            "one or more different numbers",
        )
        for name in ("learning_rates", "weight_decays"):
            values = getattr(self, name)
            require(
                len(values) >= 1 and all(v >= 0 for v in values),
                name,
                values,
                "one or more numbers, 0 or above",
            )
        for name in ("hidden", "epochs", "bootstrap"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more")
        require(1 <= self.devices <= 64, "devices", self.devices, "1 to 64")
        require(
            not self.vae or not (self.vae_run or self.pretrain or self.folds),
            "vae",
            self.vae,
            "nothing beside vae_run or pretrain, and in folds, each of which has a pretraining of its own",
        )
        require(
            self.labels in ("classes", "priority"), "labels", self.labels, "'classes' or 'priority'"
        )
        for family in self.corruptions:
            require(family in CORRUPTIONS, "corruptions", family, ", ".join(CORRUPTIONS))
        for name, allowed in (
            ("label_fractions", "numbers above 0, at most 1"),
            ("shortcut", "numbers from 0 to 1"),
        ):
            values = getattr(self, name)
            require(
                all(0 <= v <= 1 for v in values) and (name == "shortcut" or 0 not in values),
                name,
                values,
                allowed,
            )
        _check_folds(self)
        if self.folds:
            self._check_fold()

    def _check_fold(self) -> None:
        for arm in self.arms:
            require(
                arm in ARMS,
                "arms",
                arm,
                f"{', '.join(ARMS)} in folds: other weights may have seen the images of a fold",
            )
        for name in ("corruptions", "shortcut", "external"):
            require(
                not getattr(self, name),
                name,
                getattr(self, name),
                "nothing in folds; label_fractions may be asked",
            )
        require(
            not self.vae_run or self.fold,
            "vae_run",
            self.vae_run,
            "nothing: every fold has a pretraining of its own",
        )
        if self.pretrain:
            made, wanted = (
                (self.pretrain.folds, self.pretrain.fold),
                (self.folds if self.fold else 0, self.fold),
            )
            require(made == wanted, "pretrain.fold", made[1], f"that of the study, {wanted[1]}")


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """A map of one extractor's space: features of a dataset in two dimensions (UMAP, PCA).

    arm: as in a study; vae_run or vae, the id of a pretraining or the name of an extractor on the shelf, is the encoder of
    the arms "vae" and "both".
    space: "pooled" features, or "mu", the posterior means of a VAE (arms vae and run:ID, and bundle:NAME of an extractor).
    aligned_to: id of a finished map; UMAP starts from its places of the same images, and the result is turned onto it.
    opinions: bundles whose predictions stand beside each image; none named: those on the shelf that know the
    dataset's classes.
    """

    dataset: str
    arm: str = "vae"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: int = 64
    vae_run: str | None = None
    vae: str | None = None
    space: Literal["pooled", "mu"] = "pooled"
    aligned_to: str | None = None
    opinions: tuple[str, ...] = ()
    split_seed: int = 0
    seed: int = 0
    neighbours: int = 15
    min_dist: float = 0.1
    mode: Literal["reproducible", "fast"] = "reproducible"
    device: str = "auto"
    max_images: int | None = None

    kind = "embed"

    @property
    def pooling(self) -> str:
        """The feature of the arm, under the name a study has for it."""
        return self.space

    def __post_init__(self) -> None:
        _check_common(self)
        require(
            self.arm in MAPPED_ARMS or self.arm.startswith(("bundle:", "run:")),
            "arm",
            self.arm,
            f"{', '.join(MAPPED_ARMS)}, bundle:NAME or run:ID",
        )
        require(
            not self.vae or (self.arm in ("vae", "both") and not self.vae_run),
            "vae",
            self.vae,
            "nothing beside vae_run, and for other arms than vae and both",
        )
        require(self.space in ("pooled", "mu"), "space", self.space, "'pooled' or 'mu'")
        require(
            self.space == "pooled" or self.arm == "vae" or self.arm.startswith(("run:", "bundle:")),
            "space",
            self.space,
            f"'pooled' for the arm {self.arm}: only a VAE (vae, run:ID, an extractor's bundle:NAME) has posterior means",
        )
        require(
            len(set(self.opinions)) == len(self.opinions) <= 6,
            "opinions",
            self.opinions,
            "at most 6 different bundle names",
        )
        require(2 <= self.neighbours <= 200, "neighbours", self.neighbours, "2 to 200")
        require(0 <= self.min_dist <= 1, "min_dist", self.min_dist, "0 to 1")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Published models, tested on a labelled dataset without a study.

    split: "unseen", the images that no model is known to have been trained or chosen on; or "all", with
    the leaks counted. class_map: "THEIRS=OURS" where names do not say which class is which, "THEIRS=" to
    leave a class out.
    """

    dataset: str
    models: tuple[str, ...]
    split: Literal["unseen", "all"] = "unseen"
    class_map: tuple[str, ...] = ()
    bootstrap: int = 2000
    seed: int = 0
    device: str = "auto"

    kind = "evaluate"

    def __post_init__(self) -> None:
        require(
            len(self.models) >= 1 and len(set(self.models)) == len(self.models),
            "models",
            self.models,
            "one or more different names",
        )
        require(self.split in ("unseen", "all"), "split", self.split, "'unseen' or 'all'")
        require(self.bootstrap >= 1, "bootstrap", self.bootstrap, "1 or more")
        _check_device(self.device)


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """One arm and seed of a finished study as a bundle on the workspace's shelf.

    run: id of the study, dataset: what it was made of; name: of the bundle.
    """

    dataset: str
    run: str
    arm: str
    name: str
    seed: int = 0

    kind = "publish"


RENAMED = {"EmbedConfig": {"pooling": "space"}}  # what files of earlier versions call a field
KINDS: dict[str, type] = {
    "pretrain": PretrainConfig,
    "study": StudyConfig,
    "embed": EmbedConfig,
    "evaluate": EvaluateConfig,
    "publish": PublishConfig,
}


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values, with `schema` and `kind`."""
    body = json.loads(json.dumps(dataclasses.asdict(config)))
    return {
        "schema": SCHEMA_VERSION,
        "kind": getattr(config, "kind", type(config).__name__),
        **body,
    }


def from_dict(value: Any, cls: type[Config] | None = None) -> Config:
    """Rebuild a config from `to_dict`. Raises ConfigError naming field, value and what is allowed."""
    require(isinstance(value, dict), "config", type(value).__name__, "a JSON object")
    body = dict(value)
    schema = body.pop("schema", SCHEMA_VERSION)
    require(
        type(schema) is int and 1 <= schema <= SCHEMA_VERSION,
        "schema",
        schema,
        f"1 to {SCHEMA_VERSION}; a newer file needs a newer version of this program",
    )
    kind = body.pop("kind", None)
    if cls is None:
        require(isinstance(kind, str) and kind in KINDS, "kind", kind, ", ".join(KINDS))
        cls = KINDS[kind]
    return from_json(cls, body, cls.__name__, renamed=RENAMED)
