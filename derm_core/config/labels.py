"""What the arms of one study are called: after the recipes of their VAEs and their input sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..arms import ARM_STYLES, arm_label, arm_parts, arm_size, joined_label
from ..records import from_json
from .pretrain import Recipe


def vae_label(recipe: Recipe) -> str:
    """What a VAE of a recipe is called: "VAE (plain)", "VAE (masked input)" or "VAE + SimCLR"."""
    if recipe.consistency > 0:
        return ARM_STYLES["recipe:views"].name
    masked = recipe.augment.mask_ratio > 0
    return ARM_STYLES["recipe:masked" if masked else "recipe:paper"].name


def recorded_label(pretraining: Mapping[str, Any] | None) -> str | None:
    """`vae_label` of the config of a pretraining as a file has it; None where it names no recipe."""
    recipe = (pretraining or {}).get("recipe")
    return vae_label(from_json(Recipe, recipe, unknown="ignore")) if recipe else None


def study_labels(
    arms: Sequence[str],
    input_size: int,
    vae: str | None = None,
    extractors: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The name of each arm of a study.

    Args:
        arms: of the study.
        input_size: of the study, in pixels.
        vae: what its arm vae is called, `vae_label`; None where that is not known.
        extractors: {arm: what it is called} of arms bundle:NAME that are extractors, of arms with a network
            of their own, and of metadata, after what of it the dataset has.

    >>> study_labels(["vae", "both"], 64, "VAE + SimCLR")
    {'vae': 'VAE + SimCLR', 'both': 'VAE + SimCLR + ImageNet'}
    >>> study_labels(["imagenet", "imagenet@96", "imagenet+random"], 64)["imagenet"]
    'ImageNet at 64 px'
    """
    own = {**(extractors or {}), **({"vae": vae} if vae else {})}
    sized = {"imagenet": f"{arm_label('imagenet')} at {input_size} px"}
    several_sizes = any(arm_size(part) for arm in arms for part in arm_parts(arm))

    def label(arm: str) -> str:
        parts = arm_parts(arm)
        sizes_differ = several_sizes if len(parts) == 1 else any(map(arm_size, parts))
        names = own | sized if sizes_differ else own
        of_parts = [names.get(part) or arm_label(part) for part in parts]
        return joined_label(of_parts) if len(parts) > 1 else of_parts[0]

    labels = {arm: label(arm) for arm in arms}
    shared = Counter(labels.values())
    return {arm: f"{name}, {arm}" if shared[name] > 1 else name for arm, name in labels.items()}
