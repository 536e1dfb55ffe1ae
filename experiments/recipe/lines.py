"""The lines of the ablation: what is pretrained, and which features are judged. See recipe.py."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from derm_core.config import BackboneConfig, PretrainConfig, Recipe, StudyConfig
from derm_core.config.recipes import BEST, recipe
from derm_core.errors import ConfigError

WINNER = BEST  # the recipe of the finals: the lever line with the lowest validation loss
WINNER_POOLING, WINNER_SIZE = "pooled", 64
BASE = "views-256"  # the line that every lever changes in one thing
LEVER_EPOCHS, FINAL_EPOCHS, FINAL_SEEDS = 8, 16, (0, 1, 2)
CURVE = {
    "epochs-2": 0.25,
    "epochs-4": 0.5,
    WINNER: 1,
    "epochs-16": 2,
    "epochs-24": 3,
}  # in shares of a lever's epochs
FORMER_DEFAULTS = {"learning_rates": (1e-4, 3e-4, 1e-3), "weight_decays": (1e-2, 1e-1, 1.0)}
STRONG = {"scale_min": 0.3, "brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "cast": 0.2}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table: the features of `arm` at `input_size` pixels by `pooling`; of a VAE, after `recipe`."""

    name: str
    says: str
    arm: str = "vae"
    recipe: Recipe | None = None
    input_size: int = 64
    pooling: str = "pooled"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all lines share. test: whether the test split is looked at (finals), else validation alone."""

    dataset: str = "ham10000"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    split_seed: int = 0
    max_images: int | None = None
    device: str = "auto"
    head_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    head_epochs: int = 60
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    weight_decays: tuple[float, ...] = (1e-2, 1e-1, 1.0)
    resamples: int = 1000
    test: bool = False


def levers(epochs: int = LEVER_EPOCHS, **small: Any) -> list[Line]:
    """The references, the recipes that were, and every single change of BASE, in order of promise.

    small: fields of every recipe to replace, for tests. No line here is chosen by test images.
    """
    winner = recipe(WINNER, epochs=epochs, **small)
    base = dataclasses.replace(winner, name=BASE, batch_size=small.get("batch_size", 256))

    def one(name: str, says: str, size: int = 64, pooling: str = "pooled", **changes: Any) -> Line:
        augment = dataclasses.replace(base.augment, **changes.pop("augment", {}))
        changed = dataclasses.replace(base, name=name, augment=augment, **changes)
        return Line(name=name, says=says, recipe=changed, input_size=size, pooling=pooling)

    return [
        *references()[:2],
        Line(name=BASE, says="two views beside the ELBO, batches of 256", recipe=base),
        Line(
            name=WINNER, says="the recipe views: batches of 64, four times the steps", recipe=winner
        ),
        Line(name="both", says="views and ImageNet side by side", arm="both", recipe=winner),
        one("multi-stage", "features of the last two stages", pooling="multi"),
        one("clean-target", "the clean image is reconstructed", target="clean"),
        one("batch-128", "batches of 128: twice the steps", batch_size=base.batch_size // 2),
        one("batch-32", "batches of 32: eight times the steps", batch_size=base.batch_size // 8),
        Line(
            name="views-multi",
            says="views, features of the last two stages",
            recipe=winner,
            pooling="multi",
        ),
        one("strong-views", "stronger crops and colours", augment=STRONG),
        Line(
            name="no-consistency",
            says="without the view term; twice the epochs of one view each",
            recipe=dataclasses.replace(
                base, name="no-consistency", consistency=0.0, epochs=2 * epochs
            ),
        ),
        one("no-elbo", "without the ELBO", elbo_weight=0.0),
        Line(
            name="paper",
            says="the recipe paper; twice the epochs of one view each",
            recipe=recipe("paper", epochs=2 * epochs, **small),
        ),
        Line(
            name="masked",
            says="the recipe masked; twice the epochs of one view each",
            recipe=recipe("masked", epochs=2 * epochs, **small),
        ),
        one("small-elbo", "ELBO weighted 1/10,000", elbo_weight=1e-4),
        one("temperature-0.1", "temperature 0.1", temperature=0.1),
        one(
            "masked-views",
            "a quarter of each view hidden, the clean image reconstructed",
            target="clean",
            augment={"mask_ratio": 0.25},
        ),
        one("crops-0.3", "crops down to 0.3 of the side", augment={"scale_min": 0.3}),
        one(
            "colours-0.5",
            "colours changed by up to a half",
            augment={k: v for k, v in STRONG.items() if k != "scale_min"},
        ),
        one("ema", "an average of the weights", ema_decay=0.99),
        one("gradient", "an edge term in the reconstruction", gradient_weight=1.0),
        one("ssim", "a structure term in the reconstruction", ssim_weight=1.0),
        one("free-bits", "0.05 nats free in each latent dimension", free_bits=0.05),
        one("large-elbo", "ELBO weighted 1/100", elbo_weight=1e-2),
        one("temperature-0.5", "temperature 0.5", temperature=0.5),
        one("pixels-96", "images of 96 pixels", size=96),
        one("mu", "the posterior mean as feature", pooling="mu"),
        *(
            Line(
                name=name,
                says=f"views, {share:g} times the epochs",
                recipe=recipe(WINNER, epochs=round(share * epochs), **small),
            )
            for name, share in CURVE.items()
            if name != WINNER and share * epochs >= 1
        ),
        *references()[2:],
    ]


def references(pooling: str = "pooled", size: int = 64) -> list[Line]:
    """What needs no pretraining here: ImageNet and random weights at the common size, then ImageNet at others."""
    others = [
        Line(
            name=f"imagenet-{other}",
            says=f"ImageNet weights, images of {other} pixels",
            arm="imagenet",
            input_size=other,
            pooling=pooling,
        )
        for other in (64, 96, 128, 192)
        if other != size
    ]
    return [
        Line(
            name="imagenet",
            says="ImageNet weights",
            arm="imagenet",
            input_size=size,
            pooling=pooling,
        ),
        Line(name="random", says="random weights", arm="random", input_size=size, pooling=pooling),
        *others,
    ]


def finals(
    epochs: int = FINAL_EPOCHS, seeds: tuple[int, ...] = FINAL_SEEDS, **small: Any
) -> list[Line]:
    """The winner, its two controls, the plain recipe and `both`, each by pretraining seed, and the references."""
    best = recipe(WINNER, epochs=epochs, **small)
    lines = {
        "vae": best,
        "both": best,
        "no-consistency": dataclasses.replace(
            best, name="no-consistency", consistency=0.0, epochs=2 * epochs
        ),
        "no-elbo": dataclasses.replace(best, name="no-elbo", elbo_weight=0.0),
        "paper": recipe("paper", epochs=2 * epochs, **small),
    }
    says = {
        "vae": f"the recipe {WINNER}",
        "both": f"{WINNER} and ImageNet side by side",
        "no-consistency": f"{WINNER} without the view term; twice the epochs of one view each",
        "no-elbo": f"{WINNER} without the ELBO",
        "paper": "the recipe paper; twice the epochs of one view each",
    }
    trained = [
        Line(
            name=name,
            says=says[name],
            arm="both" if name == "both" else "vae",
            recipe=chosen,
            seed=seed,
            input_size=WINNER_SIZE,
            pooling=WINNER_POOLING,
        )
        for seed in seeds
        for name, chosen in lines.items()
    ]
    return [*references(WINNER_POOLING, WINNER_SIZE), *trained]


def pretraining(line: Line, setting: Setting) -> PretrainConfig:
    """The pretraining behind a line."""
    return PretrainConfig(
        dataset=setting.dataset,
        backbone=setting.backbone,
        input_size=line.input_size,
        recipe=line.recipe,
        split_seed=setting.split_seed,
        seed=line.seed,
        device=setting.device,
        max_images=setting.max_images,
    )


def comparison(line: Line, setting: Setting, vae_run: str | None) -> StudyConfig:
    """The features and heads of a line, in a study's terms."""
    return StudyConfig(
        dataset=setting.dataset,
        arms=(line.arm,),
        backbone=setting.backbone,
        input_size=line.input_size,
        vae_run=vae_run,
        pooling=line.pooling,
        split_seed=setting.split_seed,
        seeds=setting.head_seeds,
        epochs=setting.head_epochs,
        learning_rates=setting.learning_rates,
        weight_decays=setting.weight_decays,
        device=setting.device,
        max_images=setting.max_images,
    )


