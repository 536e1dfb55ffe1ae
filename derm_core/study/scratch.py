"""The arm `scratch` of a frozen study: the same architecture, trained end to end with labels, as a reference.

Its regime differs from that of the arms beside it, and a note states so: its backbone has seen
labels, theirs is frozen. Same split, classes, input size and seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from ..arms import in_order
from ..data.splits import SPLITS
from ..events import Event
from ..formatting import count
from ..nets.batchnorm import has_batch_norm
from ..nets.lora import attention_layers
from .arms import Arm
from .finetune import finetune
from .trained_arm import TrainedArm, TrainedStudy

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
