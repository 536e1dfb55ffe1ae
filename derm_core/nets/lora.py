"""LoRA: low-rank updates of a transformer's attention, trained in the place of its weights.

Hu et al. 2021 (arXiv 2106.09685): W + B A with B = 0 at the start and alpha = rank, on the layers
that give queries, keys, values and the output of attention. The updates stand in torch's
parametrizations of the weights, so that networks which read a weight themselves (BEiT, EVA) have
them too, and merging is torch's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

QUERIES_KEYS_VALUES = ("qkv", "qk", "q", "k", "v", "kv", "q_proj", "k_proj", "v_proj")
FAMILIES_OWN = ("wq", "wk", "wv", "to_query", "to_key")  # CrossViT, SwiftFormer
ATTENTION = (*QUERIES_KEYS_VALUES, *FAMILIES_OWN, "proj", "out_proj")


class LowRank(nn.Module):
    """weight (out, in) -> weight + b a, a (rank, in), b (out, rank)."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator):
        super().__init__()
        bound = 1 / math.sqrt(weight.shape[1])  # as torch's Linear begins
        a = torch.empty(rank, weight.shape[1]).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def attention_layers(network: nn.Module) -> list[nn.Linear]:
    """The linear layers of attention; none of a network without, or whose attention has convolutions in their place."""
    layers = []
    for name, module in network.named_modules():
        bare = name.removesuffix(".linear").removesuffix(".ln")  # LeViT: with their norm
        *above, last = bare.split(".")
        if isinstance(module, nn.Linear) and last in ATTENTION:
            layers += [module] * any("attn" in part for part in above)
    return layers


def add_lora(network: nn.Module, rank: int, seed: int) -> int:
    """Freeze a network and give its attention low-rank updates to train; in place.

    Returns:
        The number of layers that have one; a network without such layers stays as it is.
    """
    layers = attention_layers(network)
    if not layers:
        return 0
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        update = LowRank(layer.weight.detach(), rank, generator)
        parametrize.register_parametrization(layer, "weight", update)
    return len(layers)


def merge_lora(network: nn.Module) -> None:
    """Add the updates to the weights, which can be trained again; in place. Without updates nothing changes."""
    layers = [layer for layer in network.modules() if parametrize.is_parametrized(layer, "weight")]
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    if layers:
        network.requires_grad_(True)
