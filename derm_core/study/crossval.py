"""Cross-validation: the finished studies of all folds as one, with out-of-fold predictions of every image.

Nothing is trained here. The predictions of each fold's study are checked against the fold's split,
so that every image is tested by models that saw neither it nor its group, and put in the order of
the dataset. Class priors are those of the training images of the fold that tests an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..arms import arm_kind, in_order
from ..config import StudyConfig, from_dict
from ..data.manifest import load_dataset
from ..data.splits import SPLITS, split_fingerprint
from ..data.triage import as_priorities
from ..data.used_images import SplitRule, UsedImages, used_images
from ..data.used_marks import with_new_labels
from ..errors import RunError
from ..files import read_json
from ..heads.grid import CURVES
from ..stats.metrics import log_prior
from ..workspace import RunFiles, Workspace
from .answers import LabelEfficiency
from .arms import Arm
from .chosen_arms import KINDS, role_label, settle
from .label_efficiency import share_key
from .study_data import StudyData
from .study_result import StudyResult, read_study
from .trained_arm import TrainedArm, load_arrays


@dataclass(frozen=True)
class Fold:
    """A finished study of one fold: its number from 1, its run and result, and its split (n,) of the images used."""

    number: int
    run: RunFiles
    result: StudyResult
    split: np.ndarray

    @cached_property
    def predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.run.predictions)

    @cached_property
    def shared_predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.run.shared_predictions)

    def curves(self, arm: str, shared: bool = False) -> pd.DataFrame:
        return pd.read_csv(self.run.curves(arm, shared))


@dataclass(frozen=True)
class JoinedFolds:
    """All folds together.

    Args:
        data: every image used stands in the test part.
        trained: per arm probabilities "test" (S, N, C) of the labelled images in the order of the
            dataset, and "val" of all folds after one another, with the fold of each image; curves whose
            columns are folds, means over seeds.
        fold: (N,) the number of the fold that tests each labelled image.
        log_prior: (N, C) of that fold's training labels.
        shared: as `trained`, with one setting for all arms in each fold; empty where there is none.
        chosen: {role: the arm that each fold chose for it}.
    """

    folds: list[Fold]
    data: StudyData
    trained: dict[str, TrainedArm]
    fold: np.ndarray
    log_prior: np.ndarray
    shared: dict[str, TrainedArm]
    chosen: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelShare:
    """Heads trained on one share of the labels: {arm: (S, N, C)}, log priors (S, N, C), mean images and groups.

    shared: as `probabilities`, with one setting for all arms in each fold; empty where there is none.
    """

    probabilities: dict[str, np.ndarray]
    shared: dict[str, np.ndarray]
    log_priors: np.ndarray
    sizes: dict[str, float]


def join_folds(config: StudyConfig, workspace: Workspace) -> JoinedFolds:
    """The studies of `config.fold_runs` as one.

    Raises:
        RunError: where a fold is not finished or does not fit the others.
    """
    dataset = load_dataset(workspace, config.dataset)
    rule = SplitRule.of(config)
    used = [used_images(dataset, replace(rule, fold=k + 1)) for k in range(config.folds)]
    rows, splits = used[0].rows, [fold.split for fold in used]
    groups = dataset.groups[rows]
    part, whole = _tested_in(used), [fold.before_marks or fold for fold in used]
    ids = dataset.frame["image_id"].to_numpy()[whole[0].rows]
    fingerprint = split_fingerprint(_tested_in(whole), ids)
    dataset = with_new_labels(dataset, config.marks)
    if config.labels == "priority":
        dataset = as_priorities(dataset)
    everything = np.full(len(rows), SPLITS.index("test"), np.int8)
    labels = dataset.labels[rows]
    data = StudyData(dataset, None, rows, labels, groups, everything, fingerprint)
    runs = [workspace.run(run_id) for run_id in config.fold_runs]
    folds = [
        _read(config, data, of_fold, number, run)
        for number, (of_fold, run) in enumerate(zip(used, runs, strict=False), start=1)
    ]
    _require_same_weights(folds)
    chosen = _chosen(folds)
    arms = list(settle([arm for arm in _arms(folds) if arm not in KINDS], chosen))
    trained = {arm: _trained_arm(config, data, folds, arm) for arm in arms}
    shared = {
        arm: _trained_arm(config, data, folds, arm, shared=True)
        for arm in arms
        if folds[0].result.shared
    }
    fold_of = part[data.members("test")]
    priors = [
        log_prior(labels[(split == SPLITS.index("train")) & (labels >= 0)], len(data.classes))
        for split in splits
    ]
    log_priors = np.stack(priors)[fold_of - 1]
    return JoinedFolds(folds, data, trained, fold_of, log_priors, shared, chosen)


def _tested_in(folds: list[UsedImages]) -> np.ndarray:
    """(n,) the number of the fold that tests each image used."""
    tested = [fold.split == SPLITS.index("test") for fold in folds]
    numbers: np.ndarray = np.argmax(tested, 0) + 1
    return numbers


def _read(
    config: StudyConfig, data: StudyData, used: UsedImages, number: int, run: RunFiles
) -> Fold:
    try:
        result, own = read_study(run.study), from_dict(read_json(run.config))
    except (OSError, ValueError, RunError):
        raise RunError(
            f"Fold {number} ({run.id}) has no results; give the same command again, or `runs resume {run.id}`, "
            "to go on with it."
        ) from None
    wanted = (config.folds, number, config.seeds)
    if (
        not isinstance(own, StudyConfig)
        or (own.folds, own.fold, own.seeds) != wanted
        or result.dataset.fingerprint != data.dataset.fingerprint
        or result.split.fingerprint != used.fingerprint(data.dataset)
        or own.marks != config.marks
        or result.labels != data.task
    ):
        raise RunError(
            f"Fold {number} ({run.id}) was made from other images, labels or settings than {config.dataset} has "
            "now; give the same command again, so that it is made anew."
        )
    return Fold(number, run, result, used.split)


def _require_same_weights(folds: list[Fold]) -> None:
    """Raise RunError where what an arm's name stands for was exchanged between two folds."""
    first, known = folds[0], _weights(folds[0].result)
    for fold in folds[1:]:
        theirs = _weights(fold.result)
        if other := [name for name in known if theirs.get(name, known[name]) != known[name]]:
            raise RunError(
                f"Fold {fold.number} ({fold.run.id}) read other weights or vectors under {', '.join(other)} than fold "
                f"{first.number} ({first.run.id}): delete the one that read the former ones and give the same command "
                "again."
            )


