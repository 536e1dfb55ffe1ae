"""Presets: named studies with a value for every setting, for `compare --preset NAME` and the Train page.

demo     synthetic images, nothing to download, two minutes from an empty workspace: a demonstration, no evidence
laptop   HAM10000, ResNet-18 to stage 3 at 64 px, on two CPU cores
long     the same network at 96 px, pretrained for 200 epochs: what should lift the VAE above ImageNet; made for a GPU
paper    ConvNeXt-Tiny at 224 px, the paper's backbone; made for a GPU
bundles  both arms fine-tuned end to end with one schedule: what ships in `models/`
folds    the laptop's network in five folds, everything repeated in each: what a claim rests on

All but the demo are made for HAM10000. `preset_dataset` finds it in a workspace by what its import
recognised, whatever it is called there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..config import CORRUPTIONS, BackboneConfig, FinetuneSchedule, PretrainConfig, StudyConfig
from ..config.recipes import BEST
from ..config.recipes import recipe as make_recipe
from ..data.known_datasets import HAM10000 as HAM10000_SET
from ..data.manifest import list_datasets
from ..errors import NotFound
from ..records import require
from ..workspace import Workspace

FOLD_ARMS = (
    "recipe:paper",
    "recipe:masked",
    "vae",
    "imagenet",
    "imagenet@96",
    "both",
    "imagenet+random",
    "imagenet+imagenet@96",
    "random",
)
EARLIER_VAE = "bundle:skin-vae-resnet18-64"  # of the library that ships, pretrained on HAM10000
LABEL_FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
SHORTCUT = (0.0, 0.25, 0.5, 0.75, 1.0)
SALIENCY_IMAGES = 200  # with a lesion mask


@dataclass(frozen=True)
class Preset:
    """What a preset fixes.

    Args:
        description: what it is for.
        study: its settings, those of the pretraining among them.
        pretrain_epochs: epochs of the pretraining.
        recipe: of the pretraining.
        images: how many the dataset holds (what `scale` is a share of).
        made_for: the public data set that it is made for, as an import calls it; empty: none.
    """

    description: str
    study: StudyConfig
    pretrain_epochs: int
    recipe: str = BEST
    images: int = 10_015
    made_for: str = HAM10000_SET.name


HAM10000 = StudyConfig(dataset="ham10000")
PRESETS: dict[str, Preset] = {
    "demo": Preset(
        "Synthetic images made on the spot; about two minutes on two cores from nothing. It shows how a comparison "
        "works and is no evidence.",
        dataclasses.replace(
            HAM10000,
            dataset="synth-600",
            arms=("vae", "imagenet", "random", EARLIER_VAE),
            seeds=(0, 1, 2),
            learning_rates=(3e-4, 1e-3, 3e-3, 1e-2),
            weight_decays=(0.0, 1.0, 3.0),
            bootstrap=1000,
        ),
        pretrain_epochs=16,
        images=600,
        made_for="",
    ),
    "laptop": Preset(
        "HAM10000, ResNet-18 to stage 3 at 64 px; unchanged, at most 40 minutes on two cores.",
        dataclasses.replace(HAM10000, linear_head=True),
        pretrain_epochs=16,
    ),
    "long": Preset(
        "HAM10000, ResNet-18 to stage 3 at 96 px, where ImageNet's features are best, and 200 epochs of "
        "pretraining; made for a GPU.",
        dataclasses.replace(HAM10000, input_size=96),
        pretrain_epochs=200,
    ),
    "paper": Preset(
        "The paper's backbone, ConvNeXt-Tiny at 224 px; made for a GPU. Its ImageNet arm needs "
        "weights that only an online machine can fetch.",
        dataclasses.replace(
            HAM10000, input_size=224, backbone=BackboneConfig(architecture="convnext_tiny", stage=3)
        ),
        pretrain_epochs=100,
        recipe="paper",
    ),
    "bundles": Preset(
        "VAE-pretrained and ImageNet weights fine-tuned end to end with one schedule: the shipped models.",
        dataclasses.replace(
            HAM10000,
            arms=("vae", "imagenet"),
            regime="finetune",
            seeds=(0,),
            finetune=FinetuneSchedule(epochs=12, layer_decay=1.0, ema_decay=0.0),
        ),  # as those in models/ were made
        pretrain_epochs=16,
    ),
    "folds": Preset(
        "HAM10000 in five folds, for a claim: every image is tested once, and pretraining, input size and settings are "
        "repeated in each fold. Plain, masked and SimCLR VAEs against ImageNet at two sizes, with controls of width; "
        "fifteen pretrainings of about five minutes of one core.",
        dataclasses.replace(
            HAM10000,
            arms=FOLD_ARMS,
            pretrain=PretrainConfig(dataset="ham10000", recipe=make_recipe(BEST)),
            folds=5,
            seeds=(0, 1, 2),
            label_fractions=(0.1, 1.0),
            linear_head=True,
        ),
        pretrain_epochs=4,
    ),
}


def preset(
    name: str,
    dataset: str | None = None,
    scale: float = 1.0,
    recipe: str | None = None,
    full: bool = False,
) -> StudyConfig:
    """The study called `name`.

    Args:
        dataset: instead of its own.
        scale: above 0, at most 1; the share of images, epochs, seeds (at least two) and grid
            points. A scaled study shows that everything works; its numbers say little.
        recipe: name of a pretraining recipe instead of the preset's own; its own arm is then left out.
        full: also with fewer labels and linear heads (not for fine-tuned models, whose training would be repeated for
            these), all corruptions and the planted artefact (not in folds).

    Raises:
        ConfigError: for an unknown name, scale or recipe.
    """
    require(name in PRESETS, "preset", name, ", ".join(PRESETS))
    require(0 < scale <= 1, "scale", scale, "above 0, at most 1")
    base = PRESETS[name]
    max_images = None if scale == 1 else max(200, round(base.images * scale))
    dataset = dataset or base.study.dataset
    generated = dataset in ("synth", PRESETS["demo"].study.dataset)
    if generated and max_images is not None:  # a smaller one is generated much sooner
        dataset, max_images = f"synth-{max_images}", None
    pretrain = PretrainConfig(
        dataset=dataset,
        backbone=base.study.backbone,
        input_size=base.study.input_size,
        max_images=max_images,
        recipe=make_recipe(recipe or base.recipe, epochs=_scaled(base.pretrain_epochs, scale, 2)),
    )
    arms = tuple(arm for arm in base.study.arms if arm != f"recipe:{pretrain.recipe.name}")
    config = dataclasses.replace(
        base.study,
        arms=arms,
        dataset=dataset,
        pretrain=pretrain,
        max_images=max_images,
        preset=name,
    )
    if full:
        config = _full(config)
    return config if scale == 1 else _shrink(config, scale)


def find_preset_dataset(workspace: Workspace, name: str) -> str | None:
    """The dataset of a workspace that the preset `name` is made for, else None.

    It is known by what its import recognised, not by its name; of several it is the one with the most
    images, of these the first by name. Of a preset that is made for none it is the preset's own.
    """
    made_for = PRESETS[name].made_for
    if not made_for:
        return PRESETS[name].study.dataset
    fitting = [row for row in list_datasets(workspace, disk=False) if row.known_as == made_for]
    return min(fitting, key=lambda row: (-row.images, row.name)).name if fitting else None


def preset_dataset(workspace: Workspace, name: str) -> str:
    """`find_preset_dataset`; raises NotFound, which says how to get the dataset, where there is none."""
    if dataset := find_preset_dataset(workspace, name):
        return dataset
    made_for = PRESETS[name].made_for
    raise NotFound(
        f"The preset {name} is made for {made_for}, and no dataset of this workspace was recognised as that: "
        f"`data get {made_for.lower()}` downloads and imports it, `data import PATH --name NAME` reads a copy "
        "that is here, and --dataset NAME takes another dataset."
    )


def _full(config: StudyConfig) -> StudyConfig:
    """The study with every question that its regime and its folds allow and that needs no other data."""
    frozen = config.regime == "frozen"
    if frozen:
        config = dataclasses.replace(config, label_fractions=LABEL_FRACTIONS, linear_head=True)
    if config.folds:
        return config
    shortcut = SHORTCUT if frozen else ()
    return dataclasses.replace(config, corruptions=CORRUPTIONS, shortcut=shortcut)


def _shrink(config: StudyConfig, scale: float) -> StudyConfig:
    seeds = _scaled(len(config.seeds), scale, min(2, len(config.seeds)))
    schedule = config.finetune
    return dataclasses.replace(
        config,
        seeds=config.seeds[:seeds],
        weight_decays=config.weight_decays if scale >= 0.5 else (0.3,),
        epochs=_scaled(config.epochs, scale, 12),
        bootstrap=_scaled(config.bootstrap, scale, 200),
        finetune=dataclasses.replace(schedule, epochs=_scaled(schedule.epochs, scale, 2)),
    )


def _scaled(value: int, scale: float, least: int) -> int:
    return max(least, round(value * scale))
