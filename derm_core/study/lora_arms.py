"""Which arms of a study have attention that LoRA can train, known from their architectures: no weights are read."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch

from ..arms import arm_kind, own_architecture
from ..bundles.card import WHOLE_NETWORK, read_card
from ..bundles.model_library import find_bundle
from ..config import BackboneConfig, PretrainConfig, from_dict
from ..errors import DermError
from ..files import read_json
from ..nets.backbone import Backbone
from ..nets.lora import attention_layers
from ..nets.timm_models import timm_library
from ..workspace import Workspace


def lora_arms(
    arms: Iterable[str], backbone: BackboneConfig, workspace: Workspace
) -> dict[str, bool | None]:
    """Of each arm whether its network has linear layers of attention, which LoRA trains.

    Args:
        arms: each with one network, as fine-tuning trains them.
        backbone: of every arm without a network of its own.
        workspace: with the bundles and runs that are arms.

    Returns:
        {arm: True or False}; None where it cannot be told before the run, as of a repository of the hub
        whose architecture is not known here.
    """
    adapted: dict[str, bool | None] = {}
    for arm in arms:
        try:
            architecture = _architecture(arm, backbone, workspace)
            adapted[arm] = None if architecture is None else _has_attention(*architecture)
        except (DermError, OSError, ValueError):
            adapted[arm] = None
    return adapted


def _architecture(
    arm: str, backbone: BackboneConfig, workspace: Workspace
) -> tuple[str, int] | None:
    """Architecture and last stage of an arm's network."""
    name = arm.partition(":")[2]
    if own := own_architecture(arm):
        return None if own.kind == "hf-hub" else (own.name.partition(".")[0], WHOLE_NETWORK)
    if arm_kind(arm) == "bundle":
        card = read_card(read_json(find_bundle(workspace, name) / "card.json"))
        return card.architecture, card.stage
    if arm_kind(arm) == "run":
        pretraining = from_dict(read_json(workspace.run(name).config), PretrainConfig)
        return pretraining.backbone.architecture, pretraining.backbone.stage
    return backbone.architecture, backbone.stage


@functools.lru_cache(maxsize=256)
def _has_attention(architecture: str, stage: int) -> bool | None:
    """Whether a network has such layers; None where it cannot be built without its weights."""
    try:
        with torch.device("meta"):
            if stage == WHOLE_NETWORK:
                network = timm_library().create_model(architecture, pretrained=False)
            else:
                network = Backbone(BackboneConfig(architecture=architecture, stage=stage))
    except Exception:  # timm's architectures fail in as many ways as there are
        return None
    return bool(attention_layers(network))
