"""One extraction of features in several processes: on this machine's devices, or by the ranks of torchrun.

The rows are cut into shards of whole batches, each computed by a process of its own (`ShardProcesses`), which
keeps all its rows as finished parts. Whoever asked for the features then takes these as it takes those of an
interrupted extraction. Each rank has one shard and one such process; rank 0 waits for all.
"""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ..config import StudyConfig
from ..errors import RunError
from ..events import TICK, Event, log, progress
from ..files import private_folder
from ..jobs.spawning import feature_processes
from ..machine import cpu_cores, gpus
from ..nets.backbone import Extractor
from ..training.distributed import World, current
from .feature_compute import Extraction, Shard, compute_features
from .feature_parts import FeatureParts
from .shard_processes import POLL_SECONDS, Report, ShardProcesses

SHARD_IMAGES = 2000  # fewer are not worth the start of a process
SHOWN_SECONDS = 1.0  # between two reports of progress
WAIT_SECONDS = 600.0  # the longest that ranks may say nothing new while others wait for them
VISIBLE_SECONDS = 120.0  # within which all ranks see what one of them has written


def study_devices(config: StudyConfig, device: str) -> tuple[str, ...]:
    """The devices of the processes that share a study's features, from `device` on: as many as there are.

    One where ranks share the study, each of which has its own.
    """
    wanted = feature_processes(config)
    if device == "cpu":
        return (device,) * min(wanted, cpu_cores())
    first = int(device.partition(":")[2])
    return tuple(f"cuda:{number}" for number in range(first, min(first + wanted, len(gpus()))))


def compute_shards(work: Extraction, devices: Sequence[str]) -> Iterator[Event]:
    """Compute an extraction in several processes where there are and it is worth that; its parts then hold it.

    Args:
        work: the same in all ranks.
        devices: of the processes of this machine, where it alone computes.

    Raises:
        RunError: a process failed again and again, or a rank did.
    """
    world = current()
    number = world.size if world.size > 1 else len(devices)
    if number < 2:
        return
    shards = cut(work, [world.device] * number if world.size > 1 else devices, world)
    own = [shards[world.rank]] if world.size > 1 else shards
    processes = None
    if _is_worth_it(work, number):
        try:
            processes = ShardProcesses(_function(work), own)
        except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
            yield log(f"{work.what}: computed by one process, since others cannot have it: {error}")
    if not world.from_main(processes is not None):
        return
    if processes is None:
        raise RunError(f"Process {world.rank} cannot share features that the first one shares.")
    yield from _run(work, own, processes, _OtherRanks(work, shards, world))


