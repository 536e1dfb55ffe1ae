"""One line of the ablation from pretraining to what heads on its features say; nothing finished is made twice."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from derm_core.config import to_dict
from derm_core.errors import RunError
from derm_core.events import Event
from derm_core.files import read_json, write_json, writing
from derm_core.heads.grid import CURVES, Heads
from derm_core.locks import hold
from derm_core.machine import pick_device
from derm_core.records import to_json
from derm_core.study.arms import resolve_arms
from derm_core.study.features import finish
from derm_core.study.frozen import arm_features
from derm_core.study.label_efficiency import draw_label_share, of_seed
from derm_core.study.looks import count_looks
from derm_core.study.study_data import StudyData, prepare
from derm_core.training.pretrain import pretrain
from derm_core.workspace import RunFiles, Workspace
from experiments.recipe.lines import Line, Setting, comparison, key, pretraining

FEW = 0.1  # the smaller share of labels
NEIGHBOURS = 10


class Busy(RunError):
    """Another process is at the same work."""


RESULT, ARRAYS = "line.json", "line.npz"


def folder_of(line: Line, setting: Setting, workspace: Workspace) -> RunFiles:
    """Where a line's result is kept, named by what was done."""
    run = pretrained_run(line, setting, workspace)
    what = key(comparison(line, setting, run.id if run else None)) + (
        "-test" if setting.test else ""
    )
    return workspace.run(f"recipe-line-{what}")


def pretrained_run(line: Line, setting: Setting, workspace: Workspace) -> RunFiles | None:
    """The run of the pretraining behind a line."""
    return workspace.run(f"recipe-vae-{key(pretraining(line, setting))}") if line.recipe else None


def is_done(line: Line, setting: Setting, workspace: Workspace) -> bool:
    return (folder_of(line, setting, workspace).artefacts / RESULT).exists()


def measure(line: Line, setting: Setting, workspace: Workspace) -> dict[str, Any]:
    """Pretrain where needed, compute features, train the heads, keep all; a line that is done is only read.

    Raises Busy where another process is at the same work.
    """
    folder = folder_of(line, setting, workspace)
    if not is_done(line, setting, workspace):
        run = pretrained_run(line, setting, workspace)
        summary = _pretrained(line, setting, workspace, run) if run else {}
        with _alone(folder.create()):
            if not is_done(line, setting, workspace):  # another process may have done it meanwhile
                _finish(line, setting, workspace, folder, run, summary)
    return read_json(folder.artefacts / RESULT)


def _finish(
    line: Line,
    setting: Setting,
    workspace: Workspace,
    folder: RunFiles,
    run: RunFiles | None,
    summary: dict[str, Any],
) -> None:
    """Judge the features and write what `measure` and `arrays_of` read."""
    started = time.monotonic()
    result, arrays = _judge(line, setting, workspace, folder, run)
    with writing(folder.artefacts / ARRAYS) as file:
        np.savez(file, **arrays)
    write_json(
        folder.artefacts / RESULT,
        to_json({**result, "pretraining": summary, "judging_seconds": time.monotonic() - started}),
    )


def arrays_of(line: Line, setting: Setting, workspace: Workspace) -> dict[str, np.ndarray]:
    """What `measure` kept: probabilities (G, S, n, C) by split and share of labels, curves' ends, priors."""
    path = folder_of(line, setting, workspace).artefacts / ARRAYS
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@contextlib.contextmanager
def _alone(folder: RunFiles) -> Iterator[None]:
    with hold(folder.lock) as mine:
        if not mine:
            raise Busy(
                f"Another process is at work in {folder.id}; wait for it, or use another workspace."
            )
        yield


def _pretrained(
    line: Line, setting: Setting, workspace: Workspace, run: RunFiles
) -> dict[str, Any]:
    """The summary of the line's pretraining, which is made, or continued, where it is not finished."""
    config = pretraining(line, setting)
    with _alone(run.create()):
        write_json(run.config, to_dict(config))
        return follow(pretrain(config, workspace, run), line.name)


def follow(events: Iterator[Event], what: str) -> Any:
    """The result of a run; its log, metrics of each epoch and, every half minute, its rate go to standard error."""
    last_line = result = None
    for event in events:
        if event.kind == "result":
            result = event.value
        elif event.kind == "log":
            print(f"{what}: {event.value}", file=sys.stderr, flush=True)
        elif event.kind == "metric" and event.series in (
            "val/reconstruction",
            "val/active_units",
            "probe/balanced_accuracy",
        ):
            print(
                f"{what}: epoch {event.epoch:.0f} {event.series} {event.value:.4g}",
                file=sys.stderr,
                flush=True,
            )
        elif event.kind == "progress" and (last_line is None or time.monotonic() - last_line > 30):
            last_line, value = time.monotonic(), event.value
            rate = "" if value.rate is None else f", {value.rate:.0f}/s"  # not known at first
            print(
                f"{what}: {value.done} of {value.total} images{rate}",
                file=sys.stderr,
                flush=True,
            )
    return result


