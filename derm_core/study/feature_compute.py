"""The features of a dataset's images by a network on one device, batch after batch, with progress."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterator

import numpy as np
import torch

from ..events import TICK, Event, progress
from ..nets.backbone import Extractor
from ..nets.batchnorm import fold
from ..training.batches import ImageSource, normaliser
from .feature_parts import FeatureParts


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The features of some images by one extractor, of which parts may be finished.

    images: uint8 (N, S, S, 3). positions: (n,) rows of `images`, in the order of the features. what:
    the words of its progress.
    """

    extractor: Extractor
    images: np.ndarray
    positions: np.ndarray
    parts: FeatureParts
    what: str


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive rows of an extraction, from a multiple of its batch on, that one process computes.

    Attributes:
        begin, end: the first row, and the row after the last.
        device: that computes them.
        device_share: the share of the device that the process has: its seconds count for so much.
        threads: of the process on the CPU, whose number changes rounding; 0: as they are.
        merged: whether the rows are all kept as parts, for another process that merges them.
    """

    begin: int
    end: int
    device: str
    device_share: float = 1.0
    threads: int = 0
    merged: bool = False


def compute_features(
    work: Extraction, shard: Shard
) -> Generator[Event, None, tuple[np.ndarray, float]]:
    """Features (m, D) of the rows of a shard, and the seconds of the device that they took.

    Rows of finished parts are taken from these, with their seconds. Batches are those of the whole: what
    is computed does not depend on how the rows are shared.
    """
    count, begun = shard.end - shard.begin, time.monotonic()
    features = torch.empty((count, work.extractor.backbone.width))
    restored, earlier_seconds = work.parts.restore(features, shard.begin)
    if not restored.all():
        # Kept on the device: a GPU is waited for once a second, not each batch.
        features = features.to(shard.device)
        yield from _compute_rows(work, shard, features, np.flatnonzero(~restored))
    seconds = earlier_seconds + shard.device_share * (time.monotonic() - begun)
    return features.cpu().numpy(), seconds


def _compute_rows(
    work: Extraction, shard: Shard, features_nd: torch.Tensor, rows: np.ndarray
) -> Iterator[Event]:
    """Fill those rows of a shard's features, which make up whole batches."""
    count, device, parts = len(features_nd), shard.device, work.parts
    backbone = work.extractor.backbone.eval()
    backbone.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalise = normaliser(work.extractor.mean, work.extractor.std, device)
    images, positions = work.images, work.positions[shard.begin : shard.end][rows]
    # Of the whole, whichever rows are computed: it decides whether batch norms are folded.
    example = work.extractor.normalise(torch.from_numpy(images[work.positions[:1]])).to(device)
    source = ImageSource(images, positions.tolist(), device, torch.channels_last)
    index = torch.from_numpy(rows).to(device)
    before, done, saved = count - len(rows), 0, 0
    started = shown = written = time.monotonic()

    def keep(last: bool = False) -> None:
        nonlocal saved, written
        seconds = shard.device_share * (time.monotonic() - written)
        if parts.keep(features_nd, rows[saved:done], seconds, first=shard.begin, last=last):
            saved, written = done, time.monotonic()

    try:
        with exact_convolutions():
            network = fold(backbone, example)
        for images_bchw in source.in_order(parts.batch):
            with torch.inference_mode(), exact_convolutions():
                pooled_bd = network.pooled(normalise(images_bchw)).float()
            features_nd[index[done : done + len(pooled_bd)]] = pooled_bd
            done += len(pooled_bd)
            ended = done == len(rows)
            if time.monotonic() - shown > 1 or ended:
                pooled_bd[:1].cpu()  # it has come this far
                shown = time.monotonic()
                yield progress(
                    before + done, count, "images", what=work.what, started=started, before=before
                )
            if time.monotonic() - written >= parts.every and not ended:
                keep()
            yield TICK
        if shard.merged:
            keep(last=True)
    finally:
        backbone.to("cpu")


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within, a GPU's convolutions are float32 as a CPU's; their default rounds factors to ten bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
