"""The regime `frozen`, the paper's: backbones as they are, one identical head is all that trains."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from ..config import StudyConfig
from ..events import TICK, Event, log, progress
from ..files import write_atomic
from ..heads.grid import CURVES, Choice, Heads, Record
from ..workspace import RunFiles, Workspace
from .arms import Arm
from .features import extract
from .study_data import StudyData
from .trained_arm import TrainedArm


@dataclass(frozen=True)
class FrozenArms:
    """What the regime leaves: outcomes at the one setting, each arm at its own best, the grid's record,
    and the heads and features {arm: (n, D) or (S, n, D)} behind them."""

    trained: dict[str, TrainedArm]
    best: dict[str, TrainedArm]
    grid: dict
    heads: Heads
    features: dict[str, np.ndarray]
    setting: int


def frozen(
    config: StudyConfig,
    workspace: Workspace,
    run: RunFiles,
    data: StudyData,
    arms: list[Arm],
    device: str,
) -> Generator[Event, None, FrozenArms]:
    """Features, heads, choice: `result = yield from frozen(...)`.

    Heads of the one setting go to artefacts/heads/ARM.safetensors, tensors stacked over seeds.
    """
    features = {}
    for arm in arms:
        features[arm.name] = yield from arm_features(arm, workspace, data, device)
    heads = Heads(
        features,
        data.labels,
        data.members("train"),
        data.members("val"),
        classes=len(data.classes),
        seeds=config.seeds,
        learning_rates=config.learning_rates,
        weight_decays=config.weight_decays,
        hidden=config.hidden,
        epochs=config.epochs,
        batch_size=config.batch_size,
        loss=config.loss,
        device="cuda" if device.startswith("cuda") else "cpu",
    )
    yield log(
        f"Training {len(heads.grid) * len(config.seeds) * len(arms)} heads: {len(arms)} arms, "
        f"{len(config.seeds)} seeds, {len(heads.grid)} settings."
    )
    yield from _train(heads)
    choice = heads.choose()
    primary = {
        arm.name: _outcome(arm, heads, choice.setting, features[arm.name], data) for arm in arms
    }
    best = {
        arm.name: _outcome(arm, heads, choice.best[arm.name], features[arm.name], data)
        for arm in arms
    }
    for arm in arms:
        _save_heads(run, arm.name, heads, choice.setting)
    return FrozenArms(primary, best, grid_record(heads, choice), heads, features, choice.setting)


def arm_features(
    arm: Arm, workspace: Workspace, data: StudyData, device: str
) -> Generator[Event, None, np.ndarray]:
    """Features of a study's images: (n, D), or (S, n, D) where the arm has one extractor per seed."""
    rows = None if data.all_rows else data.rows
    variants = []
    for index, parts in enumerate(arm.variants):
        blocks = []
        for part in parts:
            what = f"Features: {arm.label}" + (
                f" {index + 1} of {len(arm.variants)}" if len(arm.variants) > 1 else ""
            )
            blocks.append(
                (
                    yield from extract(
                        part,
                        data.store,
                        workspace,
                        data.dataset.name,
                        rows,
                        device=device,
                        what=what,
                    )
                )
            )
        variants.append(np.concatenate(blocks, 1))
    return variants[0] if len(variants) == 1 else np.stack(variants)


def _train(heads: Heads) -> Iterator[Event]:
    """Live curves are those of the grid's middle setting: which one is chosen is known at the end only."""
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


def _outcome(
    arm: Arm, heads: Heads, setting: int, features: np.ndarray, data: StudyData
) -> TrainedArm:
    positions = {split: data.members(split) for split in ("train", "val", "test")}
    probabilities = {
        split: heads.probabilities(arm.name, setting, features[..., chosen, :])
        for split, chosen in positions.items()
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


def grid_record(heads: Heads, choice: Choice) -> dict:
    """What study.json says of the settings: the grid, validation losses, choices, and those at its edge."""
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
    import torch
    from safetensors.torch import save

    seeds = heads.weights(arm, setting)
    stacked = {
        name: torch.stack([weights[name] for weights in seeds]).contiguous() for name in seeds[0]
    }
    rate, decay = heads.grid[setting]
    write_atomic(
        run.heads(arm),
        save(
            stacked,
            metadata={
                "arm": arm,
                "seeds": json.dumps(list(heads.seeds)),
                "learning_rate": str(rate),
                "weight_decay": str(decay),
            },
        ),
    )
