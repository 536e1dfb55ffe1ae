"""Batch norm for fine-tuning at another image size: new statistics, the same function."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)
ROUNDING = 1e-4  # of the largest output
FOLDED = ("BatchNorm2d", "BatchNormAct2d")  # PyTorch's, and timm's, which ends in an activation
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d  # of tokens or vectors, and of maps


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a network has a batch norm, which computes with running statistics in eval mode."""
    return bool(_batch_norms(network))


@torch.no_grad()
def match_statistics(network: Network, images_bchw: Tensor) -> Network:
    """Give every batch norm the statistics of `images_bchw` without changing what eval mode computes.

    Statistics depend on image size: a network whose statistics were taken at 224 px computes
    something else in train mode at 64 px, and fine-tuning would start there. Scale and shift are
    adapted to the new statistics, so eval mode stays as it was (up to rounding) and train mode
    agrees with it.
    images_bchw: normalised images of the training split, a few hundred. Works in place.
    """
    layers = _batch_norms(network)
    seen: dict[BatchNorm, tuple[Tensor, Tensor]] = {}

    def record(layer: BatchNorm, inputs: tuple[Tensor]) -> None:
        others = [axis for axis in range(inputs[0].ndim) if axis != 1]  # than that of channels
        variance, mean = torch.var_mean(inputs[0].double(), dim=others, correction=0)
        seen[layer] = mean, variance

    hooks = [layer.register_forward_pre_hook(record) for layer in layers]
    training = network.training
    network.eval()(images_bchw)
    network.train(training)
    for hook in hooks:
        hook.remove()
    for layer, (mean, variance) in seen.items():
        if layer.running_mean is None or layer.running_var is None or not layer.affine:
            continue  # it uses each batch's own statistics, or has nothing to adapt
        old = torch.rsqrt(layer.running_var.double() + layer.eps)
        slope = layer.weight.double() * old
        layer.bias.copy_(layer.bias.double() + slope * (mean - layer.running_mean.double()))
        layer.weight.copy_(slope * torch.sqrt(variance + layer.eps))
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
    return network


@torch.no_grad()
def measure_statistics(network: Network, images_bchw: Tensor) -> Network:
    """Give every batch norm the statistics that train mode finds on `images_bchw`; in place."""
    layers = _batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average, here of one batch
    network.train()(images_bchw)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return network.eval()


def _batch_norms(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


@torch.no_grad()
def fold(network: Network, example_bchw: Tensor) -> Network:
    """A copy for eval mode whose batch norms are part of the convolutions before them.

    It computes the same function with fewer operations; outputs differ by rounding. Source:
    `torch.nn.utils.fuse_conv_bn_eval`. A network without batch norm is returned as it is. Of timm's
    norms that end in an activation (BatchNormAct2d) that activation stays.

    Args:
        network: in eval mode; it is not changed.
        example_bchw: an input to compare both on. Where they differ by more than rounding, a batch
            norm does not follow the convolution that is registered before it, and the network
            itself is returned.
    """
    if not has_batch_norm(network):
        return network
    folded = copy.deepcopy(network)
    for parent in list(folded.modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(parent.named_children())):
            if type(convolution) is not nn.Conv2d or not isinstance(norm, nn.BatchNorm2d):
                continue
            if type(norm).__name__ in FOLDED and norm.num_features == convolution.out_channels:
                exact = fuse_conv_bn_eval(convolution.double(), norm.double())
                setattr(parent, name, exact.to(example_bchw.dtype))
                setattr(parent, norm_name, getattr(norm, "act", nn.Identity()))
    expected = network(example_bchw)
    apart = (folded(example_bchw) - expected).abs().max()
    return folded if apart <= ROUNDING * expected.abs().max() else network
