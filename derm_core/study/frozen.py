"""The regime `frozen`, the paper's: backbones stay as they are, and identical heads are trained on their features."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from ..config import StudyConfig
from ..data.splits import SPLITS
from ..events import TICK, Event, log, progress
from ..files import write_atomic
from ..heads.grid import Choice, Heads
from ..workspace import Workspace
from .arms import Arm
from .features import extract
from .study_data import StudyData
from .trained_arm import FrozenHeads, TrainedArm, TrainedStudy, curve_events


def train_frozen(
    study: TrainedStudy, arms: list[Arm]
) -> Generator[Event, None, tuple[TrainedStudy, dict[str, TrainedArm], dict[str, Any]]]:
    """Extract features, train heads and choose the setting.

    Heads of the one setting go to artefacts/heads/ARM.safetensors, tensors stacked over seeds.

    Returns:
        The study with every arm at the one setting, each arm at its own best setting, and the
        settings in study.json.
    """
    config, data, features = study.config, study.data, {}
    for arm in arms:
        features[arm.name] = yield from arm_features(arm, study.workspace, data, study.device)
    device = "cuda" if study.device.startswith("cuda") else "cpu"
    heads = make_heads(config, data, features, device=device)
    yield log(
        f"Training {len(heads.grid) * len(config.seeds) * len(arms)} heads: {len(arms)} arms, "
        f"{len(config.seeds)} seeds, {len(heads.grid)} settings."
    )
    yield from train_heads(heads)
    choice = heads.choose()

    def arms_at(settings: Mapping[str, int]) -> dict[str, TrainedArm]:
        return {
            arm.name: _trained_arm(arm, heads, settings[arm.name], features[arm.name], data)
            for arm in arms
        }

    for arm in arms:
        _save_heads(study.run.heads(arm.name), arm.name, heads, choice.setting)
    trained = dataclasses.replace(
        study,
        trained=arms_at(dict.fromkeys(heads.arms, choice.setting)),
        frozen=FrozenHeads(heads, features, choice.setting),
    )
    return trained, arms_at(choice.best), _grid(heads, choice)


def make_heads(
    config: StudyConfig,
    data: StudyData,
    features: Mapping[str, np.ndarray],
    train: np.ndarray | None = None,
    **changes: Any,
) -> Heads:
    """Untrained heads of a study's arms.

    Args:
        features: {arm: (n, D) or (S, n, D)} of the study's images.
        train: positions of the training images, by default those of the split.
        changes: arguments of Heads other than the config's.
    """
    options = {
        "seeds": config.seeds,
        "learning_rates": config.learning_rates,
        "weight_decays": config.weight_decays,
        "hidden": config.hidden,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "loss": config.loss,
        **changes,
    }
    train = data.members("train") if train is None else train
    classes = len(data.classes)
    return Heads(features, data.labels, train, data.members("val"), classes=classes, **options)


def arm_features(
    arm: Arm, workspace: Workspace, data: StudyData, device: str
) -> Generator[Event, None, np.ndarray]:
    """Features of a study's images: (n, D), or (S, n, D) where the arm has one extractor per seed."""
    rows = None if data.all_rows else data.rows
    variants = []
    for index, parts in enumerate(arm.variants):
        number = f" {index + 1} of {len(arm.variants)}" if len(arm.variants) > 1 else ""
        what = f"Features: {arm.label}{number}"
        blocks = []
        for part in parts:
            steps = extract(
                part, data.store, workspace, data.dataset.name, rows, device=device, what=what
            )
            blocks.append((yield from steps))
        variants.append(blocks)
    return side_by_side(variants)


def side_by_side(variants: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Features (n, D) of one variant's extractors side by side; (S, n, D) of one variant a seed."""
    matrices = [np.concatenate(blocks, 1) for blocks in variants]
    return matrices[0] if len(matrices) == 1 else np.stack(matrices)


def train_heads(heads: Heads) -> Iterator[Event]:
    """Train all heads. Live curves are those of the grid's middle setting, since the choice is made at the end."""
    middle, what, started = len(heads.grid) // 2, "Training heads", time.monotonic()
    for record in heads.fit():
        if record is not None:
            for arm, values in record.values.items():
                live = {name: value[:, middle] for name, value in values.items()}
                yield from curve_events(arm, live, record.step, record.epoch)
            yield progress(record.epoch, heads.epochs, "epochs", what=what, started=started)
        yield TICK


def _trained_arm(
    arm: Arm, heads: Heads, setting: int, features: np.ndarray, data: StudyData
) -> TrainedArm:
    positions = {split: data.members(split) for split in SPLITS}
    probabilities = {
        split: heads.probabilities(arm.name, setting, features[..., rows, :])
        for split, rows in positions.items()
    }
    curves = heads.curves(arm.name, setting)
    point = heads.point(setting)
    return TrainedArm(arm, features.shape[-1], curves, positions, probabilities, point)


def _grid(heads: Heads, choice: Choice) -> dict[str, Any]:
    """The settings in study.json: the grid, validation losses, choices, and those at its edge."""
    return {
        "points": [heads.point(setting) for setting in range(len(heads.grid))],
        "val_loss": {arm: choice.mean_loss[i] for i, arm in enumerate(heads.arms)},
        "chosen": choice.setting,
        "best": dict(choice.best),
        "edge": list(choice.edge),
        "best_edge": {arm: list(edge) for arm, edge in choice.best_edge.items()},
        "rule": "one setting for all arms: the lowest mean validation loss over arms and seeds at the final epoch",
    }


def _save_heads(path: Path, arm: str, heads: Heads, setting: int) -> None:
    seeds = heads.weights(arm, setting)
    stacked = {
        name: torch.stack([weights[name] for weights in seeds]).contiguous() for name in seeds[0]
    }
    point = {name: str(value) for name, value in heads.point(setting).items()}
    about = {"arm": arm, "seeds": json.dumps(list(heads.seeds)), **point}
    write_atomic(path, save(stacked, metadata=about))
