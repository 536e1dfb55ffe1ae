"""Teams of heads trained side by side: on a CPU one core each, on a GPU one after another.

    for step, measured in train_teams(teams, steps, wanted={0, 50, 100}, measure=work):
        measured[team]                              what `measure(team)` gave after that step

Each team trains a stretch of steps, then goes to the back of the queue, so that no core waits for
the last team of an epoch; a team's arithmetic does not depend on the number of cores.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

import numpy as np
import torch

from ..seeds import stream_seed
from .batched import WideHeads

STRETCH = 50
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Team:
    """Arms and seeds of one width that train as one. keys: (arm, index of the seed); seeds: their seeds;
    scales: their features' mean and standard deviation, each (D,)."""

    keys: tuple[tuple[str, int], ...]
    seeds: tuple[int, ...]
    scales: tuple[tuple[np.ndarray, np.ndarray], ...]
    wide: WideHeads
    batch_size: int

    def batches(self) -> Iterator[torch.Tensor]:
        """Rows (U, B) of every step, epoch after epoch: a function of the seed and the number of rows alone."""
        for epoch in count():
            orders = [
                torch.randperm(
                    self.wide.rows,
                    generator=torch.Generator().manual_seed(stream_seed(seed, "order", epoch)),
                )
                for seed in self.seeds
            ]
            yield from torch.stack(orders).to(self.wide.flat.device).split(self.batch_size, 1)


def cosine(step: int, steps: int) -> float:
    """Share of the learning rate at `step` of `steps`: 1 at the start, 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def train_teams(
    teams: Sequence[Team], steps: int, wanted: set[int], measure: Callable[[Team], Any]
) -> Iterator[tuple[int, dict[Team, Any]] | None]:
    """All teams to the end, `measure`d after the steps in `wanted` (0: before the first).

    Yields in the order of steps, each when its last team is there, and None where half a second
    brings nothing. A caller that stops iterating stops the training within a step.
    """
    done, stop, cores = SimpleQueue(), Event(), torch.get_num_threads()
    on_cpu = teams[0].wide.flat.device.type == "cpu"
    feeds = {team: team.batches() for team in teams}

    @torch.inference_mode()  # no bookkeeping for gradients that are written out by hand
    def stretch(team: Team) -> None:
        try:
            if team.wide.steps == 0 and 0 in wanted:
                done.put((0, team, measure(team)))
            for rows in islice(feeds[team], min(STRETCH, steps - team.wide.steps)):
                if stop.is_set():
                    return
                team.wide.train_step(rows, cosine(team.wide.steps, steps))
                if team.wide.steps in wanted:
                    done.put((team.wide.steps, team, measure(team)))
            if team.wide.steps < steps:
                pool.submit(stretch, team)
        except BaseException as error:  # raised again where the caller waits
            done.put(error)

    workers, threads = (cores, 1) if on_cpu else (1, cores)
    torch.set_num_threads(threads)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        for team in teams:
            pool.submit(stretch, team)
        yield from _in_order(done, sorted(wanted), len(teams))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


def _in_order(
    done: SimpleQueue, wanted: list[int], teams: int
) -> Iterator[tuple[int, dict] | None]:
    measured = defaultdict(dict)
    for step in wanted:
        while len(measured[step]) < teams:
            try:
                found = done.get(timeout=PAUSE_SECONDS)
            except Empty:
                yield None
                continue
            if isinstance(found, BaseException):
                raise found
            measured[found[0]][found[1]] = found[2]
        yield step, measured.pop(step)
