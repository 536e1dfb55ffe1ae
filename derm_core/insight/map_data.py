"""The images of a map, their split and their features."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..bundles.model_library import find_bundle, require_posterior, verify_bundle
from ..config import EmbedConfig, PretrainConfig, StudyConfig, from_dict
from ..config.labels import study_labels
from ..config.shared import ImageForm
from ..data.manifest import Dataset
from ..data.official_split import describe_official
from ..data.on_demand import open_images
from ..data.splits import SPLITS
from ..data.used_images import SplitRule, used_images
from ..errors import ConfigError, DataError
from ..events import TICK, Event, log
from ..files import read_json
from ..formatting import count
from ..machine import pick_device
from ..nets.backbone import Extractor
from ..nets.given import GivenFeatures
from ..seeds import stream_seed
from ..study.arms import build_extractors
from ..study.feature_memory import CPU_BATCH
from ..study.features import extract, feature_path
from ..workspace import Workspace

LEAST_IMAGES = 10
FIRST_LOOK = 400  # images: less than a second of two cores


@dataclass(frozen=True)
class MapData:
    """The images of a map.

    Attributes:
        dataset: all images.
        rows: (n,) manifest rows of those on the map.
        split: (n,) indices into SPLITS.
        features: (n, D) of one extractor.
        label: what the extractor is called.
        marks: that it was trained with marks of the dataset's images, as MapInfo has it.
        form: how the images were decoded that it read; None: as the config says.
    """

    dataset: Dataset
    rows: np.ndarray
    split: np.ndarray
    features: np.ndarray
    label: str
    marks: tuple[str, ...] = ()
    form: ImageForm | None = None

    @property
    def is_training(self) -> np.ndarray:
        """(n,) bool: images of the training split."""
        return self.split == SPLITS.index("train")


FirstLook = Callable[[MapData, int], None]


def map_data(
    config: EmbedConfig, workspace: Workspace, first_look: FirstLook | None = None
) -> Generator[Event, None, MapData]:
    """The images of a map with their features, computed where they are not cached.

    Args:
        config: of the map.
        workspace: with the dataset and the extractor.
        first_look: called with FIRST_LOOK of the images, drawn at random, and the number of all,
            where the features of all take a CPU a while.
    """
    require_posterior(config, workspace)
    extractor = build_extractors(config.arm, config, workspace)[0]
    network, form = extractor.backbone, extractor.form or ImageForm(config.input_size)
    opened = open_images(workspace, config.dataset, form.size, form.interpolation)
    dataset, store = yield from opened
    used = used_images(dataset, _split_rule(config, workspace))
    if isinstance(network, GivenFeatures) and not (known := network.known(used.rows)).all():
        yield log(f"{count(int((~known).sum()), 'image')} without a vector are not on the map.")
        used = replace(used, rows=used.rows[known], split=used.split[known])
    rows = used.rows
    if len(rows) < LEAST_IMAGES:
        raise DataError(
            f"Dataset {dataset.name} has {len(rows)} images; a map needs {LEAST_IMAGES} or more."
        )
    if used.official:
        yield log(describe_official(used.official))
    vae = extractor.info.get("label")
    label = study_labels([config.arm], config.input_size, vae)[config.arm]
    source = _source(config, workspace)
    marks = (f"{label} {source.marks}",) if source and source.marks else ()
    chosen = None if len(rows) == len(dataset) else rows
    device = pick_device(config.device)
    cached = feature_path(workspace, dataset.name, extractor, store, chosen).exists()
    cached |= isinstance(network, GivenFeatures)
    if first_look and device == "cpu" and len(rows) >= 4 * FIRST_LOOK and not cached:
        part = _some(len(rows), config.seed)
        features = yield from _features_of(extractor, store.images, rows[part])
        some = MapData(dataset, rows[part], used.split[part], features, label, marks, form)
        first_look(some, len(rows))
        yield log(f"A first PCA of {len(part):,} images is ready; that of all follows.")
    features = yield from extract(extractor, store, workspace, dataset.name, chosen, device=device)
    return MapData(dataset, rows, used.split, features, label, marks, form)


def _some(count: int, seed: int) -> np.ndarray:
    """(FIRST_LOOK,) of `count` positions, ascending."""
    rng = np.random.default_rng(stream_seed(seed, "first look"))
    return np.sort(rng.choice(count, FIRST_LOOK, replace=False))


def _features_of(
    extractor: Extractor, images: np.ndarray, rows: np.ndarray
) -> Generator[Event, None, np.ndarray]:
    """Features of a few images on the CPU, not cached."""
    features = []
    for start in range(0, len(rows), CPU_BATCH):
        batch = images[rows[start : start + CPU_BATCH]]
        features.append(extractor.features(torch.from_numpy(batch)).numpy())
        yield TICK
    return np.concatenate(features)


def _split_rule(config: EmbedConfig, workspace: Workspace) -> SplitRule:
    """What decides the images and the split of a map: its config, or that of what trained its weights.

    The latter where both name the same dataset and split seed, so that the images which the map
    calls training are those that the weights have seen. A map that asks for the official split
    gets it. Images that marks left out of the training are on the map all the same.
    """
    rule = SplitRule.of(config)
    source = None if config.splits == "official" else _source(config, workspace)
    if source is None or source.dataset != config.dataset:
        return rule
    trained = SplitRule.of(source)
    if (trained.seed, trained.max_images) == (rule.seed, rule.max_images):
        return replace(trained, marks=None)
    return replace(rule, splits=trained.splits) if trained.seed == rule.seed else rule


def _source(config: EmbedConfig, workspace: Workspace) -> PretrainConfig | StudyConfig | None:
    """The config of what trained the weights of a map; None where nothing did, or it is not known."""
    kind, _, name = config.arm.partition(":")
    run_id = config.vae_run or (name if kind == "run" else None)
    bundle = config.vae or (name if kind == "bundle" else None)
    try:
        if run_id:
            source = from_dict(read_json(workspace.run(run_id).config))
        elif bundle:
            source = from_dict(verify_bundle(find_bundle(workspace, bundle)).config)
        else:
            return None
    except (OSError, ValueError, ConfigError):
        return None  # building the extractor says what is missing
    return source if isinstance(source, (PretrainConfig, StudyConfig)) else None


def marks_of_models(workspace: Workspace, names: Sequence[str]) -> tuple[str, ...]:
    """What MapInfo says of models that were trained with marks."""
    cards = [verify_bundle(find_bundle(workspace, name)) for name in names]
    return tuple(f"{card.name} {card.split.marks}" for card in cards if card.split.marks)
