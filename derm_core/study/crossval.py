"""The studies of all folds as one: out-of-fold predictions, an image of the dataset each once an arm and seed.

    joined = join(config, workspace)        reads the finished studies of config.fold_runs

Nothing is trained here. What a fold's study kept is checked against the fold's split, so that every image is tested
by models that saw neither it nor its group, and put in the order of the dataset. Class priors are those of the
training images of the fold that tests an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..arms import in_order
from ..config import StudyConfig, from_dict
from ..data.manifest import load_dataset
from ..data.splits import SPLITS, fold_split, split_fingerprint
from ..data.triage import as_priorities
from ..errors import RunError
from ..files import read_json
from ..heads.grid import CURVES
from ..stats.metrics import log_prior
from ..workspace import RunFiles, Workspace
from .arms import Arm
from .study_data import StudyData
from .trained_arm import TrainedArm


@dataclass(frozen=True)
class Fold:
    """A finished study of one fold. split (n,) of the images used; predictions: its table of validation and test."""

    number: int
    run: RunFiles
    result: dict[str, Any]
    split: np.ndarray

    @cached_property
    def predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.run.predictions)

    def curves(self, arm: str) -> pd.DataFrame:
        return pd.read_csv(self.run.curves(arm))


@dataclass(frozen=True)
class JoinedFolds:
    """All folds together. material: every image used stands in the test part. outcomes: per arm probabilities "test"
    (S, N, C) of the labelled images in the order of the dataset, and "val" of all folds after one another; curves
    whose columns are folds, means over seeds. fold (N,) and log_prior (N, C) of the labelled images."""

    folds: list[Fold]
    data: StudyData
    trained: dict[str, TrainedArm]
    fold: np.ndarray
    log_prior: np.ndarray


def join(config: StudyConfig, workspace: Workspace) -> JoinedFolds:
    """See the module's docstring. Raises RunError where a fold is not finished or does not fit the others."""
    dataset = load_dataset(workspace, config.dataset)
    rows = dataset.subset(config.max_images, config.split_seed)
    groups, ids = dataset.groups[rows], dataset.frame["image_id"].to_numpy()[rows]
    splits = [
        fold_split(dataset.labels[rows], groups, config.split_seed, config.folds, k + 1)
        for k in range(config.folds)
    ]
    part = np.argmax([split == SPLITS.index("test") for split in splits], 0) + 1
    if config.labels == "priority":
        dataset = as_priorities(dataset)
    everything = np.full(len(rows), SPLITS.index("test"), np.int8)
    data = StudyData(
        dataset, None, rows, dataset.labels[rows], groups, everything, split_fingerprint(part, ids)
    )
    folds = [
        _read(config, data, ids, splits[k], k + 1, workspace.run(run_id))
        for k, run_id in enumerate(config.fold_runs)
    ]
    tested = data.members("test")
    priors = np.stack(
        [
            log_prior(data.labels[(split == 0) & (data.labels >= 0)], len(data.classes))
            for split in splits
        ]
    )
    return JoinedFolds(
        folds,
        data,
        {arm: _outcome(config, data, ids, folds, arm) for arm in _arms(folds)},
        part[tested],
        priors[part[tested] - 1],
    )


def _read(
    config: StudyConfig,
    data: StudyData,
    ids: np.ndarray,
    split: np.ndarray,
    number: int,
    run: RunFiles,
) -> Fold:
    try:
        result, made = read_json(run.study), from_dict(read_json(run.config))
    except (OSError, ValueError):
        raise RunError(
            f"Fold {number} ({run.id}) has no results; give the same command again, or `runs resume {run.id}`, "
            "to go on with it."
        ) from None
    fits = (made.folds, made.fold, made.seeds) == (config.folds, number, config.seeds)
    if (
        not fits
        or result["dataset"]["fingerprint"] != data.dataset.fingerprint
        or result["split"]["fingerprint"] != split_fingerprint(split, ids)
        or result["labels"] != data.task
    ):
        raise RunError(
            f"Fold {number} ({run.id}) was made from other images, labels or settings than {config.dataset} has "
            "now; give the same command again, so that it is made anew."
        )
    return Fold(number, run, result, split)


def _arms(folds: list[Fold]) -> list[str]:
    arms = list(folds[0].result["arms"])
    for fold in folds:
        if set(fold.result["arms"]) != set(arms):
            raise RunError(
                f"Fold {fold.number} ({fold.run.id}) compared {', '.join(fold.result['arms'])}, fold 1 "
                f"{', '.join(arms)}: delete the study that lacks an arm and give the same command again."
            )
    return in_order(arms)