def _weights(result: StudyResult) -> dict[str, str]:
    """{extractor: SHA-256 of its weights or vectors}, but for those that every fold pretrains or draws anew."""
    variants = [one.extractor["variants"] for one in result.arms.values() if one.extractor]
    parts = [part for variant in variants for parts in variant for part in parts]
    return {
        part["name"]: part["info"]["sha256"]
        for part in parts
        if part["info"].get("sha256") and not _is_of_fold(part)
    }


def _is_of_fold(part: Mapping[str, Any]) -> bool:
    """Whether an extractor is a pretraining of the study's own."""
    return arm_kind(part["name"]) in ("vae", "recipe") and "run" in part["info"]


def _arms(folds: list[Fold]) -> list[str]:
    arms = list(folds[0].result.arms)
    for fold in folds:
        if set(fold.result.arms) != set(arms):
            raise RunError(
                f"Fold {fold.number} ({fold.run.id}) compared {', '.join(fold.result.arms)}, fold 1 "
                f"{', '.join(arms)}: delete the study that lacks an arm and give the same command again."
            )
        if (fold.result.shared is None) != (folds[0].result.shared is None):
            raise RunError(
                f"Fold {fold.number} ({fold.run.id}) and fold 1 come from different versions, one of which chose one "
                "setting for all arms: delete the older one and give the same command again."
            )
    return in_order(arms)


def _chosen(folds: list[Fold]) -> dict[str, tuple[str, ...]]:
    """{role: the arm that each fold chose for it}."""
    return {
        role: tuple(fold.result.arms[role].chosen[0] for fold in folds)
        for role in KINDS
        if role in folds[0].result.arms
    }


def _built(folds: list[Fold], arm: str) -> Arm:
    """An arm of the folds by name: its label is theirs, or that of the arm which all of them chose for it."""
    labels = {name: one.label for name, one in folds[0].result.arms.items()}
    chosen = _chosen(folds).get(arm, ())
    label = role_label(arm, chosen, labels) if chosen else labels[arm]
    return Arm(arm, [], label, chosen, seen=folds[0].result.arms[arm].seen or "")


def _trained_arm(
    config: StudyConfig, data: StudyData, folds: list[Fold], arm: str, shared: bool = False
) -> TrainedArm:
    """One arm's predictions in the order of the dataset, and its curves."""
    tested, val = np.full((len(config.seeds), len(data.rows), len(data.classes)), np.nan), []
    fold_of = np.zeros(len(data.rows), int)
    for fold in folds:
        at, p_snc = _of_fold(config, data, fold, arm, "test", shared)
        tested[:, at], fold_of[at] = p_snc, fold.number
        val.append(_of_fold(config, data, fold, arm, "val", shared))
    positions = data.members("test")
    if not np.isfinite(tested[:, positions]).all():
        raise RunError(
            f"Some images of {config.dataset} were tested in no fold; delete the studies of the folds and give "
            "the same command again."
        )
    return TrainedArm(
        _built(folds, arm),
        folds[0].result.arms[arm].features,
        _curves(folds, arm, shared),
        {"test": positions, "val": np.concatenate([at for at, _ in val])},
        {"test": tested[:, positions], "val": np.concatenate([p for _, p in val], 1)},
        folds={
            "test": fold_of[positions],
            "val": np.repeat([fold.number for fold in folds], [len(at) for at, _ in val]),
        },
    )


