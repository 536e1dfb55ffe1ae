"""Many small heads as one wide network: equal input and batches, their own learning rates and decays.

G two-layer heads that see the same batches train together. The weights of their first layers lie
side by side, (G·H, D), so that one matmul serves them all; the second layers are one batched
matmul. U units (arms and seeds, each with its own features and batches) may stand beside one
another as a further batch dimension: a GPU takes all at once, a core of a CPU one at a time. All
weights are views of one flat vector. The training step stands in step.py; tests compare every
weight with an ordinary torch training loop.

Shapes: U units, N images, B of a batch, D features, H hidden, C classes, G heads of a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .train_step import AdamWByElement, AdamWByHead, Layers, Step, forward

ROWS = 512  # images in one evaluation step: the activations stay in the processor's cache


@dataclass(frozen=True)
class Loss:
    """Of logits (…, C, B): `values` (…, B) for labels (…, B), `gradient` (…, C, B) for one-hot rows (…, C, B)."""

    values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    gradient: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _true(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(…, 1, B): the entries of each image's own class in (…, C, B)."""
    return values.gather(-2, labels.unsqueeze(-2).expand(*values.shape[:-2], 1, -1))


def _highest(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether the true class has the highest score, (…, B): what argmax says, but vectorised."""
    return _true(scores, labels).squeeze(-2) == scores.amax(-2)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−log p of the true class."""
    return -_true(logits.log_softmax(-2), labels).squeeze(-2)


def cross_entropy_gradient(logits: torch.Tensor, onehot: torch.Tensor) -> torch.Tensor:
    """p − y."""
    return logits.softmax(-2).sub_(onehot)


def focal(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−(1 − p)² log p of the true class: focal loss with gamma 2 (Lin et al. 2017)."""
    log_p = _true(logits.log_softmax(-2), labels).squeeze(-2)
    return -((1 - log_p.exp()) ** 2) * log_p


def focal_gradient(logits: torch.Tensor, onehot: torch.Tensor) -> torch.Tensor:
    """dL/dp · p (y − all p), with dL/dp · p = 2 (1 − p) p log p − (1 − p)²."""
    log_p = logits.log_softmax(-2)
    likely = (log_p * onehot).sum(-2, keepdim=True)
    p = likely.exp()
    return (2 * (1 - p) * p * likely - (1 - p) ** 2) * (onehot - log_p.exp())


def brier(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Σ_c (p_c − y_c)² (Brier 1950) = Σ_c p_c² − 2 p_y + 1."""
    p = logits.softmax(-2)
    return p.square().sum(-2) - 2 * _true(p, labels).squeeze(-2) + 1


def brier_gradient(logits: torch.Tensor, onehot: torch.Tensor) -> torch.Tensor:
    """The softmax's Jacobian times 2 (p − y)."""
    p = logits.softmax(-2)
    slope = 2 * (p - onehot)
    return p * (slope - (p * slope).sum(-2, keepdim=True))


LOSSES = {
    "cross_entropy": Loss(cross_entropy, cross_entropy_gradient),
    "focal": Loss(focal, focal_gradient),
    "brier": Loss(brier, brier_gradient),
}


def _layers(w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> Layers:
    return Layers(
        w1.flatten(1, 2),
        b1.flatten(1).unsqueeze(-1),
        w2.flatten(0, 1),
        b2.flatten(0, 1).unsqueeze(-1),
    )


class WideHeads:
    """The G heads of U units of one width, their AdamW state as flat vectors, and their data.

    heads: one Linear, GELU, Linear a unit: where its G heads start. grid: (learning rate, weight
    decay) of each. blocks: {"train", "val"} → (standardised features (U, N, D), labels (N,)).
    """

    def __init__(
        self,
        heads: Sequence[torch.nn.Sequential],
        grid: Sequence[tuple[float, float]],
        blocks: dict[str, tuple[torch.Tensor, torch.Tensor]],
        loss: str,
    ) -> None:
        self.blocks, self.grid, self.loss, self.steps = blocks, tuple(grid), LOSSES[loss], 0
        x_und, labels = blocks["train"]
        device, dtype = x_und.device, x_und.dtype
        self.units, self.rows = x_und.shape[:2]
        start = [
            torch.stack([value.detach().to(device, dtype) for value in values])
            for values in zip(
                *((h[0].weight, h[0].bias, h[2].weight, h[2].bias) for h in heads), strict=True
            )
        ]
        self.shapes = [(self.units, len(grid), *values.shape[1:]) for values in start]
        self.flat = torch.cat(
            [
                values.unsqueeze(1).expand(shape).flatten()
                for values, shape in zip(start, self.shapes, strict=True)
            ]
        )
        gradient, first, second = (torch.zeros_like(self.flat) for _ in range(3))
        self.weights = self.parts(self.flat)
        self.layers = _layers(*self.weights)
        onehot = F.one_hot(labels, heads[0][2].out_features).to(dtype)
        offsets = torch.arange(self.units, device=device)[:, None] * self.rows
        step = Step(
            x_und.flatten(0, 1),
            onehot,
            offsets,
            self.layers,
            _layers(*self.parts(gradient)),
            self.loss.gradient,
            self._adamw(self.flat, gradient, first, second),
        )
        self.step = torch.jit.script(step) if device.type == "cpu" else step

    def parts(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Views: first layer (U, G, H, D) and (U, G, H), second layer (U, G, C, H) and (U, G, C)."""
        return [
            p.view(s)
            for p, s in zip(
                flat.split([math.prod(s) for s in self.shapes]), self.shapes, strict=True
            )
        ]

    def _adamw(self, *state: torch.Tensor) -> torch.nn.Module:
        """The optimiser of these flat vectors: weights, gradient, first and second moments."""
        if self.units == 1:
            split = [self.parts(flat) for flat in state]
            heads = [
                [[part[0, g] for part in parts] for parts in split] for g in range(len(self.grid))
            ]
            return AdamWByHead(heads, list(self.grid))
        rates = torch.tensor(self.grid, dtype=self.flat.dtype, device=self.flat.device)
        rate, decay = (
            torch.cat(
                [
                    values.repeat_interleave(math.prod(shape[2:])).repeat(self.units)
                    for shape in self.shapes
                ]
            )
            for values in (rates[:, 0], rates[:, 0] * rates[:, 1])
        )
        return AdamWByElement(*state, rate, decay)

    def train_step(self, rows_ub: torch.Tensor, factor: float) -> None:
        """One AdamW step on each unit's mean loss of its own batch, `factor` times each head's learning rate."""
        self.steps += 1
        self.step(rows_ub, self.steps, factor)

    def evaluate(self, name: str, log_prior: torch.Tensor) -> torch.Tensor:
        """Mean loss, accuracy and balanced accuracy of all heads on the block `name`: (3, U, G)."""
        x_und, labels = self.blocks[name]
        counts = torch.bincount(labels, minlength=len(log_prior)).double()
        loss, correct, hits = 0.0, 0.0, 0.0
        for x_unk, y_k in zip(x_und.split(ROWS, 1), labels.split(ROWS), strict=True):
            logits = forward(self.layers, x_unk)[2]
            loss = loss + self.loss.values(logits, y_k).sum(-1, dtype=torch.float64)
            correct = correct + _highest(logits, y_k).sum(-1)
            hits = (
                hits
                + _highest(logits - log_prior[:, None], y_k).double()
                @ F.one_hot(y_k, len(log_prior)).double()
            )
        present = counts > 0
        recall = hits[..., present] / counts[present]
        return torch.stack([loss / len(labels), correct / len(labels), recall.mean(-1)])

    def logits(self, x_nd: torch.Tensor, unit: int, head: int) -> torch.Tensor:
        """Logits (N, C) of one head for standardised features."""
        w1, b1, w2, b2 = (part[unit, head] for part in self.weights)
        return F.gelu(x_nd @ w1.T + b1) @ w2.T + b2
