"""How networks of a new study are fine-tuned: epochs, and LoRA where they have attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import streamlit as st

from derm_core.arms import arm_style
from derm_core.config import BackboneConfig, FinetuneSchedule
from derm_core.study.fitting_arms import not_finetuned
from derm_core.workspace import Workspace
from pages.ui import words
from pages.ui.config_fields import number_field

FROZEN = "Frozen features train no weights of networks: choose the regime Fine-tuned."
NO_ATTENTION = (
    "LoRA trains linear layers of attention, as vision transformers have, and no network of these arms has one. "
    "*Add networks* above lists transformers."
)


def choose_schedule(
    workspace: Workspace,
    base: FinetuneSchedule,
    regime: str,
    arms: Sequence[str],
    backbone: BackboneConfig,
    tag: str,
) -> FinetuneSchedule:
    """The schedule of fine-tuning; that of the preset without LoRA where features are frozen.

    Args:
        workspace: with the models and runs that are arms.
        base: the preset's.
        regime: "frozen" or "finetune".
        arms: of the study.
        backbone: of the arms without a network of their own.
        tag: in the widgets' keys.
    """
    trained = [arm for arm in arms if not not_finetuned(arm)] if regime == "finetune" else []
    adapted = _lora_arms(trained, backbone, workspace) if trained else {}
    epochs = base.epochs
    if regime == "finetune":
        epochs = number_field(
            FinetuneSchedule, "epochs", "Epochs of fine-tuning", epochs, key=f"tuning-epochs-{tag}"
        )
        st.caption(describe_schedule(base))
    usable = any(has is not False for has in adapted.values())
    rank = number_field(
        FinetuneSchedule,
        "lora_rank",
        "LoRA rank (0: none)",
        base.lora_rank,
        key=f"lora-{tag}",
        disabled=not usable,
        help=FROZEN if regime == "frozen" else None,
    )
    rank = rank if usable else 0
    if trained and (note := describe_lora(adapted, rank)):
        st.caption(note)
    return dataclasses.replace(base, epochs=epochs, lora_rank=rank)


def _lora_arms(
    arms: Sequence[str], backbone: BackboneConfig, workspace: Workspace
) -> dict[str, bool | None]:
    from derm_core.study.lora_arms import (
        lora_arms,
    )  # loads torch, which frozen features do not need

    return lora_arms(arms, backbone, workspace)


def describe_schedule(schedule: FinetuneSchedule) -> str:
    """What every arm is trained with, in one sentence."""
    decay = (
        f", {schedule.layer_decay:g} times that in each layer below"
        if schedule.layer_decay < 1
        else ""
    )
    return (
        f"AdamW at a learning rate of {schedule.learning_rate:g}{decay}; batches of {schedule.batch_size}; the same "
        "for every arm."
    )


def describe_lora(adapted: Mapping[str, bool | None], rank: int) -> str:
    """Which arms LoRA trains, which are trained whole, and of which that is not known; or why there is no LoRA.

    Empty where LoRA is possible and not asked for. adapted: see `lora_arms`.
    """
    if not any(has is not False for has in adapted.values()):
        return NO_ATTENTION
    if not rank:
        return ""
    parts = {
        "LoRA": [arm for arm, has in adapted.items() if has],
        "Trained whole, without attention": [arm for arm, has in adapted.items() if has is False],
        "Known when the run starts": [arm for arm, has in adapted.items() if has is None],
    }
    return " ".join(
        f"{what}: {', '.join(words.plain(arm_style(arm).name) for arm in those)}."
        for what, those in parts.items()
        if those
    )
