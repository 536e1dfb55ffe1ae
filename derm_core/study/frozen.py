"""The regime `frozen`, the paper's: backbones stay as they are, and identical heads are trained on their features."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from ..arms import arm_label, in_order
from ..config import StudyConfig
from ..data.splits import SPLITS
from ..events import TICK, Event, log, progress
from ..files import write_atomic
from ..heads.grid import Heads, images_of_step, measured_after
from ..heads.tuning import WIDENINGS, Choice, TunedHeads
from ..training.distributed import use_all_cores
from ..workspace import Workspace
from .arms import Arm
from .chosen_arms import choose_arms, settle
from .features import extract
from .study_data import StudyData
from .study_result import Grid
from .trained_arm import FrozenHeads, TrainedArm, TrainedStudy, curve_events

LIVE_POINTS, LIVE_DIGITS = 30, 5  # of the curves that are drawn while heads train
RULE = (
    "each arm at its own best point of the grid (shared: one point for all arms): the lowest validation loss at the "
    f"final epoch, mean over seeds; the grid is widened, at most {WIDENINGS} times, where a choice lies on its edge"
)


def study_features(
    study: TrainedStudy, arms: list[Arm]
) -> Generator[Event, None, dict[str, np.ndarray]]:
    """{arm: features of the study's images}, as `arm_features` gives them; no images in ranks but the first."""
    use_all_cores()
    features = {}
    for arm in arms:
        features[arm.name] = yield from arm_features(
            arm, study.workspace, study.data, study.device, study.devices
        )
    return features


def train_frozen(
    study: TrainedStudy, arms: list[Arm], features: dict[str, np.ndarray]
) -> Generator[Event, None, tuple[TrainedStudy, Grid]]:
    """Train heads on the arms' features and choose the settings.

    Heads of each arm's own setting go to artefacts/heads/ARM.safetensors, tensors stacked over seeds.

    Returns:
        The study with every arm at its own best setting and at the shared one, and the settings.
    """
    config, data = study.config, study.data
    device = "cuda" if study.device.startswith("cuda") else "cpu"

    def make(points: Mapping[str, Any]) -> Heads:
        return make_heads(config, data, features, device=device, **points)

    started = time.monotonic()
    heads = yield from tune_heads(config, make)
    seconds = time.monotonic() - started
    choice = heads.choose()
    chosen = choose_arms(choice.losses)
    sources = _sources(config, list(heads.arms), chosen)
    heads.rename(sources)
    choice = choice.renamed(sources)
    features = {name: features[arm] for name, arm in sources.items()}
    arms = _renamed(arms, sources, bool(config.fold))

    def arms_at(settings: Mapping[str, int]) -> dict[str, TrainedArm]:
        return {
            arm.name: _trained_arm(arm, heads, settings[arm.name], features[arm.name], data)
            for arm in arms
        }

    for arm in arms:
        _save_heads(study.run.heads(arm.name), arm.name, heads, choice.best[arm.name])
    trained = dataclasses.replace(
        study,
        trained=arms_at(choice.best),
        shared=arms_at(dict.fromkeys(heads.arms, choice.shared)),
        frozen=FrozenHeads(heads, features, choice.best, choice.shared, seconds),
        chosen={role: (arm,) for role, arm in chosen.items()},
    )
    return trained, _grid(heads, choice)


def _sources(config: StudyConfig, arms: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """{name of each arm of the result: the arm behind it}: in a fold every role beside the arms."""
    if not config.fold:
        return settle(arms, {role: (arm,) for role, arm in chosen.items()})
    every = {**{arm: arm for arm in arms}, **chosen}
    return {name: every[name] for name in in_order(every)}


def _renamed(arms: Sequence[Arm], sources: Mapping[str, str], in_fold: bool) -> list[Arm]:
    """The arms under the names of the result; that of a role has its label in a fold, else its own."""
    built = {arm.name: arm for arm in arms}
    return [
        built[arm]
        if name == arm
        else dataclasses.replace(
            built[arm],
            name=name,
            label=arm_label(name) if in_fold else built[arm].label,
            chosen=(arm,),
        )
        for name, arm in sources.items()
    ]


def tune_heads(
    config: StudyConfig, make: Callable[[Mapping[str, Any]], Heads]
) -> Generator[Event, None, TunedHeads]:
    """Heads on the grid of the config, and on a wider one while a choice lies on its edge.

    make: untrained heads of all arms at points, {"learning_rates", "weight_decays"}.
    """
    heads = TunedHeads()
    points = {"learning_rates": config.learning_rates, "weight_decays": config.weight_decays}
    parts: list[dict[str, Any]] = [points]
    for widened in range(WIDENINGS + 1):
        for part in map(make, parts):
            count = len(part.grid) * len(part.seeds) * len(part.arms)
            where = "beyond the edge of the grid" if widened else "of the grid"
            yield log(
                f"Training {count} heads: {len(part.arms)} arms, {len(part.grid)} settings {where}"
                f"{_of_large_set(part, config)}."
            )
            yield from train_heads(part, live=not widened)
            heads.add(part)
        parts = heads.beyond_edges()
        if not parts:
            break
    return heads


def _of_large_set(heads: Heads, config: StudyConfig) -> str:
    """What is otherwise with heads of many training images."""
    larger, every = heads.batch_size > config.batch_size, measured_after(heads.rows)
    steps = f", steps of {heads.batch_size} images" if larger else ""
    return steps + (f", curves after the first epoch and every {every} epochs" if every > 1 else "")


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
        train: positions of the training images, by default those of the split, whose number decides how
            many a step takes.
        changes: arguments of Heads other than the config's.
    """
    options = {
        "seeds": config.seeds,
        "learning_rates": config.learning_rates,
        "weight_decays": config.weight_decays,
        "hidden": config.hidden,
        "epochs": config.epochs,
        "batch_size": images_of_step(config.batch_size, len(data.members("train"))),
        "loss": config.loss,
        **changes,
    }
    train = data.members("train") if train is None else train
    classes = len(data.classes)
    return Heads(features, data.labels, train, data.members("val"), classes=classes, **options)


def arm_features(
    arm: Arm, workspace: Workspace, data: StudyData, device: str, devices: Sequence[str] = ()
) -> Generator[Event, None, np.ndarray]:
    """Features of a study's images: (n, D), or (S, n, D) where the arm has one extractor per seed.

    device, devices: as `extract` takes them.
    """
    rows = None if data.all_rows else data.rows
    variants = []
    for index, parts in enumerate(arm.variants):
        number = f" {index + 1} of {len(arm.variants)}" if len(arm.variants) > 1 else ""
        what = f"Features: {arm.label}{number}"
        blocks = []
        for part in parts:
            store = data.store_at(part.form)
            steps = extract(
                part,
                store,
                workspace,
                data.dataset.name,
                rows,
                device=device,
                devices=devices,
                what=what,
            )
            blocks.append((yield from steps))
        variants.append(blocks)
    return side_by_side(variants)


def side_by_side(variants: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Features (n, D) of one variant's extractors side by side; (S, n, D) of one variant a seed."""
    matrices = [blocks[0] if len(blocks) == 1 else np.concatenate(blocks, 1) for blocks in variants]
    return matrices[0] if len(matrices) == 1 else np.stack(matrices)


def train_heads(heads: Heads, live: bool = True) -> Iterator[Event]:
    """Train all heads.

    Live curves are those of each arm's best setting so far, since the choice is made at the end; at
    about LIVE_POINTS evaluations beyond the first epoch, all of which are made anyway. Settings beyond
    the edge of the grid have none (`live` is False): their curves would be drawn over these.
    """
    what, started = "Training heads", time.monotonic()
    every = max(1, round(heads.epochs / LIVE_POINTS))
    for record in heads.fit():
        if record is not None:
            at_end = record.step == heads.steps
            if live and (record.epoch < 1 or record.epoch % every == 0 or at_end):
                for arm, values in record.values.items():
                    yield from curve_events(arm, best_so_far(values), record.step, record.epoch)
            yield progress(record.epoch, heads.epochs, "epochs", what=what, started=started)
        yield TICK


def best_so_far(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of an arm's curves at one moment (S, G): those (S,) of the setting that validation puts first there.

    That is the one with the lowest validation loss, mean over seeds; a head that diverged counts as
    infinite. Rounded, since they are drawn and no more.
    """
    losses = np.nan_to_num(values["val_loss"], nan=np.inf).mean(0)
    setting = int(losses.argmin())
    return {name: value[:, setting].round(LIVE_DIGITS) for name, value in values.items()}


def _trained_arm(
    arm: Arm, heads: TunedHeads, setting: int, features: np.ndarray, data: StudyData
) -> TrainedArm:
    positions = {split: data.members(split) for split in SPLITS}
    probabilities = {
        split: heads.probabilities(arm.name, setting, features[..., rows, :])
        for split, rows in positions.items()
    }
    curves = heads.curves(arm.name, setting)
    point = heads.point(setting)
    return TrainedArm(arm, features.shape[-1], curves, positions, probabilities, point)


def _grid(heads: TunedHeads, choice: Choice) -> Grid:
    return Grid(
        rule=RULE,
        points=tuple(heads.point(setting) for setting in range(len(heads.grid))),
        val_loss={arm: tuple(choice.mean_loss[i].tolist()) for i, arm in enumerate(heads.arms)},
        chosen={arm: heads.point(setting) for arm, setting in choice.best.items()},
        shared=heads.point(choice.shared),
        on_edge=choice.on_edge,
    )


def _save_heads(path: Path, arm: str, heads: TunedHeads, setting: int) -> None:
    seeds = heads.weights(arm, setting)
    stacked = {
        name: torch.stack([weights[name] for weights in seeds]).contiguous() for name in seeds[0]
    }
    point = {name: str(value) for name, value in heads.point(setting).items()}
    about = {"arm": arm, "seeds": json.dumps(list(heads.first.seeds)), **point}
    write_atomic(path, save(stacked, metadata=about))