def _judge(
    line: Line, setting: Setting, workspace: Workspace, folder: RunFiles, run: RunFiles | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Heads on all labels and on a tenth, at every point of the grid, and the neighbours' vote."""
    config, device = comparison(line, setting, run.id if run else None), pick_device(setting.device)
    material = finish(prepare(config, workspace))
    if setting.test:
        tested = material.image_ids[material.members("test")]
        count_looks(workspace, config.dataset, folder.id, tested)
    arms, _ = resolve_arms(config, workspace)
    features = finish(arm_features(arms[0], workspace, material, device))
    splits = ("train", "val", "test") if setting.test else ("val",)
    arrays: dict[str, np.ndarray] = {}
    everything = _heads(
        line.arm, features, material, material.members("train"), setting, device, setting.head_seeds
    )
    keep(arrays, "all", [(everything, features)], line.arm, material, splits)
    few = [
        (
            _heads(
                line.arm,
                of_seed(features, index),
                material,
                _few(material, seed),
                setting,
                device,
                (seed,),
                everything.steps,
            ),
            of_seed(features, index),
        )
        for index, seed in enumerate(setting.head_seeds)
    ]
    keep(arrays, "few", few, line.arm, material, [name for name in splits if name != "train"])
    result = {
        "line": line.name,
        "width": features.shape[-1],
        "grid": everything.grid,
        "knn": {
            split: neighbours(features, material, split) for split in splits if split != "train"
        },
    }
    return result, arrays


def _few(material: StudyData, seed: int) -> np.ndarray:
    train = material.members("train")
    return train[
        draw_label_share(
            material.labels[train], material.groups[train], len(material.classes), FEW, seed
        )
    ]


def _heads(
    arm: str,
    features: np.ndarray,
    material: StudyData,
    train: np.ndarray,
    setting: Setting,
    device: str,
    seeds: tuple[int, ...],
    updates: int | None = None,
) -> Heads:
    heads = Heads(
        {arm: features},
        material.labels,
        train,
        material.members("val"),
        classes=len(material.classes),
        seeds=seeds,
        learning_rates=setting.learning_rates,
        weight_decays=setting.weight_decays,
        epochs=setting.head_epochs,
        updates=updates,
        device="cuda" if device.startswith("cuda") else "cpu",
    )
    for _ in heads.fit(curves=False):
        pass
    return heads


def keep(
    arrays: dict[str, np.ndarray],
    share: str,
    trained: list[tuple[Heads, np.ndarray]],
    arm: str,
    material: StudyData,
    splits: Sequence[str],
) -> None:
    """Save probabilities (G, S, n, C) on `splits`, the curves' ends (CURVES, S, G), log priors (S, C).

    trained: heads of all seeds, or of one seed each, with their features (n, D) or (seeds, n, D).
    """
    for split in splits:
        rows = material.members(split)
        arrays[f"p_{share}_{split}"] = np.stack(
            [
                np.concatenate(
                    [
                        heads.probabilities(arm, point, features[..., rows, :])
                        for heads, features in trained
                    ]
                )
                for point in range(len(trained[0][0].grid))
            ]
        )
    ends = [
        np.stack([heads.records[-1].values[arm][name] for name in CURVES]) for heads, _ in trained
    ]
    arrays[f"ends_{share}"] = np.concatenate(ends, 1)
    arrays[f"prior_{share}"] = np.stack(
        [heads.log_prior for heads, _ in trained for _ in heads.seeds]
    )


def neighbours(features: np.ndarray, material: StudyData, split: str) -> dict[str, float]:
    """Accuracy and balanced accuracy of the vote of the ten nearest training images, in standardised features.

    Means over seeds where each has its own features.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    train, rows, votes = material.members("train"), material.members(split), []
    for matrix in features[None] if features.ndim == 2 else features:
        mean, std = matrix[train].mean(0), matrix[train].std(0)
        space = np.where(std > 1e-6, (matrix - mean) / np.maximum(std, 1e-6), 0)
        model = KNeighborsClassifier(min(NEIGHBOURS, len(train)), algorithm="brute").fit(
            space[train], material.labels[train]
        )
        voted = model.predict(space[rows])
        votes.append(
            (
                np.mean(voted == material.labels[rows]),
                balanced_accuracy_score(material.labels[rows], voted),
            )
        )
    return dict(zip(("accuracy", "balanced_accuracy"), np.mean(votes, 0).tolist()))
