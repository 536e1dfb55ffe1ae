"""The result of a study on one split: statistics of the trained arms, gaps, claims and verdict, for study.json."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from ..config import StudyConfig
from ..data.splits import SPLITS
from ..files import writing
from ..stats.evaluation import Metrics
from ..stats.gaps import (
    Curves,
    final_estimates,
    gap_differences,
    gap_interval,
    gaps,
    matched_pairs,
    with_test,
)
from ..stats.intervals import seed_interval
from ..stats.metrics import METRICS, all_metrics, log_prior
from ..stats.paired import Estimate, arm_pairs
from ..workspace import RunFiles
from .comparison import Comparison, curves_of, evaluate_test, prediction_table
from .paper import majority_row
from .study_data import StudyData
from .study_result import PaperRow, SplitSummary, StudyResult
from .trained_arm import TrainedArm, save_curves
from .verdict import choose_pair

ENDS = ("low", "high", "se", "df", "method")


def build_result(
    config: StudyConfig,
    run: RunFiles,
    data: StudyData,
    trained: dict[str, TrainedArm],
    best: dict[str, TrainedArm],
    grid: dict[str, Any],
    notes: list[str],
    looked_before: int,
) -> StudyResult:
    """The result of a study on one split; writes the curves and predictions that it names.

    Args:
        trained: every arm at the one setting, the primary comparison.
        best: each arm at its own best setting, secondary.
        grid: the settings in study.json.
        notes: sentences on what is left out or differs.
        looked_before: how many runs have looked at these test images before.
    """
    prior = log_prior(data.labels[data.members("train")], len(data.classes))
    curves = curves_of(trained)
    matched = matched_pairs(curves, arm_pairs(list(trained), choose_pair(list(trained))))
    estimates = {split: split_estimates(config, data, split, trained) for split in SPLITS}
    comparison = Comparison(
        config=config,
        run=run,
        data=data,
        trained=trained,
        log_prior=prior,
        evaluation=evaluate_test(config, data, trained, prior),
        gaps={
            arm: _gaps(curves[arm], {k: of[arm] for k, of in estimates.items()}) for arm in trained
        },
        gap_differences=gap_differences(curves, estimates, matched),
        matched=matched,
    )
    labels, arms = data.labels[data.members("test")], {}
    for arm, one in trained.items():
        save_curves(run.curves(arm), one.curves, config.seeds)
        regime = "finetune" if arm == "scratch" else config.regime
        best_setting = {**best[arm].setting, "test": _seed_means(best[arm], labels, prior)}
        arms[arm] = comparison.arm(arm, regime, one.setting, best_setting, one.arm.extractor)
    save_predictions(run, config, data, trained)
    split = SplitSummary(
        fingerprint=data.fingerprint,
        counts=data.counts(),
        groups=data.group_counts(),
        looked_before=looked_before,
    )
    rows = _majority_rows(data)
    return comparison.result(arms=arms, split=split, grid=grid, majority_rows=rows, notes=notes)


def split_estimates(
    config: StudyConfig, data: StudyData, split: str, trained: dict[str, TrainedArm]
) -> dict[str, dict[str, Estimate]]:
    """Loss and accuracy of every arm on one split, under the same resamples of its groups."""
    images = next(iter(trained.values())).positions[split]
    return final_estimates(
        data.labels[images],
        data.groups[images],
        {arm: one.probabilities[split] for arm, one in trained.items()},
        config.loss,
        split=split,
        resamples=config.bootstrap,
        seed=config.split_seed,
    )


def _gaps(curves: Curves, estimates: dict[str, dict[str, Estimate]]) -> dict[str, Metrics]:
    """Both gaps of an arm; the intervals of "final" and "test" resample the groups of both sets as well."""
    tested = {kind: estimate.by_seed for kind, estimate in estimates["test"].items()}
    by_seed = with_test(curves, tested["loss"], tested["accuracy"])
    resampled = {
        place: gap_interval(estimates["train"], estimates[other])
        for place, other in (("final", "val"), ("test", "test"))
    }
    detail = {}
    for kind, places in gaps(curves).items():
        every = {**places, "test": seed_interval(by_seed[kind])}
        for place, of in resampled.items():
            ends = {name: getattr(of[kind], name) for name in ENDS}
            every[place] = dataclasses.replace(every[place], **ends)
        detail[kind] = every
    return detail


def _majority_rows(data: StudyData) -> list[PaperRow]:
    """The majority class in the paper's table: the share of training's commonest class, which nothing trains."""
    labels = {split: data.labels[data.members(split)] for split in ("train", "val")}
    commonest = np.bincount(labels["train"]).argmax()
    return [
        majority_row(f"{split}_accuracy", float((of == commonest).mean()))
        for split, of in labels.items()
    ]


def _seed_means(
    trained_arm: TrainedArm, labels: np.ndarray, prior: np.ndarray
) -> dict[str, dict[str, float]]:
    """Mean and std over seeds of the test metrics: what an arm's own best setting would give."""
    values = all_metrics(labels, trained_arm.probabilities["test"], prior)
    return {
        name: {
            "mean": float(values[name].mean()),
            "std": float(values[name].std(ddof=min(1, len(values[name]) - 1))),
        }
        for name in METRICS
    }


def save_predictions(
    run: RunFiles, config: StudyConfig, data: StudyData, trained: dict[str, TrainedArm]
) -> None:
    """predictions.parquet: validation and test probabilities of every arm and seed."""
    names = data.dataset.frame["group"].to_numpy()[data.rows]
    tables = []
    for arm, one in trained.items():
        for split in ("val", "test"):
            images = one.positions[split]
            for seed, p_nc in zip(config.seeds, one.probabilities[split], strict=True):
                columns = {
                    "image_id": data.image_ids[images],
                    "split": split,
                    "group": names[images],
                    "label": data.labels[images],
                }
                tables.append(prediction_table(columns, arm, seed, p_nc))
    with writing(run.predictions) as file:
        pd.concat(tables, ignore_index=True).to_parquet(file, index=False)
