"""What is done with finished models: a map of their features, a test on other images, a bundle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ..arms import arm_embeddings
from ..records import Checked, Range, Rule, require
from .shared import (
    ARMS,
    BackboneConfig,
    Device,
    Draw,
    ImageLimit,
    InputSize,
    Mode,
    Share,
    Splits,
    at_least_one,
)

MAPPED_ARMS = tuple(
    arm for arm in ARMS if arm not in ("scratch", "metadata")
)  # features of pictures, before training with labels
MapArm = Annotated[
    str,
    Rule(
        lambda arm: (
            arm in MAPPED_ARMS or arm.startswith(("bundle:", "run:")) or bool(arm_embeddings(arm))
        ),
        f"{', '.join(MAPPED_ARMS)}, embeddings:NAME, bundle:NAME or run:ID",
    ),
]
AtMostSix = Rule(
    lambda names: len(set(names)) == len(names) <= 6, "at most 6 different bundle names"
)


@dataclass(frozen=True, kw_only=True)
class EmbedConfig(Checked):
    """A map of one extractor's features of a dataset, in two dimensions (UMAP, PCA).

    Attributes:
        dataset: name of the dataset.
        arm: vae, imagenet, both, random, colour, embeddings:NAME (vectors that were brought), bundle:NAME
            or run:ID of a pretraining.
        backbone: the network of every arm but bundles and runs.
        input_size: side of the input, in pixels.
        vae_run: pretraining whose encoder is that of the arms vae and both.
        vae: extractor of the library in its place.
        space: "pooled" features, or "mu", the posterior means of a VAE (arms vae and run:ID, and
            bundle:NAME of an extractor).
        aligned_to: finished map of the same images, whose orientation this one takes.
        opinions: bundles whose predictions are saved for each image; none: those of the library
            that know the dataset's classes.
        split_seed: seed of the split into training, validation and test images.
        splits: "grouped", 70 / 15 / 15 of whole groups; or "official", that which the dataset names,
            whatever crosses it.
        seed: seed of UMAP.
        neighbours: neighbours of a point in UMAP: few for local detail, many for the broad layout.
        min_dist: smallest distance between points of the map (UMAP).
        mode: "reproducible", or "fast", which may choose its precision and layout by trial steps.
        device: where the run computes.
        max_images: use only so many images of the dataset, whole groups of them.
        draw: how these are drawn: "by_split", from each part of the split in its share; or
            "before_split", as earlier versions did, to repeat a run of theirs.
    """

    dataset: str
    arm: MapArm = "vae"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input_size: InputSize = 64
    vae_run: str | None = None
    vae: str | None = None
    space: Literal["pooled", "mu"] = "pooled"
    aligned_to: str | None = None
    opinions: Annotated[tuple[str, ...], AtMostSix] = ()
    split_seed: int = 0
    splits: Splits = "grouped"
    seed: int = 0
    neighbours: Annotated[int, Range(2, 200)] = 15
    min_dist: Share = 0.1
    mode: Mode = "reproducible"
    device: Device = "auto"
    max_images: ImageLimit | None = None
    draw: Draw = "by_split"

    kind: ClassVar[str] = "embed"

    @property
    def pooling(self) -> Literal["pooled", "mu"]:
        """The feature of the arm, under the name that a study has for it."""
        return self.space

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.vae or (self.arm in ("vae", "both") and not self.vae_run),
            "vae",
            self.vae,
            "nothing beside vae_run, and for other arms than vae and both",
        )
        require(
            self.space == "pooled" or self.arm == "vae" or self.arm.startswith(("run:", "bundle:")),
            "space",
            self.space,
            f"'pooled' for the arm {self.arm}: only a VAE (vae, run:ID, an extractor's bundle:NAME) has "
            "posterior means",
        )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Checked):
    """Published models, tested on a labelled dataset without a study.

    Attributes:
        dataset: name of the dataset.
        models: names of bundles that share their classes.
        split: "unseen", the images that no model is known to have been trained or chosen on; or
            "all", with the number of those that one has seen.
        class_map: "THEIRS=OURS" where names do not say which class is which, "THEIRS=" to leave a
            class out.
        bootstrap: number of bootstrap resamples.
        seed: seed of the bootstrap.
        device: where the run computes.
    """

    dataset: str
    models: Annotated[tuple[str, ...], at_least_one("one or more different names")]
    split: Literal["unseen", "all"] = "unseen"
    class_map: tuple[str, ...] = ()
    bootstrap: Annotated[int, Range(1)] = 2000
    seed: int = 0
    device: Device = "auto"

    kind: ClassVar[str] = "evaluate"


@dataclass(frozen=True, kw_only=True)
class PublishConfig(Checked):
    """One arm and seed of a finished study as a bundle in the workspace's library.

    Attributes:
        dataset: dataset of the study.
        run: id of the study.
        arm: arm of the study.
        name: name of the bundle.
        seed: seed of the study.
    """

    dataset: str
    run: str
    arm: str
    name: str
    seed: int = 0

    kind: ClassVar[str] = "publish"