def cut(work: Extraction, devices: Sequence[str], world: World) -> list[Shard]:
    """A shard for each of the devices, of about as many whole batches each."""
    count, batch, number = len(work.positions), work.parts.batch, len(devices)
    batches = -(-count // batch)
    bounds = [min(count, batch * (i * batches // number)) for i in range(number + 1)]
    sharing_cpu = world.local if world.size > 1 else number
    return [
        Shard(
            begin,
            end,
            device,
            device_share=1 / sharing_cpu if device == "cpu" else 1.0,
            threads=torch.get_num_threads() if device == "cpu" else 0,
            merged=True,
        )
        for (begin, end), device in zip(pairwise(bounds), devices, strict=True)
    ]


def _is_worth_it(work: Extraction, number: int) -> bool:
    """Whether processes would have enough to do, can open the images, and have room on the disk."""
    count, folder = len(work.positions), work.parts.path.parent
    if count < number * SHARD_IMAGES or not isinstance(work.images, np.memmap):
        return False
    private_folder(folder)
    features_bytes = 4 * count * work.extractor.backbone.width
    return shutil.disk_usage(folder).free > 2 * features_bytes  # as parts and as a whole


def _function(work: Extraction) -> partial[None]:
    """What the processes call; they open the images by their file."""
    path = Path(str(work.images.filename))  # type: ignore[attr-defined]
    return partial(_compute_shard, work.extractor, path, work.positions, work.parts, work.what)


def _compute_shard(
    extractor: Extractor,
    images: Path,
    positions: np.ndarray,
    parts: FeatureParts,
    what: str,
    shard: Shard,
    report: Report,
) -> None:
    """In a process of its own: compute the rows of a shard and keep all of them as parts."""
    if shard.device != "cpu":
        torch.cuda.set_device(shard.device)
    elif shard.threads:
        torch.set_num_threads(shard.threads)
    opened = np.load(images, mmap_mode="r")
    for event in compute_features(Extraction(extractor, opened, positions, parts, what), shard):
        if event.kind == "progress":
            report(int(event.value.done))


def _run(
    work: Extraction, own: Sequence[Shard], processes: ShardProcesses, others: _OtherRanks
) -> Iterator[Event]:
    """Run the processes of this rank, and wait for those of others in rank 0; one progress for all."""
    count, parts = len(work.positions), work.parts.named(len(work.positions))
    processes.done = [int(parts[shard.begin : shard.end].sum()) for shard in own]
    before, started = int(parts.sum()), time.monotonic()
    shown = looked = started

    def steps() -> Generator[Event, None, None]:
        with closing(processes.run()) as events:
            yield from events
        yield from others.wait()

    with closing(steps()) as events:
        for event in events:
            yield event
            if time.monotonic() - looked > POLL_SECONDS:
                others.look(sum(processes.done))
                looked = time.monotonic()
            if time.monotonic() - shown > SHOWN_SECONDS:
                done = min(count, sum(processes.done) + others.done)
                if done == before:  # the processes are still starting
                    started = time.monotonic()
                yield progress(
                    done, count, "images", what=work.what, started=started, before=before
                )
                shown = time.monotonic()
    yield progress(count, count, "images", what=work.what, started=started, before=before)


class _OtherRanks:
    """The other ranks that share an extraction, of which there are none on one machine without torchrun."""

    def __init__(self, work: Extraction, shards: Sequence[Shard], world: World) -> None:
        self.work, self.world = work, world
        self.key = f"features/{work.parts.path.stem}"
        self.ranks = [rank for rank in range(world.size) if rank != world.rank]
        self.own = shards[world.rank].end - shards[world.rank].begin
        self.counts = dict.fromkeys(self.ranks, 0) if world.is_main else {}
        self.heard = time.monotonic()

    @property
    def done(self) -> int:
        """How many images they have done, as far as this rank asks."""
        return sum(self.counts.values())

    def look(self, own: int) -> None:
        """Say how many images this rank has done and, in rank 0, ask the others. Raises as `World.check`."""
        if not self.ranks:
            return
        self.world.check()
        if not self.world.is_main:
            self.world.post(self.key, own)
            return
        counts = {rank: self.world.posted(self.key, rank) or 0 for rank in self.ranks}
        if counts != self.counts:
            self.counts, self.heard = counts, time.monotonic()

    def wait(self) -> Iterator[Event]:
        """In rank 0: wait until the others have ended and what they wrote is seen here; they say that they have.

        Raises RunError where one of them says nothing new for too long.
        """
        ended = f"{self.key}/ended"
        if not self.world.is_main:
            self.world.post(self.key, self.own)
            self.world.post(ended, 1)
            return
        for rank in self.ranks:
            while self.world.posted(ended, rank) is None:
                if time.monotonic() - self.heard > WAIT_SECONDS:
                    raise RunError(
                        f"Process {rank} of the {self.world.size} that share the run has said nothing for "
                        f"{WAIT_SECONDS / 60:.0f} minutes; the run can be resumed and goes on after the finished parts."
                    )
                time.sleep(POLL_SECONDS)
                yield TICK
        deadline = time.monotonic() + VISIBLE_SECONDS
        while self.ranks and not self.work.parts.named(len(self.work.positions)).all():
            if time.monotonic() > deadline:
                raise RunError(
                    "Features that other processes computed are not in this one's workspace; they need one "
                    "DERM_HOME that all of them see."
                )
            time.sleep(POLL_SECONDS)
            yield TICK
