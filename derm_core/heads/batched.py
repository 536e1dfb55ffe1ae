"""Many two-layer heads trained as one network, each with its own learning rate and weight decay.

The G heads of a unit (an arm and a seed) see the same batches. Their first layers are one matrix,
(G·H, D), and one matmul; their second layers are one batched matmul. U units stand side by side as
a further batch dimension, which keeps a GPU busy, and a core with few features. Gradients come from
autograd; tests compare every weight with an ordinary torch training loop.

Shapes: U units, N images, B of a batch, D features, H hidden, C classes, G heads of a unit. Images
come last in all activations, which needs no copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets.head import classification_loss

ROWS = 512  # images in one evaluation step: the activations stay in the processor's cache
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # as torch.optim.AdamW


class Layers(NamedTuple):
    """Weights of all heads, or their gradients, in the shapes that the matmuls need."""

    first: Tensor  # (U, G·H, D)
    bias1: Tensor  # (U, G·H, 1)
    second: Tensor  # (U·G, C, H)
    bias2: Tensor  # (U·G, C, 1)


def forward(layers: Layers, x_und: Tensor) -> Tensor:
    """Logits (U·G, C, N) of features (U, N, D)."""
    active = F.gelu(torch.baddbmm(layers.bias1, layers.first, x_und.transpose(1, 2)))
    active = active.view(len(layers.second), -1, active.shape[2])
    return torch.baddbmm(layers.bias2, layers.second, active)


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) for heads with rates of their own.

    torch.optim.AdamW takes one rate a parameter group, and a group a head costs twice the time.

    Args:
        layers: the weights to change.
        units: U.
        grid: (learning rate, weight decay) of each of the G heads.
    """

    def __init__(self, layers: Layers, units: int, grid: Sequence[tuple[float, float]]) -> None:
        self.shape = (units, len(grid), -1)
        self.weights = [layer.detach().view(self.shape) for layer in layers]
        self.first = [torch.zeros_like(weight) for weight in self.weights]
        self.second = [torch.zeros_like(weight) for weight in self.weights]
        rates = torch.tensor(grid, dtype=layers.first.dtype, device=layers.first.device)
        self.rate, self.decay = rates[:, :1], rates[:, :1] * rates[:, 1:]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float) -> None:
        """One step at `factor` times each head's learning rate; overwrites the gradients."""
        self.steps += 1
        correct1, correct2 = 1 - BETA1**self.steps, (1 - BETA2**self.steps) ** 0.5
        shrink, rate = 1 - factor * self.decay, self.rate * (-factor * correct2 / correct1)
        for weight, gradient, first, second in zip(
            self.weights, gradients, self.first, self.second, strict=True
        ):
            gradient = gradient.reshape(self.shape)
            first.lerp_(gradient, 1 - BETA1)
            second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            update = torch.sqrt(second, out=gradient).add_(EPSILON * correct2)
            torch.div(first, update, out=update)
            weight.mul_(shrink).addcmul_(update, rate)


