"""A breakdown of the test set, without training: subgroups, calibration, operating points, disagreement of arms.

Sensitivity is that for melanoma (or the high priority); its thresholds are chosen on validation.
Decisions of the seed ensemble go to artefacts/decisions.parquet.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.audit import MISSING, OTHER, categorise
from ..events import TICK, Event, progress
from ..files import write_atomic
from ..stats.calibration import apply_temperature, fit_shared_temperature, reliability
from ..stats.evaluation import Evaluation, evaluate
from ..stats.intervals import FEW_GROUPS
from ..stats.metrics import confusion, decide
from ..stats.operating_point import SPECIFICITY, OperatingCurve, operating_point
from ..stats.paired import arm_pairs
from .answers import Breakdown, Calibration, Disagreement, OperatingPoint, Subgroup, Subgroups
from .study_data import StudyData
from .trained_arm import TrainedStudy

SUBGROUP_METRICS = ("balanced_accuracy", "accuracy")
CALIBRATION = ("ece", "brier", "log_loss")
MELANOMA = ("mel", "melanoma", "high")
NOTES = {
    "subgroups": "Balanced accuracy is the mean recall over the classes that a subgroup has: subgroups with other "
    f"classes are not alike in difficulty. Below {FEW_GROUPS} groups a number stands with a caution and is never the "
    "worst.",
    "calibration": "Means over seeds on the test set; one temperature an arm, fitted on the validation predictions of "
    "all seeds.",
    "operating_point": "Means over seeds of the plain probability. Thresholds are chosen on validation, seed by seed.",
    "disagreement": "Decisions of the seed ensemble: the mean probability over seeds, prior-adjusted.",
}


@dataclasses.dataclass(frozen=True)
class _Predictions:
    """The test images' labels (n,), groups (n,) and plain softmax {arm: (S, n, C)}, float64."""

    study: TrainedStudy
    labels: np.ndarray
    groups: np.ndarray
    probabilities: dict[str, np.ndarray]

    def evaluate(
        self, probabilities: Mapping[str, np.ndarray], images: slice | np.ndarray = slice(None)
    ) -> Evaluation:
        """All statistics of some of the images, from probabilities (S, n, C) of all of them."""
        prior, config = self.study.log_prior, self.study.config
        folds = self.study.folds
        return evaluate(
            self.labels[images],
            self.groups[images],
            {arm: p[:, images] for arm, p in probabilities.items()},
            prior if prior.ndim == 1 else prior[images],
            self.study.data.classes,
            resamples=config.bootstrap,
            seed=config.split_seed,
            folds=None if folds is None else folds[images],
        )


