"""Many small heads as one wide network: equal input and batches, their own learning rates and decays.

G two-layer heads that see the same batches train together. The weights of their first layers lie
side by side, (G·H, D), so that one matmul serves them all; the second layers are one batched
matmul; AdamW (Loshchilov and Hutter 2019) runs on one flat vector with a learning rate for each
element. Gradients are written out by hand in a layout with images last, which needs no copies; a
test compares every weight with an ordinary torch training loop.

Shapes: N images, B of a batch, D features, H hidden, C classes, G heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
ROWS = 512  # images in one evaluation step: the activations stay in the processor's cache


@dataclass(frozen=True)
class Loss:
    """Of logits (G, C, B) and labels (B,): `values` (G, B) and its `gradient` (G, C, B) for the logits."""

    values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    gradient: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _onehot(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(C, B)."""
    return F.one_hot(labels, logits.shape[1]).T.to(logits.dtype)


def _true(values_gcb: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(G, 1, B): the entries of each image's own class."""
    return values_gcb.gather(1, labels.expand(values_gcb.shape[0], 1, -1))


def _highest(scores_gcb: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether the true class has the highest score, (G, B): what argmax says, but vectorised."""
    return _true(scores_gcb, labels).squeeze(1) == scores_gcb.amax(1)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−log p of the true class."""
    return -_true(logits.log_softmax(1), labels).squeeze(1)


def cross_entropy_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """p − y."""
    return logits.softmax(1).sub_(_onehot(logits, labels))


def focal(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−(1 − p)² log p of the true class: focal loss with gamma 2 (Lin et al. 2017)."""
    log_p = _true(logits.log_softmax(1), labels).squeeze(1)
    return -((1 - log_p.exp()) ** 2) * log_p


def focal_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """dL/dp · p (y − all p), with dL/dp · p = 2 (1 − p) p log p − (1 − p)²."""
    log_p = logits.log_softmax(1)
    likely = _true(log_p, labels)
    p = likely.exp()
    return (2 * (1 - p) * p * likely - (1 - p) ** 2) * (_onehot(logits, labels) - log_p.exp())


def brier(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Σ_c (p_c − y_c)² (Brier 1950)."""
    return ((logits.softmax(1) - _onehot(logits, labels)) ** 2).sum(1)


def brier_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The softmax's Jacobian times 2 (p − y)."""
    p = logits.softmax(1)
    slope = 2 * (p - _onehot(logits, labels))
    return p * (slope - (p * slope).sum(1, keepdim=True))


LOSSES = {"cross_entropy": Loss(cross_entropy, cross_entropy_gradient),
          "focal": Loss(focal, focal_gradient), "brier": Loss(brier, brier_gradient)}


class WideHeads:
    """The G heads of one arm and seed, their AdamW state as flat vectors, and their data.

    head: Linear, GELU, Linear: where all G start. grid: (learning rate, weight decay) of each.
    blocks: {"train", "val"} → (standardised features (N, D), labels (N,)), made with mean and std (D,).
    """

    def __init__(self, head: torch.nn.Sequential, grid: Sequence[tuple[float, float]],
                 blocks: dict[str, tuple[torch.Tensor, torch.Tensor]], mean: np.ndarray, std: np.ndarray,
                 seed: int, loss: str) -> None:
        self.blocks, self.mean, self.std, self.seed, self.steps = blocks, mean, std, seed, 0
        self.loss = LOSSES[loss]
        device, dtype = blocks["train"][0].device, blocks["train"][0].dtype
        start = [p.detach().to(device, dtype) for p in (head[0].weight, head[0].bias, head[2].weight, head[2].bias)]
        self.shapes = [(len(grid), *p.shape) for p in start]
        self.flat = torch.cat([p.expand(shape).flatten() for p, shape in zip(start, self.shapes, strict=True)])
        self.gradient, self.first, self.second, self.scratch = (torch.zeros_like(self.flat) for _ in range(4))
        rates = torch.tensor(grid, dtype=dtype, device=device)
        self.rate = self._spread(rates[:, 0])
        self.decay = self._spread(rates[:, 0] * rates[:, 1])
        self.gradients = self.parts(self.gradient)

    def _spread(self, values_g: torch.Tensor) -> torch.Tensor:
        """A value for each grid point, repeated for every element of the flat vector."""
        return torch.cat([values_g.repeat_interleave(math.prod(shape[1:])) for shape in self.shapes])

    def parts(self, flat: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Views: first layer (G, H, D) and (G, H), second layer (G, C, H) and (G, C)."""
        flat = self.flat if flat is None else flat
        return [p.view(s) for p, s in zip(flat.split([math.prod(s) for s in self.shapes]), self.shapes, strict=True)]

    def forward(self, x_nd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images last: pre-activations (G·H, n), activations (G, H, n), logits (G, C, n)."""
        w1, b1, w2, b2 = self.parts()
        before = torch.addmm(b1.view(-1, 1), w1.flatten(0, 1), x_nd.T)
        active = F.gelu(before).view(*b1.shape, -1)
        return before, active, torch.baddbmm(b2.unsqueeze(-1), w2, active)

    def train_step(self, rows: torch.Tensor, factor: float) -> None:
        """One AdamW step on the mean loss of a batch, `factor` times each head's learning rate."""
        x_bd, y_b = (block[rows] for block in self.blocks["train"])
        before, active, logits = self.forward(x_bd)
        slope = self.loss.gradient(logits, y_b).div_(len(rows))
        g1, g1b, g2, g2b = self.gradients
        torch.bmm(slope, active.transpose(1, 2), out=g2)
        torch.sum(slope, 2, out=g2b)
        slope = torch.bmm(self.parts()[2].transpose(1, 2), slope).view_as(before)
        slope = torch.ops.aten.gelu_backward(slope, before)
        torch.mm(slope, x_bd, out=g1.flatten(0, 1))
        torch.sum(slope, 1, out=g1b.view(-1))
        self._adamw(factor)

    def _adamw(self, factor: float) -> None:
        self.steps += 1
        correct1, correct2 = 1 - BETA1**self.steps, math.sqrt(1 - BETA2**self.steps)
        self.first.lerp_(self.gradient, 1 - BETA1)
        self.second.mul_(BETA2).addcmul_(self.gradient, self.gradient, value=1 - BETA2)
        torch.sqrt(self.second, out=self.scratch).add_(EPS * correct2)
        torch.div(self.first, self.scratch, out=self.scratch)
        self.flat.addcmul_(self.flat, self.decay, value=-factor)
        self.flat.addcmul_(self.scratch, self.rate, value=-factor * correct2 / correct1)

    def evaluate(self, name: str, log_prior: torch.Tensor) -> torch.Tensor:
        """Mean loss, accuracy and balanced accuracy of all heads on the block `name`: (3, G)."""
        labels = self.blocks[name][1]
        counts = torch.bincount(labels, minlength=len(log_prior)).double()
        loss, correct, hits = 0.0, 0.0, 0.0
        for x_nd, y_n in zip(*(block.split(ROWS) for block in self.blocks[name]), strict=True):
            logits = self.forward(x_nd)[2]
            loss = loss + self.loss.values(logits, y_n).double().sum(1)
            correct = correct + _highest(logits, y_n).sum(1)
            hits = hits + _highest(logits - log_prior[:, None], y_n).double() @ F.one_hot(y_n, len(log_prior)).double()
        present = counts > 0
        recall = hits[:, present] / counts[present]
        return torch.stack([loss / len(labels), correct / len(labels), recall.mean(1)])

    def logits(self, x_nd: torch.Tensor, head: int) -> torch.Tensor:
        """Logits (N, C) of one head for standardised features."""
        w1, b1, w2, b2 = (part[head] for part in self.parts())
        return F.gelu(x_nd @ w1.T + b1) @ w2.T + b2