def key(config: Any) -> str:
    """Twelve digits that name a config's values.

    Equal for equal work, whatever its recipe is called and its device is.
    """
    body = changed(config)
    for name in ("device", "devices"):
        body.pop(name, None)
    if "recipe" in body:
        body["recipe"].pop("name", None)
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]


def changed(config: Any) -> dict[str, Any]:
    """Fields that differ from the class's defaults: a field added later does not rename finished work.

    Nor does a default that has changed since: the grid of the heads counts by its former one.
    """
    fields = {}
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        default = (
            spec.default_factory()
            if spec.default_factory is not dataclasses.MISSING
            else spec.default
        )
        if dataclasses.is_dataclass(value):
            fields[spec.name] = changed(value)
        elif value != FORMER_DEFAULTS.get(spec.name, default):
            fields[spec.name] = value
    return fields


def chosen(lines: list[Line], only: str | None) -> list[Line]:
    """The lines called `only` (names with commas), in that order, or all; ImageNet at the common size always, first."""
    if only is None:
        return lines
    names = only.split(",")
    unknown = set(names) - {line.name for line in lines}
    if unknown:
        raise ConfigError(
            f"only is {', '.join(sorted(unknown))}; allowed: {', '.join(dict.fromkeys(x.name for x in lines))}."
        )
    return [
        line for name in dict.fromkeys(("imagenet", *names)) for line in lines if line.name == name
    ]
