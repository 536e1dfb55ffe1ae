"""The network of a published classifier, built as its card says."""

from __future__ import annotations

import torch

from ..config import BackboneConfig
from ..nets.backbone import FeatureNetwork, build_backbone
from ..nets.pretrained import build_pretrained
from ..nets.pretrained_sources import require_architecture
from ..nets.timm_models import timm_library
from .card import WHOLE_NETWORK, Card


def build_network(card: Card) -> FeatureNetwork:
    """The backbone up to a stage or the whole network of a card, with random weights.

    Raises:
        ConfigError: timm does not know the architecture.
        ValueError: it has other tensors, or other features, than the card says.
    """
    if card.stage == WHOLE_NETWORK:
        require_architecture(card.architecture)
        _check_skeleton(card)
        network: FeatureNetwork = build_pretrained(
            card.architecture, card.input_size, card.tokens, card.model_args
        )
    else:
        config = BackboneConfig(architecture=card.architecture, stage=card.stage)
        network = build_backbone(config, 0, card.model_args)
    check_width(card, network)
    return network


def check_width(card: Card, network: FeatureNetwork) -> None:
    """Raise ValueError where a network has other features than the card says."""
    if network.width != card.features:
        raise ValueError(
            f"{card.network} has {network.width} features, the card says {card.features}"
        )


def _check_skeleton(card: Card) -> None:
    """Compare the tensors of the network with the file's before memory is taken for them."""
    timm = timm_library()
    try:
        with torch.device("meta"):
            body = timm.create_model(
                card.architecture, pretrained=False, num_classes=0, **card.model_args
            )
    except Exception as error:  # of a card from elsewhere, whose arguments do not go together
        raise ValueError(f"{card.architecture} cannot be built: {error}") from error
    for name, tensor in body.state_dict().items():
        stored = card.tensors.get(f"backbone.body.{name}")
        if name.endswith("num_batches_tracked"):
            continue
        if stored is None or stored.shape != tuple(tensor.shape):
            raise ValueError(f"{card.architecture} needs a tensor {name} {tuple(tensor.shape)}")
