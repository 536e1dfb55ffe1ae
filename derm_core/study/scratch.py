"""The arm `scratch` of a frozen study: the same architecture, trained end to end with labels, as a reference.

Its regime differs from that of the arms beside it, and a note states so: its backbone has seen
labels, theirs is frozen. Same split, classes, input size and seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from ..arms import (
    arm_label,
    arm_parts,
    arm_recipe,
    arm_size,
    in_order,
    reads_images_alone,
)
from ..config import StudyConfig
from ..config.labels import study_labels, vae_label
from ..data.splits import SPLITS
from ..errors import ConfigError
from ..events import Event
from ..formatting import count
from ..nets.batchnorm import has_batch_norm
from ..nets.lora import attention_layers
from .arms import Arm
from .finetune import finetune
from .trained_arm import TrainedArm, TrainedStudy

NOTE = (
    "{label} is trained end to end with the labels, by the schedule of fine-tuning without layer-wise decay; the "
    "other arms' backbones are frozen. It shows what labels alone reach, and is no comparison under equal conditions."
)


LORA = (
    "LoRA (Hu et al. 2021) of rank {rank}: in place of the weights, low-rank updates of the linear query, key, value "
    "and output layers of attention are trained, and merged before testing. The schedule is the same."
)

FEW_STEPS = 30  # of training; batch norm's running statistics forget a tenth at each
SHORT = (
    "{steps} of fine-tuning are few: the running statistics of batch normalisation, with which networks are tested, "
    "may lag behind the weights, and the tested network may be much worse than the trained one. Networks with it: "
    "{labels}. Give more epochs or images."
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


def lora_notes(arms: list[Arm], rank: int) -> list[str]:
    """What LoRA of this rank trains of each of these arms; none of rank 0."""
    if not rank:
        return []
    layers = {arm.label: len(attention_layers(arm.parts[0].backbone)) for arm in arms}
    adapted = [f"{label} {number}" for label, number in layers.items() if number]
    whole = [label for label, number in layers.items() if not number]
    note = LORA.format(rank=rank)
    note += f" Layers with updates: {', '.join(adapted)}." if adapted else ""
    if whole:
        note += f" Networks in which no such layer was found are trained whole: {', '.join(whole)}."
    return [note]


def short_training_notes(arms: list[Arm], steps: int) -> list[str]:
    """A caution where arms with batch normalisation are fine-tuned for few steps."""
    affected = [arm.label for arm in arms if has_batch_norm(arm.parts[0].backbone)]
    if steps >= FEW_STEPS or not affected:
        return []
    return [SHORT.format(steps=count(steps, "step"), labels=", ".join(affected))]


def not_finetuned(arm: str) -> str | None:
    """Why an arm cannot be fine-tuned; None where it can."""
    if not reads_images_alone(arm):
        return "metadata and embeddings are compared with frozen features alone"
    if len(arm_parts(arm)) > 1:
        return "two backbones side by side are not fine-tuned as one"
    if arm_size(arm):
        return "the study's own network is fine-tuned at one input size"
    return "it has nothing to fine-tune" if arm == "colour" else None


def with_scratch(
    study: TrainedStudy, arms: list[Arm]
) -> Generator[Event, None, dict[str, TrainedArm]]:
    """The trained arms of a study, with that of `scratch` where it is among `arms`, in every table's order.

    When the study is resumed, finished seeds are not trained again and an unfinished one goes on.
    """
    from_scratch = [arm for arm in arms if arm.kind == "scratch"]
    if not from_scratch:
        return study.trained
    # There are no pretrained layers to protect.
    schedule = dataclasses.replace(study.config.finetune, layer_decay=1.0)
    config = dataclasses.replace(study.config, finetune=schedule)
    # All training images, as frozen arms.
    positions = {split: study.data.members(split) for split in SPLITS}
    unprotected = dataclasses.replace(study, config=config)
    every = study.trained | (yield from finetune(unprotected, from_scratch, positions))
    return {arm: every[arm] for arm in in_order(every)}