def breakdown(study: TrainedStudy) -> Generator[Event, None, Breakdown]:
    """The breakdown of a study's test set; also writes artefacts/decisions.parquet."""
    data = study.data
    plain = {arm: np.asarray(p, np.float64) for arm, p in study.probabilities("test").items()}
    test = _Predictions(study, data.labels_of("test"), data.groups_of("test"), plain)
    decisions = {arm: decide(p.mean(0), study.log_prior) for arm, p in test.probabilities.items()}
    save_decisions(study.run.decisions, data, test.probabilities, decisions)
    yield TICK
    calibration = yield from _calibrations(test)
    point = yield from _operating_point(test)
    subgroups = yield from _subgroups(test)
    return Breakdown(
        subgroups=tuple(subgroups),
        calibration=calibration,
        operating_point=point,
        disagreement=tuple(disagreement(test.labels, decisions, len(data.classes))),
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


def _calibrations(test: _Predictions) -> Generator[Event, None, dict[str, Calibration]]:
    """ECE, Brier score and log loss of every arm with intervals, before and after temperature scaling."""
    calibrations = {}
    for arm, plain in test.probabilities.items():
        one = test.study.trained[arm]
        temperature = fit_shared_temperature(
            np.asarray(one.probabilities["val"], np.float64),
            test.study.data.labels[one.positions["val"]],
        )
        tempered = apply_temperature(plain, temperature)
        measured = test.evaluate({"before": plain, "after": tempered}).arms
        before, after = ({m: measured[of][m] for m in CALIBRATION} for of in ("before", "after"))
        calibrations[arm] = Calibration(
            temperature=temperature,
            bins=tuple(reliability(test.labels, plain)),
            bins_after=tuple(reliability(test.labels, tempered)),
            before=before,
            after=after,
        )
        yield TICK
    return calibrations


def melanoma_class(classes: Sequence[str]) -> str | None:
    """The class whose operating point counts: melanoma, else the high priority; None where there is neither."""
    known = {name.lower(): name for name in reversed(list(classes))}
    return next((known[name] for name in MELANOMA if name in known), None)


def _operating_point(test: _Predictions) -> Generator[Event, None, OperatingPoint | None]:
    """The operating point for melanoma of every arm; None without such a class on both sides of the test set."""
    study, config = test.study, test.study.config
    name = melanoma_class(study.data.classes)
    index = list(study.data.classes).index(name) if name else -1
    positive = test.labels == index
    if name is None or positive.all() or not positive.any():
        return None
    arms: dict[str, OperatingCurve] = {}
    for arm, p_snc in test.probabilities.items():
        one = study.trained[arm]
        val = study.data.labels[one.positions["val"]] == index
        if val.any() and not val.all():
            arms[arm] = operating_point(
                (val, one.probabilities["val"][..., index]),
                (positive, test.groups, p_snc[..., index]),
                resamples=config.bootstrap,
                seed=config.split_seed,
            )
        yield TICK
    if not arms:
        return None
    return OperatingPoint(
        class_name=name,
        images=int(positive.sum()),
        groups=len(np.unique(test.groups[positive])),
        specificity=tuple(SPECIFICITY.tolist()),
        arms=arms,
    )


def _subgroups(test: _Predictions) -> Generator[Event, None, list[Subgroups]]:
    """Every arm in every subgroup of every attribute; numbers with many values are banded, and the worst is named."""
    data = test.study.data
    dataset, rows = data.dataset, data.rows[data.members("test")]
    entries, started = [], time.monotonic()
    for place, attribute in enumerate(dataset.attributes):
        texts, order = categorise(dataset.frame[attribute])
        values = texts.to_numpy()[rows]
        present = [value for value in order if (values == value).any()]
        count = len(dataset.attributes)
        yield progress(place, count, "attributes", what="Subgroups", started=started)
        if len(set(present) - {MISSING}) < 2 or np.mean(values == OTHER) > 0.5:
            continue  # one group alone, or a name rather than a group
        subgroups = []
        for value in present:
            subgroups.append(_subgroup(test, value, values == value))
            yield TICK
        worst = {arm: worst_subgroup(subgroups, arm) for arm in test.probabilities}
        entries.append(Subgroups(attribute=attribute, values=tuple(subgroups), worst=worst))
    return entries


def _subgroup(test: _Predictions, value: str, images: np.ndarray) -> Subgroup:
    measured = test.evaluate(test.probabilities, images)
    count = len(np.unique(test.groups[images]))
    return Subgroup(
        value=value,
        images=int(images.sum()),
        groups=count,
        classes=len(np.unique(test.labels[images])),
        caution=count < FEW_GROUPS,
        arms={
            arm: {metric: measured.arms[arm][metric] for metric in SUBGROUP_METRICS}
            for arm in test.probabilities
        },
    )


def worst_subgroup(
    subgroups: Sequence[Subgroup], arm: str, metric: str = "balanced_accuracy"
) -> str | None:
    """The value with the lowest mean among those that are known and have enough groups; None with fewer than two."""
    means = {
        row.value: row.arms[arm][metric].mean
        for row in subgroups
        if not row.caution and row.value not in (MISSING, OTHER)
    }
    return min(means, key=lambda value: means[value] or 0.0) if len(means) > 1 else None
