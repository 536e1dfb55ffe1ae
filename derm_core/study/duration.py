"""About how long the features and heads of a study take on this machine: trials of seconds, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..arms import arm_kind, arm_parts
from ..config import StudyConfig
from ..data.manifest import load_dataset
from ..errors import ConfigError, WeightsUnavailable
from ..formatting import count, duration
from ..heads.batched import ROWS
from ..heads.grid import Heads, images_of_step, measured_after
from ..nets.backbone import Extractor
from ..nets.batchnorm import fold
from ..nets.given import GivenFeatures
from ..training.distributed import training_device
from ..workspace import Workspace
from .arms import build_extractors
from .feature_memory import batch_size

# The time of all heads of a study over that of trials of the grid as it is given: of a study of six arms on HAM10000,
# whose grid grew five times, from 600 heads to 1,350.
GROWTH = 3.5
TRAIN, MEASURED = 0.7, 0.85  # shares of the images: training; training and validation
TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class Duration:
    """About how long a study takes.

    Attributes:
        features_seconds: for the features of all networks, none of them taken from the cache.
        heads_seconds: for the heads of the grid as it is given.
        networks: how many networks give features.
        heads: how many heads there are on the grid as it is given.
        cores: of this machine, used by both.
    """

    features_seconds: float
    heads_seconds: float
    networks: int
    heads: int
    cores: int

    @property
    def seconds(self) -> tuple[float, float]:
        """For both, where the grid stays as it is given, and where it grows as far as has been seen."""
        least = self.features_seconds + self.heads_seconds
        return least, self.features_seconds + GROWTH * self.heads_seconds

    @property
    def text(self) -> str:
        """A sentence for people."""
        least, most = map(duration, self.seconds)
        return (
            f"About {least} to {most} on {count(self.cores, 'core')} that have nothing else to do: features of "
            f"{count(self.networks, 'network')} {duration(self.features_seconds)}, less where they are cached; "
            f"{count(self.heads, 'head')} {duration(self.heads_seconds)}, up to {GROWTH:g} times that where the best "
            "settings lie on the edge of the grid, which then grows. Not counted: pretraining, decoding of images, "
            "statistics and further questions."
        )


def estimate(config: StudyConfig, workspace: Workspace) -> Duration:
    """The duration of features and heads, from trials on random numbers of the study's shapes.

    A network that is pretrained first counts as one with random weights; an arm whose weights cannot
    be had is left out.

    Raises:
        ConfigError: for fine-tuning, folds and GPUs, whose durations are not estimated.
        NotFound, DataError, BundleError, RunError: what is wrong with the config or its sources.
    """
    on_cpu = not training_device(config.device).startswith("cuda")
    if config.regime != "frozen" or config.folds or not on_cpu:
        raise ConfigError(
            "How long it takes is estimated for frozen features on a CPU and one split alone: leave "
            "--dry-run out, or --regime finetune, --folds and the GPU."
        )
    labelled = int((load_dataset(workspace, config.dataset).labels >= 0).sum())
    images = min(labelled, config.max_images or labelled)
    built = {part: _extractors(part, config, workspace) for part in config.parts}
    networks = [one for every in built.values() for one in every if _reads_images(one)]
    widths = [
        sum(built[part][0].backbone.width for part in arm_parts(arm))
        for arm in config.arms
        if all(built[part] for part in arm_parts(arm))
    ]
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        an_image = sum(_seconds_an_image(one, config.input_size) for one in networks)
        heads = sum(_head_seconds(config, width, images) for width in widths)
    finally:
        torch.set_num_threads(cores)
    units = len(widths) * len(config.seeds)
    return Duration(
        features_seconds=an_image * images / cores,
        heads_seconds=heads / max(1, min(cores, units)),
        networks=len(networks),
        heads=units * len(config.learning_rates) * len(config.weight_decays),
        cores=cores,
    )


def _extractors(part: str, config: StudyConfig, workspace: Workspace) -> list[Extractor]:
    """Those of a part of an arm, with random weights where they are still to be pretrained; none without weights."""
    kind = arm_kind(part)
    to_pretrain = kind == "recipe" or (kind == "vae" and not (config.vae or config.vae_run))
    try:
        every = build_extractors("random" if to_pretrain else part, config, workspace)
    except WeightsUnavailable:
        return []
    return every[:1] if to_pretrain else every


def _reads_images(extractor: Extractor) -> bool:
    return not isinstance(extractor.backbone, GivenFeatures)


def _seconds_an_image(extractor: Extractor, size: int) -> float:
    """Of one forward pass of the batch that extraction takes."""
    size = extractor.input_size or size
    extractor.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = torch.randint(0, 256, (batch_size("cpu", size), size, size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        normalised = extractor.normalise(batch).contiguous(memory_format=torch.channels_last)
        network = fold(extractor.backbone, normalised[:1])
        return _median_seconds(lambda: network.pooled(normalised)) / len(batch)


def _head_seconds(config: StudyConfig, width: int, images: int) -> float:
    """All heads of an arm on the grid as it is given, on one core."""
    trained_on = round(TRAIN * images)
    batch_size = images_of_step(config.batch_size, trained_on)
    steps_an_epoch = -(-trained_on // batch_size)
    records = config.epochs // measured_after(trained_on) + steps_an_epoch.bit_length() + 1
    step, row = _head_trial(config, width, batch_size)
    of_a_seed = config.epochs * steps_an_epoch * step + records * MEASURED * images * row
    return of_a_seed * len(config.seeds)


def _head_trial(config: StudyConfig, width: int, batch_size: int) -> tuple[float, float]:
    """Seconds of one step of an arm's heads of one seed, and of measuring them on one image."""
    rng, classes = np.random.default_rng(0), 7
    rows = np.arange(max(2 * ROWS, batch_size))
    features = rng.standard_normal((len(rows), width), np.float32)
    heads = Heads(
        {"trial": features},
        rows % classes,
        rows,
        rows,
        classes=classes,
        seeds=(0,),
        learning_rates=config.learning_rates,
        weight_decays=config.weight_decays,
        hidden=config.hidden,
        batch_size=batch_size,
        loss=config.loss,
    )
    (group,), prior = heads.groups, torch.zeros(classes)
    batch = next(group.batches())
    step = _median_seconds(lambda: group.heads.train_step(batch, 1.0))
    measured = _median_seconds(lambda: group.heads.evaluate("val", prior))
    return step, measured / len(rows)


def _median_seconds(work: Callable[[], object]) -> float:
    """Of TRIALS calls after a first one that is not timed: a core's own, whatever else it has to do."""
    seconds = []
    for _ in range(TRIALS + 1):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return float(np.median(seconds[1:]))