class BatchedHeads:
    """The G heads of U units of one width, their optimiser and their data.

    Args:
        heads: of each unit the Linear, GELU, Linear from which its G heads start.
        grid: (learning rate, weight decay) of each of the G heads.
        blocks: of "train" and "val" each unit's standardised features (N, D), and the labels (N,).
        loss: "cross_entropy", "focal" or "brier".
    """

    def __init__(
        self,
        heads: Sequence[torch.nn.Sequential],
        grid: Sequence[tuple[float, float]],
        blocks: Mapping[str, tuple[Sequence[Tensor], Tensor]],
        loss: str,
    ) -> None:
        self.blocks, self.loss = blocks, classification_loss(loss)
        self.units, self.rows = len(heads), len(blocks["train"][1])
        first, bias1, second, bias2 = (
            self._initial(values, len(grid)) for values in zip(*(h.parameters() for h in heads))
        )
        self.weights = (first, bias1, second, bias2)
        self.layers = Layers(
            first.flatten(1, 2).requires_grad_(),
            bias1.flatten(1).unsqueeze(-1).requires_grad_(),
            second.flatten(0, 1).requires_grad_(),
            bias2.flatten(0, 1).unsqueeze(-1).requires_grad_(),
        )
        self.optimiser = AdamW(self.layers, self.units, grid)

    def _initial(self, values: Sequence[Tensor], heads: int) -> Tensor:
        """(U, G, …): of each unit the same values for all its heads."""
        stacked = torch.stack([value.detach() for value in values])
        shape = (self.units, heads, *stacked.shape[1:])
        return stacked.to(self.blocks["train"][0][0]).unsqueeze(1).expand(shape).contiguous()

    @property
    def device(self) -> torch.device:
        return self.weights[0].device

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(layer.numel() for layer in self.layers)

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self.optimiser.steps

    def release(self) -> None:
        """Let go of the data and of the optimiser's moments, which only training needs."""
        self.blocks, self.optimiser.first, self.optimiser.second = {}, [], []

    def _spread(self, y_ub: Tensor) -> Tensor:
        """Labels (U·G, B) of all heads from those of the units (U, B)."""
        heads = len(self.layers.second) // self.units
        return y_ub.unsqueeze(1).expand(self.units, heads, -1).flatten(0, 1)

    @torch.enable_grad()
    def train_step(self, rows_ub: Tensor, factor: float) -> None:
        """One AdamW step on each unit's mean loss of its own batch.

        Args:
            rows_ub: training rows of each unit's batch.
            factor: of each head's learning rate, 0 to 1.
        """
        units, labels = self.blocks["train"]
        x_ubd = torch.stack([x_nd[rows] for x_nd, rows in zip(units, rows_ub, strict=True)])
        y_ub = labels[rows_ub]
        losses = self.loss(forward(self.layers, x_ubd), self._spread(y_ub))
        loss = losses.sum() / rows_ub.shape[1]
        self.optimiser.step(torch.autograd.grad(loss, self.layers), factor)

    @torch.no_grad()
    def evaluate(self, name: str, log_prior: Tensor) -> Tensor:
        """Mean loss, accuracy and balanced accuracy of all heads on the block `name`: (3, U, G)."""
        units, labels = self.blocks[name]
        classes = len(log_prior)
        loss = hits = torch.zeros((), dtype=torch.float64, device=labels.device)
        correct = torch.zeros((), device=labels.device)
        chunks = zip(*(x_nd.split(ROWS) for x_nd in units), strict=True)
        for x_ukd, y_k in zip(map(torch.stack, chunks), labels.split(ROWS), strict=True):
            logits, y = forward(self.layers, x_ukd), self._spread(y_k.expand(self.units, -1))
            right = _highest(logits - log_prior[:, None], y).double()
            loss = loss + self.loss(logits, y).sum(-1, dtype=torch.float64)
            correct = correct + _highest(logits, y).sum(-1)
            hits = hits + right @ F.one_hot(y_k, classes).double()
        counts = torch.bincount(labels, minlength=classes).double()
        recall = hits[:, counts > 0] / counts[counts > 0]
        table = torch.stack([loss / len(labels), correct / len(labels), recall.mean(-1)])
        return table.view(3, self.units, -1)

    @torch.no_grad()
    def logits(self, x_nd: Tensor, unit: int, head: int) -> Tensor:
        """Logits (N, C) of one head for standardised features."""
        w1, b1, w2, b2 = (part[unit, head] for part in self.weights)
        return F.gelu(x_nd @ w1.T + b1) @ w2.T + b2


def _highest(scores: Tensor, labels: Tensor) -> Tensor:
    """Whether the true class has the highest of the scores (K, C, B): (K, B)."""
    return scores.gather(1, labels.unsqueeze(1)).squeeze(1) == scores.amax(1)
