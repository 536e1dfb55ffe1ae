"""Arms and seeds whose heads train as one, and the steps of their training.

On a CPU each core trains a group of its own with one thread: the products of one step are too small
to be shared between cores, which would wait for one another most of the time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
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
    """Train all groups; a caller that stops iterating stops the training.

    Args:
        groups: what is trained.
        steps: how many, for each group.
        wanted: after which steps to `measure`, `steps` among them; 0 is before the first.
        measure: called for each group, in the thread that trains it.

    Yields:
        (step, what `measure` returned for each group), and None after half a second without.
    """
    batches = {group: group.batches() for group in groups}
    stopped = threading.Event()

    def train(group: HeadGroup, done: int, end: int) -> T:
        for step in range(done, end):
            if stopped.is_set():
                raise CancelledError
            group.heads.train_step(next(batches[group]), cosine(step, steps))
        return measure(group)

    largest_first = sorted(groups, key=lambda group: group.heads.size, reverse=True)
    done = 0
    with _workers(groups) as workers:
        try:
            for end in sorted(wanted):
                running = {
                    group: workers.submit(train, group, done, end) for group in largest_first
                }
                while not finished(running.values()):
                    yield None
                yield end, {group: running[group].result() for group in groups}
                done = end
        finally:
            stopped.set()


@contextmanager
def _workers(groups: Sequence[HeadGroup]) -> Iterator[Executor]:
    """Threads that train groups: one a core, with its share of the cores where there are fewer groups."""
    cores = torch.get_num_threads()
    count = min(cores, len(groups)) if groups[0].heads.device.type == "cpu" else 1
    threads = max(1, cores // count)
    try:
        with ThreadPoolExecutor(count, "heads", torch.set_num_threads, (threads,)) as workers:
            yield workers
    finally:
        torch.set_num_threads(cores)  # MKL has one number for all threads


def finished(running: Iterable[Future[T]]) -> bool:
    """Whether all have finished, once they have or after half a second; raises what one of them raised."""
    done, others = wait(running, PAUSE_SECONDS, FIRST_EXCEPTION)
    for one in done:
        one.result()
    return not others
