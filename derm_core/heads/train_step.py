"""One training step of wide heads: gradients written out by hand, AdamW (Loshchilov and Hutter 2019).

On a CPU, where each core trains heads of its own, a step runs as TorchScript: it takes Python's
interpreter lock once, where plain Python would pass it between the threads at each of some sixty
short operations (two threads: 14 % slower than two processes). The operations are the same either
way, and so is every bit of the result.

Shapes: U units, B images of a batch, D features, H hidden, C classes, G heads of a unit. Images come
last in all activations, which needs no copies.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layers(NamedTuple):
    """Weights of all heads, or their gradients, as matmuls need them; no copies.

    first (U, G·H, D) and bias1 (U, G·H, 1), second (U·G, C, H) and bias2 (U·G, C, 1).
    """

    first: Tensor
    bias1: Tensor
    second: Tensor
    bias2: Tensor


def forward(layers: Layers, x_und: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pre-activations (U, G·H, n), activations (U·G, H, n), logits (U, G, C, n) of features (U, n, D)."""
    units, size = x_und.shape[0], x_und.shape[1]
    before = torch.baddbmm(layers.bias1, layers.first, x_und.transpose(1, 2))
    active = F.gelu(before).view(layers.second.shape[0], -1, size)
    logits = torch.baddbmm(layers.bias2, layers.second, active)
    return before, active, logits.view(units, -1, logits.shape[1], size)


class AdamW(nn.Module):
    """Its constants (torch's defaults), attributes since TorchScript sees no globals."""

    def __init__(self) -> None:
        super().__init__()
        self.beta1, self.beta2, self.eps = 0.9, 0.999, 1e-8


class AdamWByHead(AdamW):
    """torch's fused kernel, once a head: it reads and writes each number once, but knows one rate a call.

    state: of each head its weights, gradients, first and second moments, a list of tensors each.
    grid: (learning rate, weight decay) of each head.
    """

    state: list[list[list[Tensor]]]
    grid: list[tuple[float, float]]

    def __init__(self, state: list[list[list[Tensor]]], grid: list[tuple[float, float]]) -> None:
        super().__init__()
        self.state, self.grid = state, grid
        self.count = torch.zeros((), device=state[0][0][0].device)

    def forward(self, step: int, factor: float) -> None:
        counts = [self.count.fill_(step)] * len(self.state[0][0])
        for k in range(len(self.grid)):
            weights, gradients, first, second = self.state[k]
            rate, decay = self.grid[k]
            torch._fused_adamw_(
                weights,
                gradients,
                first,
                second,
                [],
                counts,
                lr=rate * factor,
                beta1=self.beta1,
                beta2=self.beta2,
                weight_decay=decay,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )


class AdamWByElement(AdamW):
    """Every number with its own rate and decay: few large kernels, however many heads.

    All arguments are flat vectors of one length; decay is weight decay times learning rate.
    """

    def __init__(
        self,
        weights: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        rate: Tensor,
        decay: Tensor,
    ) -> None:
        super().__init__()
        self.weights, self.gradient, self.first, self.second = weights, gradient, first, second
        self.rate, self.decay, self.scratch = rate, decay, torch.empty_like(weights)

    def forward(self, step: int, factor: float) -> None:
        correct1, correct2 = 1 - self.beta1**step, (1 - self.beta2**step) ** 0.5
        self.first.lerp_(self.gradient, 1 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(self.gradient, self.gradient, value=1 - self.beta2)
        torch.sqrt(self.second, out=self.scratch).add_(self.eps * correct2)
        torch.div(self.first, self.scratch, out=self.scratch)
        self.weights.addcmul_(self.weights, self.decay, value=-factor)
        self.weights.addcmul_(self.scratch, self.rate, value=-factor * correct2 / correct1)


class Step(nn.Module):
    """One AdamW step on each unit's mean loss of its own batch.

    inputs (U·N, D); onehot (N, C); offsets (U, 1): where each unit's rows of `inputs` start.
    gradient: of the loss with respect to logits (U, G, C, B), given one-hot labels (U, 1, C, B).
    """

    layers: Layers
    slopes: Layers

    def __init__(
        self,
        inputs: Tensor,
        onehot: Tensor,
        offsets: Tensor,
        layers: Layers,
        slopes: Layers,
        gradient: Callable[[Tensor, Tensor], Tensor],
        adamw: nn.Module,
    ) -> None:
        super().__init__()
        self.inputs, self.onehot, self.offsets = inputs, onehot, offsets
        self.layers, self.slopes = layers, slopes
        self.gradient, self.adamw = gradient, adamw

    def forward(self, rows_ub: Tensor, step: int, factor: float) -> None:
        """Step number `step` (from 1) on the rows (U, B), at `factor` times each head's learning rate."""
        units, size = rows_ub.shape[0], rows_ub.shape[1]
        x_ubd = self.inputs.index_select(0, (rows_ub + self.offsets).flatten()).view(
            units, size, -1
        )
        y_ucb = (
            self.onehot.index_select(0, rows_ub.flatten()).view(units, 1, size, -1).transpose(2, 3)
        )
        before, active, logits = forward(self.layers, x_ubd)
        slope = self.gradient(logits, y_ucb).div_(size).flatten(0, 1)
        torch.bmm(slope, active.transpose(1, 2), out=self.slopes.second)
        torch.sum(slope, [2], keepdim=True, out=self.slopes.bias2)
        slope = torch.bmm(self.layers.second.transpose(1, 2), slope).view_as(before)
        slope = torch.ops.aten.gelu_backward(slope, before)
        torch.bmm(slope, x_ubd, out=self.slopes.first)
        torch.sum(slope, [2], keepdim=True, out=self.slopes.bias1)
        self.adamw(step, factor)
