"""A study of planted predictions: no network, no store, on one split or out of fold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from derm_core.config import StudyConfig
from derm_core.study.trained_arm import TrainedStudy
from derm_core.workspace import RunFiles

CLASSES, N = ("bkl", "mel", "nv"), 240


def planted_study(home: Path, folds: int = 0, **changes) -> TrainedStudy:
    """240 test and 240 validation images, two a group, three classes, arms vae and imagenet, two seeds.

    Args:
        home: the run's folder.
        folds: of both, groups dealt in turn; the log odds of fold k are multiplied by k.
        changes: of the config.
    """
    rng = np.random.default_rng(0)
    labels = np.tile(np.repeat(rng.choice(3, N // 2, p=[0.3, 0.2, 0.5]), 2), 2)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(2 * N)],
            "label": [CLASSES[c] for c in labels],
            "age": np.repeat(rng.integers(20, 80, N), 2).astype(float),
            "sex": np.repeat(rng.choice(["f", "m", None], N, p=[0.5, 0.4, 0.1]), 2),
            "device": "one",
            "note": [f"n{i}" for i in range(2 * N)],
        }
    )
    rows, groups = np.arange(2 * N), np.repeat(np.arange(N), 2)
    positions = {"val": rows[:N], "test": rows[N:]}
    fold = groups % folds + 1 if folds else np.ones(2 * N, int)

    def trained_arm(skill: float) -> SimpleNamespace:
        logits = rng.normal(size=(2, 2 * N, 3)) + skill * np.eye(3)[labels]
        odds = np.exp(logits * fold[:, None])
        p = odds / odds.sum(-1, keepdims=True)
        return SimpleNamespace(
            positions=positions,
            folds={name: fold[chosen] for name, chosen in positions.items()} if folds else {},
            probabilities={name: p[:, chosen] for name, chosen in positions.items()},
        )

    dataset = SimpleNamespace(frame=frame, attributes=["age", "sex", "device", "note"])
    data = SimpleNamespace(
        labels=labels,
        groups=groups,
        rows=rows,
        classes=CLASSES,
        dataset=dataset,
        image_ids=frame["image_id"].to_numpy(),
        members=lambda name: positions[name],
        labels_of=lambda name: labels[positions[name]],
        groups_of=lambda name: groups[positions[name]],
    )
    trained = {"vae": trained_arm(1.0), "imagenet": trained_arm(2.0)}
    config, prior = StudyConfig(dataset="x", bootstrap=200, **changes), np.log([0.3, 0.2, 0.5])
    prior = np.broadcast_to(prior, (N, 3)) if folds else prior
    tested_in = fold[positions["test"]] if folds else None
    run = RunFiles(home)
    return TrainedStudy(config, None, run, data, "cpu", trained, prior, folds=tested_in)
