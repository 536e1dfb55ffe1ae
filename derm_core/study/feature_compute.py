"""The features of a dataset's images by a network on one device, batch after batch, with progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator

import numpy as np
import torch

from ..events import TICK, Event, progress
from ..nets.backbone import Extractor
from ..nets.batchnorm import fold
from ..training.batches import ImageSource, normaliser
from . import feature_parts
from .feature_parts import FeatureParts


def compute_features(
    extractor: Extractor,
    images: np.ndarray,
    positions: np.ndarray,
    device: str,
    what: str,
    parts: FeatureParts,
) -> Generator[Event, None, tuple[np.ndarray, float]]:
    """Features (N, D), and the seconds that they took, those of earlier parts among them."""
    count, backbone = len(positions), extractor.backbone.eval()
    backbone.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalise = normaliser(extractor.mean, extractor.std, device)
    example = extractor.normalise(torch.from_numpy(images[positions[:1]])).to(device)
    # Kept on the device: a GPU is waited for once a second, not each batch.
    features = torch.empty((count, backbone.width), device=device)
    begun = time.monotonic()
    before, earlier_seconds = parts.restore(features)
    source = ImageSource(images, positions[before:].tolist(), device, torch.channels_last)
    done = saved = before
    started = shown = written = time.monotonic()
    try:
        with exact_convolutions():
            network = fold(backbone, example)
        for images_bchw in source.in_order(parts.batch):
            with torch.inference_mode(), exact_convolutions():
                pooled_bd = network.pooled(normalise(images_bchw)).float()
            features[done : done + len(pooled_bd)] = pooled_bd
            done += len(pooled_bd)
            if time.monotonic() - shown > 1 or done == count:
                pooled_bd[:1].cpu()  # it has come this far
                shown = time.monotonic()
                yield progress(done, count, "images", what=what, started=started, before=before)
            if time.monotonic() - written >= feature_parts.PART_SECONDS and done < count:
                parts.keep(features, saved, done, time.monotonic() - written)
                saved, written = done, time.monotonic()
            yield TICK
    finally:
        backbone.to("cpu")
    return features.cpu().numpy(), earlier_seconds + time.monotonic() - begun


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within, a GPU's convolutions are float32 as a CPU's; their default rounds factors to ten bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
