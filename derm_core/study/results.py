"""The result of a study on one split: statistics of the trained arms, gaps, claims and verdict, for study.json."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from ..data.splits import SPLITS
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
from ..stats.paired import Estimate
from .arm_facts import arm_facts
from .comparison import Comparison, evaluate_test, prediction_table, save_predictions
from .paper import majority_row
from .roles import chosen_pairs
from .study_data import StudyData
from .study_result import Grid, PaperRow, StudyResult
from .summaries import SplitSummary
from .trained_arm import TrainedStudy, save_curves

ENDS = ("low", "high", "se", "df", "method")


def build_result(study: TrainedStudy, grid: Grid, notes: list[str]) -> StudyResult:
    """The result of a study on one split; writes the curves and predictions that it names.

    Args:
        study: every arm at its own best setting, and at the shared one where there is one.
        grid: the settings that were tried and chosen.
        notes: sentences on what is left out or differs.
    """
    data, run = study.data, study.run
    comparison = _compare(study)
    arms = {
        arm: comparison.arm(
            arm,
            regime="finetune" if arm == "scratch" else study.config.regime,
            extractor=one.arm.extractor,
            **arm_facts(study, one.arm),
        )
        for arm, one in study.trained.items()
    }
    for at_shared, of_arms in ((False, study.trained), (True, study.shared)):
        for arm, one in of_arms.items():
            save_curves(run.curves(arm, at_shared), one.curves, study.config.seeds)
    save_predictions(run.predictions, _prediction_tables(study))
    if study.shared:
        save_predictions(run.shared_predictions, _prediction_tables(study.at_shared()))
    split = SplitSummary(
        fingerprint=data.fingerprint,
        counts=data.counts(),
        groups=data.group_counts(),
        official=data.official,
    )
    rows = _majority_rows(data)
    result = comparison.result(arms=arms, split=split, grid=grid, majority_rows=rows, notes=notes)
    shared = _compare(study.at_shared()).at_shared_setting() if study.shared else None
    return dataclasses.replace(result, shared=shared)


def _compare(study: TrainedStudy) -> Comparison:
    """Test metrics, gaps and their differences of every arm as it is trained."""
    curves = study.curves
    matched = matched_pairs(curves, chosen_pairs(list(curves)))
    estimates = {split: split_estimates(study, split) for split in SPLITS}
    by_arm = {a: _gaps(curves[a], {k: of[a] for k, of in estimates.items()}) for a in curves}
    differences = gap_differences(curves, estimates, matched, study.config.loss)
    return Comparison(study, evaluate_test(study), by_arm, differences, matched)


def split_estimates(study: TrainedStudy, split: str) -> dict[str, dict[str, Estimate]]:
    """Loss and accuracy of every arm on one split, under the same resamples of its groups."""
    images = next(iter(study.trained.values())).positions[split]
    return final_estimates(
        study.data.labels[images],
        study.data.groups[images],
        study.probabilities(split),
        study.config.loss,
        split=split,
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
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
    commonest = np.bincount(data.labels_of("train")).argmax()
    return [
        majority_row(f"{split}_accuracy", float((data.labels_of(split) == commonest).mean()))
        for split in ("train", "val")
    ]


def _prediction_tables(study: TrainedStudy) -> list[pd.DataFrame]:
    """Validation and test probabilities of every arm and seed."""
    data, tables = study.data, []
    names = data.dataset.frame["group"].to_numpy()[data.rows]
    for arm, one in study.trained.items():
        for split in ("val", "test"):
            images = one.positions[split]
            columns = {
                "image_id": data.image_ids[images],
                "split": split,
                "group": names[images],
                "label": data.labels[images],
            }
            for seed, p_nc in zip(study.config.seeds, one.probabilities[split], strict=True):
                tables.append(prediction_table(columns, arm, seed, p_nc))
    return tables
