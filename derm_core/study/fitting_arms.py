"""Which arms the regime of a study can train, and why others are left out: by their names, without PyTorch."""

from __future__ import annotations

import dataclasses

from ..arms import arm_label, arm_parts, arm_recipe, arm_size, reads_images_alone
from ..config import StudyConfig
from ..config.labels import study_labels, vae_label
from ..errors import ConfigError

NOTE = (
    "{label} is trained end to end with the labels, by the schedule of fine-tuning without layer-wise decay; the "
    "other arms' backbones are frozen. It shows what labels alone reach, and is no comparison under equal conditions."
)


def fitting_arms(config: StudyConfig) -> tuple[StudyConfig, list[str]]:
    """The config with the arms that its regime can train, and notes on what is left out or differs.

    Fine-tuned, joined arms and `colour` have no one backbone, all read one input size, and `scratch`
    is what `random` is. Raises ConfigError where no arm is left.
    """
    label = arm_label("scratch")
    if config.regime == "frozen":
        if set(config.arms) == {"scratch"}:
            raise ConfigError(
                "arms is ('scratch',); allowed with regime 'frozen': a frozen arm beside it, such as random."
            )
        return config, [NOTE.format(label=label)] if "scratch" in config.arms else []
    why = {arm: reason for arm in config.arms if (reason := not_finetuned(arm))}
    left = tuple(arm for arm in config.arms if arm not in why)
    vae = vae_label(config.pretrain.recipe) if config.pretrain else None
    names = study_labels(config.arms, config.input_size, vae)
    notes = [f"{names[arm]} is left out: {reason}." for arm, reason in why.items()]
    if {"scratch", "random"} <= set(left):
        left = tuple(arm for arm in left if arm != "scratch")
        notes.append(
            f"{label} is left out: in this regime {arm_label('random')} is trained end to end as well."
        )
    if not left:
        raise ConfigError(
            f"arms is {config.arms!r}; allowed with regime 'finetune': vae, imagenet, random, scratch, "
            "timm:NAME, hf-hub:OWNER/NAME, file:FILE.safetensors+ARCHITECTURE, bundle:NAME or run:ID."
        )
    runs = dict(zip(config.recipes, config.recipe_runs, strict=False))
    of_left = [runs[recipe] for arm in left if (recipe := arm_recipe(arm)) in runs]
    return dataclasses.replace(config, arms=left, recipe_runs=tuple(of_left)), notes


def not_finetuned(arm: str) -> str | None:
    """Why an arm cannot be fine-tuned; None where it can."""
    if not reads_images_alone(arm):
        return "metadata and embeddings are compared with frozen features alone"
    if len(arm_parts(arm)) > 1:
        return "two backbones side by side are not fine-tuned as one"
    if arm_size(arm):
        return "the study's own network is fine-tuned at one input size"
    return "it has nothing to fine-tune" if arm == "colour" else None
