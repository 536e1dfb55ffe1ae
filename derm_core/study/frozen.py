"""The regime `frozen`, the paper's: backbones stay as they are, and identical heads are trained on their features."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from ..config import StudyConfig
from ..events import TICK, Event, log, progress
from ..files import write_atomic
from ..heads.grid import CURVES, Choice, Heads, Record
from ..workspace import RunFiles, Workspace
from .arms import Arm
from .features import extract
from .study_data import StudyData
from .trained_arm import FrozenHeads, TrainedArm


@dataclass(frozen=True)
class FrozenArms:
    """What the regime leaves.

    Args:
        trained: every arm at the one setting.
        best: each arm at its own best setting.
        grid: the settings in study.json.
        heads: the heads and features behind them.
    """

    trained: dict[str, TrainedArm]
    best: dict[str, TrainedArm]
    grid: dict[str, Any]
    heads: FrozenHeads


def train_frozen(
    config: StudyConfig,
    workspace: Workspace,
    run: RunFiles,
    data: StudyData,
    arms: list[Arm],
    device: str,
) -> Generator[Event, None, FrozenArms]:
    """Extract features, train heads and choose the setting.

    Heads of the one setting go to artefacts/heads/ARM.safetensors, tensors stacked over seeds.
    """
    features = {}
    for arm in arms:
        features[arm.name] = yield from arm_features(arm, workspace, data, device)
    heads = make_heads(
        config, data, features, device="cuda" if device.startswith("cuda") else "cpu"
    )
    yield log(
        f"Training {len(heads.grid) * len(config.seeds) * len(arms)} heads: {len(arms)} arms, "
        f"{len(config.seeds)} seeds, {len(heads.grid)} settings."
    )
    yield from train_heads(heads)
    choice = heads.choose()

    def at(setting_of: Mapping[str, int]) -> dict[str, TrainedArm]:
        return {
            arm.name: _trained_arm(arm, heads, setting_of[arm.name], features[arm.name], data)
            for arm in arms
        }

    for arm in arms:
        _save_heads(run, arm.name, heads, choice.setting)
    return FrozenArms(
        trained=at(dict.fromkeys(heads.arms, choice.setting)),
        best=at(choice.best),
        grid=_grid(heads, choice),
        heads=FrozenHeads(heads, features, choice.setting),
    )


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
        variants.append(np.concatenate(blocks, 1))
    return variants[0] if len(variants) == 1 else np.stack(variants)


def train_heads(heads: Heads) -> Iterator[Event]:
    """Train all heads. Live curves are those of the grid's middle setting, since the choice is made at the end."""
    middle, started = len(heads.grid) // 2, time.monotonic()
    for record in heads.fit():
        if record is not None:
            yield from _live(record, middle)
            yield progress(
                record.epoch, heads.epochs, "epochs", what="Training heads", started=started
            )
        yield TICK


def _live(record: Record, setting: int) -> Iterator[Event]:
    for arm, values in record.values.items():
        for name in CURVES:
            split, quantity = name.split("_", 1)
            yield Event(
                kind="metric",
                series=f"{arm}/{split}/{quantity}",
                value=values[name][:, setting],
                step=record.step,
                epoch=record.epoch,
            )


def _trained_arm(
    arm: Arm, heads: Heads, setting: int, features: np.ndarray, data: StudyData
) -> TrainedArm:
    positions = {split: data.members(split) for split in ("train", "val", "test")}
    probabilities = {
        split: heads.probabilities(arm.name, setting, features[..., rows, :])
        for split, rows in positions.items()
    }
    rate, decay = heads.grid[setting]
    return TrainedArm(
        arm,
        features.shape[-1],
        heads.curves(arm.name, setting),
        positions,
        probabilities,
        {"learning_rate": rate, "weight_decay": decay},
    )


def _grid(heads: Heads, choice: Choice) -> dict[str, Any]:
    """The settings in study.json: the grid, validation losses, choices, and those at its edge."""
    return {
        "points": [{"learning_rate": rate, "weight_decay": decay} for rate, decay in heads.grid],
        "val_loss": {arm: choice.mean_loss[i] for i, arm in enumerate(heads.arms)},
        "chosen": choice.setting,
        "best": dict(choice.best),
        "edge": list(choice.edge),
        "best_edge": {arm: list(edge) for arm, edge in choice.best_edge.items()},
        "rule": "one setting for all arms: the lowest mean validation loss over arms and seeds at the final epoch",
    }


def _save_heads(run: RunFiles, arm: str, heads: Heads, setting: int) -> None:
    seeds = heads.weights(arm, setting)
    stacked = {
        name: torch.stack([weights[name] for weights in seeds]).contiguous() for name in seeds[0]
    }
    rate, decay = heads.grid[setting]
    about = {
        "arm": arm,
        "seeds": json.dumps(list(heads.seeds)),
        "learning_rate": str(rate),
        "weight_decay": str(decay),
    }
    write_atomic(run.heads(arm), save(stacked, metadata=about))
