"""Groups of heads trained side by side: on a CPU one core each, on a GPU one after another."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeVar

import numpy as np
import torch

from ..seeds import stream_seed
from .batched import BatchedHeads

STRETCH = 50  # steps of one group before the next group's turn
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
    """Train all groups to the end; a caller that stops iterating stops the training within a step.

    A group trains some steps, then goes to the back of the queue, so that no core waits for the
    last group of an epoch. A group's arithmetic does not depend on the number of cores.

    Args:
        groups: what is trained.
        steps: how many, for each group.
        wanted: after which steps to `measure`; 0 is before the first.
        measure: called in the group's thread.

    Yields:
        (step, what `measure` returned for each group) in the order of steps, each when its last
        group is there, and None where half a second brings nothing.
    """
    done: SimpleQueue = SimpleQueue()
    stop, cores = Event(), torch.get_num_threads()
    batches = {group: group.batches() for group in groups}

    def train_some(group: HeadGroup) -> None:
        heads = group.heads
        try:
            if heads.steps == 0 and 0 in wanted:
                done.put((0, group, measure(group)))
            for rows in islice(batches[group], min(STRETCH, steps - heads.steps)):
                if stop.is_set():
                    return
                heads.train_step(rows, cosine(heads.steps, steps))
                if heads.steps in wanted:
                    done.put((heads.steps, group, measure(group)))
            if heads.steps < steps:
                pool.submit(train_some, group)
        except BaseException as error:  # raised again where the caller waits
            done.put(error)

    on_cpu = groups[0].heads.device.type == "cpu"
    workers, threads = (cores, 1) if on_cpu else (1, cores)
    torch.set_num_threads(threads)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        for group in groups:
            pool.submit(train_some, group)
        yield from _in_order(done, sorted(wanted), len(groups))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


def _in_order(
    done: SimpleQueue, wanted: list[int], groups: int
) -> Iterator[tuple[int, dict] | None]:
    measured: dict[int, dict] = defaultdict(dict)
    for step in wanted:
        while len(measured[step]) < groups:
            try:
                result = done.get(timeout=PAUSE_SECONDS)
            except Empty:
                yield None
                continue
            if isinstance(result, BaseException):
                raise result
            at, group, value = result
            measured[at][group] = value
        yield step, measured.pop(step)
