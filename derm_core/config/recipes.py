"""Named ways to pretrain a VAE. Light: no torch, so that pages and presets can list them.

The paper (Matas et al., arXiv 2505.16773) names a VAE and its encoder and publishes neither image
and latent size, decoder, beta, optimiser, schedule nor augmentation. Every such number here is ours.
Defaults are for ResNet-18 to stage 3 at 64 pixels on two CPU cores.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import ConfigError
from .pretrain import Recipe
from .shared import AugmentConfig

BEST = "views"  # the default: what validation chose (python -m experiments recipe)
RECIPES: dict[str, Recipe] = {
    "paper": Recipe(name="paper"),
    "masked": Recipe(
        name="masked",
        augment=AugmentConfig(
            brightness=0.2, contrast=0.2, saturation=0.2, cast=0.05, mask_ratio=0.5, mask_patch=8
        ),
    ),
    "views": Recipe(
        name="views",
        batch_size=64,
        learning_rate=2e-3,
        warmup_fraction=0.3,
        elbo_weight=1e-3,
        consistency=1.0,
        temperature=0.2,
        target="view",
        augment=AugmentConfig(
            scale_min=0.55, brightness=0.3, contrast=0.3, saturation=0.3, cast=0.1
        ),
    ),
}

_DESCRIPTIONS = {
    "paper": "Plain VAE: learned Gaussian noise level (Rybkin et al. 2020), KL warm-up, and flips, "
    "rotations and crops of input and target alike. The paper publishes no settings; these are ours.",
    "masked": "The plain VAE with half of the input's patches hidden and its colours jittered, and the "
    "clean image as target (denoising VAE, Im et al. 2017; masking after He et al. 2022). "
    "Ours, not the paper's.",
    "views": "The plain VAE, its ELBO weighted 1/1000, beside a term that makes the encoder's features "
    "tell two views of an image (rotation, crop, flip, colours) from those of all others in the batch "
    "(NT-Xent, Chen et al. 2020, "
    "SimCLR). No label is used. Ours, not the paper's.",
}


def recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe `name` with fields replaced, e.g. recipe("masked", epochs=4).

    `augment` may be an AugmentConfig or a dict of its fields to change. Raises ConfigError for an
    unknown recipe, an unknown field or a value that is not allowed.
    """
    if name not in RECIPES:
        raise ConfigError(f"recipe is {name!r}; allowed: {', '.join(RECIPES)}.")
    base = RECIPES[name]
    if isinstance(overrides.get("augment"), dict):
        overrides["augment"] = _replace(base.augment, overrides["augment"], "recipe.augment")
    return _replace(base, overrides, "recipe")


def with_equal_views(main: Recipe, name: str) -> Recipe:
    """The recipe `name`, for as many epochs that it sees as many views of images as the recipe `main`.

    >>> with_equal_views(recipe("views", epochs=16), "paper").epochs
    32
    """
    epochs = main.epochs * main.views / recipe(name).views
    return recipe(name, epochs=max(1, round(epochs)))


def describe(name: str) -> str:
    """One or two sentences on what the recipe does and where it comes from."""
    if name not in _DESCRIPTIONS:
        raise ConfigError(f"recipe is {name!r}; allowed: {', '.join(RECIPES)}.")
    return _DESCRIPTIONS[name]


def _replace(config: Any, changes: dict[str, Any], where: str) -> Any:
    fields = [field.name for field in dataclasses.fields(config)]
    for field in changes:
        if field not in fields:
            raise ConfigError(
                f"{where}.{field} is {changes[field]!r}; allowed: one of {', '.join(fields)}."
            )
    return dataclasses.replace(config, **changes)
