"""The optimiser of every training: AdamW in groups, with layer-wise decay of the learning rate where asked for."""

from __future__ import annotations

import torch
from torch import nn

from ..nets.backbone import FeatureNetwork


def make_optimiser(
    task: nn.Module, lr: float, wd: float, layer_decay: float = 1.0
) -> torch.optim.AdamW:
    """AdamW (fused) over what requires gradients; vectors and scalars (norms, biases) do not decay.

    layer_decay: factor on the learning rate from each layer of the task's backbone to the one below
    it (Clark et al. 2020; Bao et al. 2021, BEiT); what stands on the backbone keeps the full rate.
    Each group's "scale" is its factor: see `set_rate`.
    """
    scales = layer_scales(task, layer_decay)
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            kind = (scales.get(name, 1.0), wd if parameter.ndim > 1 else 0.0)
            group = groups.setdefault(
                kind, {"params": [], "weight_decay": kind[1], "scale": kind[0], "lr": lr * kind[0]}
            )
            group["params"].append(parameter)
    return torch.optim.AdamW(
        [groups[kind] for kind in sorted(groups, reverse=True)], lr=lr, fused=True
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give each group the learning rate `rate` times its scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def layer_scales(task: nn.Module, layer_decay: float) -> dict[str, float]:
    """Factor on the learning rate by name, for the parameters of the task's backbones.

    The topmost layer has layer_decay, each layer below it once more: a network of n layers (the stem
    is one) begins at layer_decay ** n.
    """
    if layer_decay == 1.0:
        return {}
    scales: dict[str, float] = {}
    for prefix, module in task.named_modules():
        if isinstance(module, FeatureNetwork) and (layers := module.layers()):
            top = max(layers.values()) + 1
            scales |= {
                f"{prefix}.{name}": layer_decay ** (top - layer) for name, layer in layers.items()
            }
    return scales
