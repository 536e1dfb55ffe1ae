"""The moving average of a training's weights (Polyak and Juditsky 1992): what is evaluated and kept in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Average:
    """Average of a task's parameters and of its buffers (batch norm's statistics), updated after each step.

    In the beginning the average forgets faster, min(decay, (1 + steps) / (10 + steps)), so that it
    holds about the last ninth of a training that is shorter than `decay` alone would need.
    """

    def __init__(self, task: nn.Module, decay: float):
        # timm takes seconds to load, and most pretrainings have no average.
        from timm.utils import ModelEmaV3

        self.task, self.decay = task, decay
        self.ema = ModelEmaV3(task, decay=decay)

    @property
    def module(self) -> nn.Module:
        """A copy of the task that holds the averages: what a checkpoint saves beside the task."""
        return self.ema.module

    def update(self, step: int) -> None:
        """Take the task's weights in; step: how many were made, this one included."""
        self.ema.decay = min(self.decay, (1 + step) / (10 + step))
        self.ema.update(self.task)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the task holds its averages; afterwards its own weights again."""
        own = {name: value.clone() for name, value in self.task.state_dict().items()}
        self.keep()
        try:
            yield
        finally:
            _copy(own, self.task)

    def keep(self) -> None:
        """Put the averages in the place of the task's weights: the training is over."""
        _copy(self.module.state_dict(), self.task)


@torch.no_grad()
def _copy(state: dict[str, Tensor], module: nn.Module) -> None:
    for name, value in module.state_dict().items():
        value.copy_(state[name])