def _of_fold(
    config: StudyConfig, data: StudyData, fold: Fold, arm: str, name: str, shared: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,) of a fold's labelled images of one split and their probabilities (S, n, C)."""
    table = fold.shared_predictions if shared else fold.predictions
    place = pd.Series(np.arange(len(data.rows)), data.image_ids)
    table = table[(table["arm"] == arm) & (table["split"] == name)]
    columns = [f"p_{c}" for c in range(len(data.classes))]
    tables = [table[table["seed"] == seed] for seed in config.seeds]
    positions, *others = (place[one["image_id"]].to_numpy() for one in tables)
    problem = ""
    if not all(np.array_equal(positions, other) for other in others):
        problem = f"The predictions of fold {fold.number} ({fold.run.id}) are damaged"
    elif (fold.split[positions] != SPLITS.index(name)).any():
        problem = f"Fold {fold.number} ({fold.run.id}) tested images that are not its own"
    if problem:
        raise RunError(f"{problem}; delete it and give the same command again.")
    return positions, np.stack([one[columns].to_numpy(np.float64) for one in tables])


def _curves(folds: list[Fold], arm: str, shared: bool) -> dict[str, np.ndarray]:
    """Means over seeds, a column a fold (T, K), at the evaluations of the first; epochs of others differ a little."""
    tables = [fold.curves(arm, shared).groupby("step", sort=True).mean() for fold in folds]
    epoch = tables[0]["epoch"].to_numpy()
    curves = {
        name: np.stack([np.interp(epoch, one["epoch"], one[name]) for one in tables], 1)
        for name in CURVES
    }
    return {"epoch": epoch, "step": tables[0].index.to_numpy(), **curves}


def curves_table(folds: list[Fold], arm: str, shared: bool = False) -> pd.DataFrame:
    """Curves of every fold and seed at the evaluations of the first fold: fold, epoch, step, seed, then CURVES."""
    first, parts = folds[0].curves(arm, shared), []
    for fold in folds:
        for seed, one in fold.curves(arm, shared).groupby("seed"):
            grid = first.loc[first["seed"] == seed, ["epoch", "step", "seed"]]
            curves = {name: np.interp(grid["epoch"], one["epoch"], one[name]) for name in CURVES}
            table = grid.assign(**curves)
            table.insert(0, "fold", fold.number)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def label_shares(joined: JoinedFolds, config: StudyConfig) -> dict[float, LabelShare]:
    """Out-of-fold predictions of heads trained on each share of the labels.

    Raises:
        RunError: where a fold has no such predictions.
    """
    shares = {}
    arrays = [_label_predictions(fold) for fold in joined.folds]
    answers = [fold.result.label_efficiency or LabelEfficiency() for fold in joined.folds]
    shape = (len(config.seeds), len(joined.fold), len(joined.data.classes))
    for fraction in answers[0].fractions:
        log_priors = np.empty(shape)
        tuned, shared = (
            {
                arm: np.empty(shape)
                for arm in arms
                if share_key(fraction, arm, arms is joined.shared) in arrays[0]
            }
            for arms in (joined.trained, joined.shared)
        )
        for fold, of_fold in zip(joined.folds, arrays, strict=True):
            here = joined.fold == fold.number
            log_priors[:, here] = of_fold[f"{fraction:g} prior"][:, None]
            for probabilities in (tuned, shared):
                for arm, p_snc in probabilities.items():
                    p_snc[:, here] = of_fold[share_key(fraction, arm, probabilities is shared)]
        rows = [next(row for row in answer.rows if row.fraction == fraction) for answer in answers]
        sizes = {
            name: float(np.mean([getattr(row, name) for row in rows]))
            for name in ("images", "groups")
        }
        shares[fraction] = LabelShare(tuned, shared, log_priors, sizes)
    return shares


def _label_predictions(fold: Fold) -> dict[str, np.ndarray]:
    try:
        return load_arrays(fold.run.label_efficiency_predictions)
    except (OSError, ValueError):
        raise RunError(
            f"Fold {fold.number} ({fold.run.id}) kept no predictions with fewer labels; delete it and give the "
            "same command again."
        ) from None
