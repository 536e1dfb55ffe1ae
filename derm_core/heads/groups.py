"""Arms and seeds whose heads train as one, and the steps of their training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import numpy as np
import torch

from ..seeds import stream_seed
from .batched import BatchedHeads

PAUSE_SECONDS = 0.5

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class HeadGroup:
    """Arms and seeds of one width that train as one.

    Attributes:
        keys: (arm, index of the seed) of each unit.
        seeds: the seed of each unit.
        scales: mean and standard deviation (D,) of each unit's features.
        heads: the heads of all units.
        batch_size: images of a step.
    """

    keys: tuple[tuple[str, int], ...]
    seeds: tuple[int, ...]
    scales: tuple[tuple[np.ndarray, np.ndarray], ...]
    heads: BatchedHeads
    batch_size: int

    def batches(self) -> Iterator[torch.Tensor]:
        """Rows (U, B) of every step, epoch after epoch: from the seeds and the number of rows alone."""
        for epoch in count():
            orders = []
            for seed in self.seeds:
                generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
                orders.append(torch.randperm(self.heads.rows, generator=generator))
            yield from torch.stack(orders).to(self.heads.device).split(self.batch_size, 1)


def cosine(step: int, steps: int) -> float:
    """Share of the learning rate at `step` of `steps`: 1 at the start, 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def train_groups(
    groups: Sequence[HeadGroup], steps: int, wanted: set[int], measure: Callable[[HeadGroup], T]
) -> Iterator[tuple[int, dict[HeadGroup, T]] | None]:
    """Train all groups step by step; a caller that stops iterating stops the training.

    Args:
        groups: what is trained.
        steps: how many, for each group.
        wanted: after which steps to `measure`; 0 is before the first.
        measure: called for each group.

    Yields:
        (step, what `measure` returned for each group), and None after half a second without.
    """
    batches = [group.batches() for group in groups]
    yielded = time.monotonic()
    for step in range(steps + 1):
        if step:
            for group, rows in zip(groups, batches, strict=True):
                group.heads.train_step(next(rows), cosine(step - 1, steps))
        if step in wanted:
            yield step, {group: measure(group) for group in groups}
        elif time.monotonic() - yielded > PAUSE_SECONDS:
            yield None
        else:
            continue
        yielded = time.monotonic()