def _outcome(
    config: StudyConfig, data: StudyData, ids: np.ndarray, folds: list[Fold], arm: str
) -> TrainedArm:
    """One arm's predictions in the order of the dataset, and its curves."""
    place = pd.Series(np.arange(len(ids)), ids)
    tested, val = np.full((len(config.seeds), len(ids), len(data.classes)), np.nan), []
    for fold in folds:
        for name in ("test", "val"):
            positions, p_snc = _of_fold(config, fold, arm, name, place, len(data.classes))
            if name == "val":
                val.append((positions, p_snc))
            else:
                tested[:, positions] = p_snc
    positions = data.members("test")
    if not np.isfinite(tested[:, positions]).all():
        raise RunError(
            f"Some images of {config.dataset} were tested in no fold; delete the studies of the folds and give "
            "the same command again."
        )
    return TrainedArm(
        Arm(arm, []),
        folds[0].result["arms"][arm]["features"],
        _curves(folds, arm),
        {"test": positions, "val": np.concatenate([at for at, _ in val])},
        {"test": tested[:, positions], "val": np.concatenate([p for _, p in val], 1)},
    )


def _of_fold(
    config: StudyConfig, fold: Fold, arm: str, name: str, place: pd.Series, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,) of a fold's labelled images of one split and their probabilities (S, n, C)."""
    table = fold.predictions
    table = table[(table["arm"] == arm) & (table["split"] == name)]
    columns, positions, parts = [f"p_{c}" for c in range(classes)], None, []
    for seed in config.seeds:
        one = table[table["seed"] == seed]
        at = place[one["image_id"]].to_numpy()
        if positions is not None and not np.array_equal(at, positions):
            raise RunError(
                f"The predictions of fold {fold.number} ({fold.run.id}) are damaged; delete it and give the same "
                "command again."
            )
        positions = at
        parts.append(one[columns].to_numpy(np.float64))
    if (fold.split[positions] != SPLITS.index(name)).any():
        raise RunError(
            f"Fold {fold.number} ({fold.run.id}) tested images that are not its own; delete it and give the same "
            "command again."
        )
    return positions, np.stack(parts)


def _curves(folds: list[Fold], arm: str) -> dict[str, np.ndarray]:
    """Means over seeds, a column a fold (T, K), at the evaluations of the first: others differ by a few images an epoch."""
    found = [fold.curves(arm).groupby("step", sort=True).mean() for fold in folds]
    epoch = found[0]["epoch"].to_numpy()
    return {
        "epoch": epoch,
        "step": found[0].index.to_numpy(),
        **{
            name: np.stack([np.interp(epoch, one["epoch"], one[name]) for one in found], 1)
            for name in CURVES
        },
    }


def curves_table(folds: list[Fold], arm: str) -> pd.DataFrame:
    """Curves of every fold and seed at the evaluations of the first fold: fold, epoch, step, seed, then CURVES."""
    first, parts = folds[0].curves(arm), []
    for fold in folds:
        for seed, one in fold.curves(arm).groupby("seed"):
            grid = first[first["seed"] == seed]
            parts.append(
                pd.DataFrame(
                    {
                        "fold": fold.number,
                        "epoch": grid["epoch"],
                        "step": grid["step"],
                        "seed": seed,
                        **{
                            name: np.interp(grid["epoch"], one["epoch"], one[name])
                            for name in CURVES
                        },
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def shares_of_labels(
    joined: JoinedFolds, config: StudyConfig
) -> dict[float, tuple[dict[str, np.ndarray], np.ndarray, dict]]:
    """Per share of the labels: {arm: (S, N, C)}, log priors (S, N, C), and {"images", "groups"} as means over folds.

    Raises RunError where a fold kept no such predictions.
    """
    found: dict[float, tuple[dict[str, np.ndarray], np.ndarray, dict]] = {}
    kept = [_kept(fold) for fold in joined.folds]
    rows = [
        {row["fraction"]: row for row in fold.result["label_efficiency"]["rows"]}
        for fold in joined.folds
    ]
    shape = (len(config.seeds), len(joined.fold), len(joined.data.classes))
    for fraction in joined.folds[0].result["label_efficiency"]["fractions"]:
        priors, probabilities = (
            np.empty(shape),
            {arm: np.empty(shape) for arm in joined.trained if f"{fraction:g} {arm}" in kept[0]},
        )
        for fold, arrays in zip(joined.folds, kept, strict=True):
            here = joined.fold == fold.number
            priors[:, here] = arrays[f"{fraction:g} prior"][:, None]
            for arm in probabilities:
                probabilities[arm][:, here] = arrays[f"{fraction:g} {arm}"]
        sizes = {
            key: float(np.mean([of[fraction][key] for of in rows])) for key in ("images", "groups")
        }
        found[fraction] = probabilities, priors, sizes
    return found


def _kept(fold: Fold) -> Mapping[str, np.ndarray]:
    try:
        with np.load(fold.run.label_efficiency_predictions, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError):
        raise RunError(
            f"Fold {fold.number} ({fold.run.id}) kept no predictions with fewer labels; delete it and give the "
            "same command again."
        ) from None
