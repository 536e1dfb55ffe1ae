"""A breakdown of the test set, without training: subgroups, calibration, one class, disagreement of arms.

Temperatures and thresholds are chosen on validation, in folds on the validation images of each fold.
Decisions of the seed ensemble go to artefacts/decisions.parquet.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..events import TICK, Event
from ..files import write_atomic
from ..stats.calibration import apply_temperature, fit_shared_temperature
from ..stats.evaluation import Metrics
from ..stats.metrics import confusion, decide
from ..stats.paired import arm_pairs
from ..stats.recalibration import recalibration
from ..stats.reliability import reliability
from . import subgroups
from .answers import Breakdown, Calibration, Disagreement
from .clinical import Target, find_target, fixed_specificity, net_benefit, operating_points
from .study_data import StudyData
from .tested_images import TestedImages
from .trained_arm import TrainedArm, TrainedStudy

CALIBRATION = ("ece", "brier", "log_loss")
NOTES = {
    "subgroups": subgroups.NOTE,
    "calibration": "Means over seeds on the test set; one temperature an arm, fitted on the validation predictions of "
    "all seeds.",
    "operating_point": "Means over seeds of the plain probability. Thresholds are chosen on validation, seed by seed.",
    "fixed_specificity": "Thresholds are chosen on validation, seed by seed, to reach the specificity there; "
    "sensitivity and specificity are those on test. Differences are paired; p values are corrected for their number "
    "(Holm).",
    "net_benefit": "Of the plain probability, at the share of the class in the test set: in a practice where it is "
    "rarer, the net benefit is lower. Intervals are for each threshold by itself.",
    "disagreement": "Classes of the seed ensemble (mean probability over seeds), adjusted for class frequency.",
}


def breakdown(study: TrainedStudy) -> Generator[Event, None, Breakdown]:
    """The breakdown of a study's test set; also writes artefacts/decisions.parquet."""
    data, test = study.data, TestedImages.of(study)
    decisions = {arm: decide(p.mean(0), study.log_prior) for arm, p in test.probabilities.items()}
    save_decisions(study.run.decisions, data, test.probabilities, decisions)
    yield TICK
    target = find_target(study, test)
    calibration = yield from _calibrations(study, test, target)
    point = (yield from operating_points(target)) if target else None
    fixed = (yield from fixed_specificity(target)) if target else None
    benefit = (yield from net_benefit(target)) if target else None
    parts = yield from subgroups.subgroups(test, data.dataset, data.rows[data.members("test")])
    return Breakdown(
        subgroups=tuple(parts),
        calibration=calibration,
        disagreement=tuple(disagreement(test.labels, decisions, len(data.classes))),
        operating_point=point,
        fixed_specificity=fixed,
        net_benefit=benefit,
        notes=NOTES,
    )


def save_decisions(
    path: Path,
    data: StudyData,
    probabilities: Mapping[str, np.ndarray],
    decisions: Mapping[str, np.ndarray],
) -> None:
    """Write the decisions as a table with one row a test image.

    Columns: image_id, row (in the manifest), label (index), and of each arm's seed ensemble
    "decision:ARM" (index), "confidence:ARM" and "p_true:ARM", the plain probability of the decision
    and of the truth.
    """
    test, labels = data.members("test"), data.labels_of("test")
    columns = {"image_id": data.image_ids[test], "row": data.rows[test], "label": labels}
    each = np.arange(len(labels))
    for arm, p_snc in probabilities.items():
        mean = p_snc.mean(0)
        columns[f"decision:{arm}"] = decisions[arm]
        columns[f"confidence:{arm}"] = mean[each, decisions[arm]].astype(np.float32)
        columns[f"p_true:{arm}"] = mean[each, labels].astype(np.float32)
    write_atomic(path, pd.DataFrame(columns).to_parquet(index=False))


def disagreement(
    labels: np.ndarray, decisions: Mapping[str, np.ndarray], classes: int
) -> list[Disagreement]:
    """For every pair of arms: counts (C, C) of a's decision (row) by b's (column), and who is right."""
    rows = []
    for a, b in arm_pairs(list(decisions)):
        a_right, b_right = (decisions[arm] == labels for arm in (a, b))
        matrix = confusion(decisions[a], decisions[b], classes).tolist()
        rows.append(
            Disagreement(
                a=a,
                b=b,
                matrix=tuple(tuple(row) for row in matrix),
                both_right=int((a_right & b_right).sum()),
                a_only=int((a_right & ~b_right).sum()),
                b_only=int((~a_right & b_right).sum()),
                both_wrong=int((~a_right & ~b_right).sum()),
            )
        )
    return rows


def _calibrations(
    study: TrainedStudy, test: TestedImages, target: Target | None
) -> Generator[Event, None, dict[str, Calibration]]:
    """Errors of calibration, slope and intercept of every arm with intervals, before and after temperature scaling."""
    calibrations = {}
    for arm, plain in test.probabilities.items():
        one = study.trained[arm]
        by_fold = temperatures(one, study.data.labels[one.positions["val"]])
        each = np.array(list(by_fold.values()))
        place = np.searchsorted(list(by_fold), one.folds["test"]) if one.folds else 0
        tempered = apply_temperature(plain, each[place].reshape(-1, 1))
        measured = test.evaluate({"before": plain, "after": tempered}).arms
        before, after = (
            {m: measured[when][m] for m in CALIBRATION} | _recalibration(test, target, p_snc)
            for when, p_snc in (("before", plain), ("after", tempered))
        )
        calibrations[arm] = Calibration(
            temperature=float(each.mean()),
            temperatures=tuple(each.tolist()) if one.folds else None,
            class_name=target.name if target else None,
            bins=tuple(reliability(test.labels, plain)),
            bins_after=tuple(reliability(test.labels, tempered)),
            before=before,
            after=after,
        )
        yield TICK
    return calibrations


def temperatures(one: TrainedArm, labels: np.ndarray) -> dict[int, float]:
    """{fold: temperature of an arm fitted on its validation predictions}; of one split, {0: temperature}.

    labels: (m,) of the validation images.
    """
    p_snc = np.asarray(one.probabilities["val"], np.float64)
    folds = one.folds.get("val", np.zeros(len(labels), int))
    return {
        int(fold): fit_shared_temperature(p_snc[:, folds == fold], labels[folds == fold])
        for fold in np.unique(folds)
    }


def _recalibration(test: TestedImages, target: Target | None, p_snc: np.ndarray) -> Metrics:
    """Slope and intercept of the probability of the target class against the rest."""
    if target is None:
        return {}
    scores = p_snc[..., target.index]
    estimates = recalibration(target.unstratified, target.positive, scores, test.folds)
    return {name: estimate.interval() for name, estimate in estimates.items()}
