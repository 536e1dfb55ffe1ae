"""A closer look at the test set, without training anything: who is served, how honest the probabilities are,
how sensitive an arm is to the gravest class, and where two arms disagree.

    found = yield from detail(study)       study.json["detail"], and artefacts/decisions.parquet

"subgroups"        [{"attribute", "values": [{"value", "images", "groups", "classes", "caution", "arms": {arm: {metric:
                   interval}}}], "worst": {arm: value}}], one entry an attribute of the manifest with two values or more
"calibration"      {arm: {"temperature", "before", "after": {"ece", "brier", "log_loss": interval}, "bins", "bins_after"}}
"operating_point"  {"class", "images", "groups", "specificity", "arms": {arm: operating.operating_point}} or None
"disagreement"     [{"a", "b", "matrix" (C, C), "both_right", "a_only", "b_only", "both_wrong"}] for every pair of arms
"notes"            {each of these: how it was made}
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..data.audit import MISSING, OTHER, categorise
from ..events import TICK, Event, progress
from ..files import writing
from ..records import to_json
from ..stats.calibration import apply_temperature, fit_shared_temperature, reliability
from ..stats.evaluation import evaluate
from ..stats.intervals import FEW_GROUPS
from ..stats.metrics import confusion, decide
from ..stats.operating_point import SPECIFICITY, operating_point
from ..stats.paired import arm_pairs

SUBGROUP_METRICS = ("balanced_accuracy", "accuracy")
CALIBRATION = ("ece", "brier", "log_loss")
GRAVEST = ("mel", "melanoma", "high")
NOTES = {
    "subgroups": "Balanced accuracy is the mean recall over the classes that a subgroup has: subgroups with other classes "
    f"are not alike in difficulty. Below {FEW_GROUPS} groups a number stands with a caution and is never the "
    f"worst.",
    "calibration": "Means over seeds on the test set; one temperature an arm, fitted on the validation predictions of all "
    "seeds.",
    "operating_point": "Means over seeds of the plain probability. Thresholds are chosen on validation, seed by seed.",
    "disagreement": "Decisions of the seed ensemble: the mean probability over seeds, prior-adjusted.",
}


def detail(study) -> Generator[Event, None, dict[str, Any]]:
    """See the module's docstring. study: extras.Study."""
    data = study.data
    test = data.members("test")
    labels, groups = data.labels[test], data.groups[test]
    probabilities = {
        arm: np.asarray(trained_arm.probabilities["test"], np.float64)
        for arm, trained_arm in study.trained.items()
    }
    decisions = {arm: decide(p.mean(0), study.log_prior) for arm, p in probabilities.items()}
    save_decisions(study.run.decisions, data, test, labels, probabilities, decisions)
    yield TICK
    calibration = yield from calibrations(study, labels, groups, probabilities)
    point = yield from gravest_class(study, labels, groups, probabilities)
    served = yield from subgroups(study, test, labels, groups, probabilities)
    return {
        "subgroups": served,
        "calibration": calibration,
        "operating_point": point,
        "disagreement": disagreement(labels, decisions, len(data.classes)),
        "notes": NOTES,
    }


def save_decisions(
    path,
    data,
    test: np.ndarray,
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    decisions: Mapping[str, np.ndarray],
) -> None:
    """One row a test image: image_id, row (in the manifest), label (index), and of each arm's seed ensemble
    "decision:ARM" (index), "confidence:ARM" and "p_true:ARM": plain probability of the decision and of the truth."""
    table = pd.DataFrame(
        {"image_id": data.image_ids[test], "row": data.rows[test], "label": labels}
    )
    each = np.arange(len(labels))
    for arm, p_snc in probabilities.items():
        mean = p_snc.mean(0)
        table[f"decision:{arm}"] = decisions[arm]
        table[f"confidence:{arm}"] = mean[each, decisions[arm]].astype(np.float32)
        table[f"p_true:{arm}"] = mean[each, labels].astype(np.float32)
    with writing(path) as file:
        table.to_parquet(file, index=False)


def disagreement(
    labels: np.ndarray, decisions: Mapping[str, np.ndarray], classes: int
) -> list[dict[str, Any]]:
    """For every pair of arms: counts (C, C) of a's decision (row) by b's (column), and who is right."""
    rows = []
    for a, b in arm_pairs(list(decisions)):
        right = {arm: decisions[arm] == labels for arm in (a, b)}
        rows.append(
            {
                "a": a,
                "b": b,
                "matrix": confusion(decisions[a], decisions[b], classes).tolist(),
                "both_right": int((right[a] & right[b]).sum()),
                "a_only": int((right[a] & ~right[b]).sum()),
                "b_only": int((~right[a] & right[b]).sum()),
                "both_wrong": int((~right[a] & ~right[b]).sum()),
            }
        )
    return rows


def calibrations(
    study, labels: np.ndarray, groups: np.ndarray, probabilities: Mapping[str, np.ndarray]
) -> Generator[Event, None, dict[str, dict]]:
    """ECE, Brier score and log loss of every arm with intervals, before and after temperature scaling."""
    found = {}
    for arm, plain in probabilities.items():
        trained_arm = study.trained[arm]
        temperature = fit_shared_temperature(
            np.asarray(trained_arm.probabilities["val"], np.float64),
            study.data.labels[trained_arm.positions["val"]],
        )
        tempered = apply_temperature(plain, temperature)
        measured = evaluate(
            labels,
            groups,
            {"before": plain, "after": tempered},
            study.log_prior,
            study.data.classes,
            resamples=study.config.bootstrap,
            seed=study.config.split_seed,
        ).arms
        found[arm] = {
            "temperature": temperature,
            "bins": to_json(reliability(labels, plain)),
            "bins_after": to_json(reliability(labels, tempered)),
            **{
                when: {metric: to_json(measured[when][metric]) for metric in CALIBRATION}
                for when in ("before", "after")
            },
        }
        yield TICK
    return found


def gravest(classes) -> str | None:
    """The class whose operating point counts: melanoma, else the high priority; None where there is neither."""
    known = {name.lower(): name for name in reversed(list(classes))}
    return next((known[name] for name in GRAVEST if name in known), None)


def gravest_class(
    study, labels: np.ndarray, groups: np.ndarray, probabilities: Mapping[str, np.ndarray]
) -> Generator[Event, None, dict[str, Any] | None]:
    """The operating point of `gravest` for every arm; None without such a class on both sides of the test set."""
    name = gravest(study.data.classes)
    index = list(study.data.classes).index(name) if name else -1
    positive = labels == index
    if name is None or positive.all() or not positive.any():
        return None
    arms = {}
    for arm, p_snc in probabilities.items():
        trained_arm = study.trained[arm]
        val = (
            study.data.labels[trained_arm.positions["val"]] == index,
            trained_arm.probabilities["val"][..., index],
        )
        if val[0].any() and not val[0].all():
            point = operating_point(
                val,
                (positive, groups, p_snc[..., index]),
                resamples=study.config.bootstrap,
                seed=study.config.split_seed,
            )
            arms[arm] = to_json(point)
        yield TICK
    return (
        {
            "class": name,
            "images": int(positive.sum()),
            "groups": len(np.unique(groups[positive])),
            "specificity": SPECIFICITY.tolist(),
            "arms": arms,
        }
        if arms
        else None
    )


def subgroups(
    study,
    test: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
) -> Generator[Event, None, list[dict]]:
    """Every arm in every subgroup of every attribute; numbers with many values are banded, and the worst is named."""
    dataset, rows = study.data.dataset, study.data.rows[test]
    entries, started = [], time.monotonic()
    for place, attribute in enumerate(dataset.attributes):
        texts, order = categorise(dataset.frame[attribute])
        values = texts.to_numpy()[rows]
        present = [value for value in order if (values == value).any()]
        yield progress(
            place, len(dataset.attributes), "attributes", what="Subgroups", started=started
        )
        if len(set(present) - {MISSING}) < 2 or np.mean(values == OTHER) > 0.5:
            continue  # says nothing, or is a name rather than a group
        entry = {"attribute": attribute, "values": []}
        for value in present:
            entry["values"].append(
                _subgroup(study, value, values == value, labels, groups, probabilities)
            )
            yield TICK
        entry["worst"] = {arm: worst(entry["values"], arm) for arm in probabilities}
        entries.append(entry)
    return entries


def _subgroup(
    study,
    value: str,
    here: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    prior = study.log_prior if study.log_prior.ndim == 1 else study.log_prior[here]
    measured = evaluate(
        labels[here],
        groups[here],
        {arm: p[:, here] for arm, p in probabilities.items()},
        prior,
        study.data.classes,
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
    )
    count = len(np.unique(groups[here]))
    return {
        "value": value,
        "images": int(here.sum()),
        "groups": count,
        "classes": len(np.unique(labels[here])),
        "caution": count < FEW_GROUPS,
        "arms": {
            arm: {metric: to_json(measured.arms[arm][metric]) for metric in SUBGROUP_METRICS}
            for arm in probabilities
        },
    }


def worst(values: list[dict], arm: str, metric: str = "balanced_accuracy") -> str | None:
    """The value with the lowest mean among those that are known and have enough groups; None with fewer than two."""
    firm = [row for row in values if not row["caution"] and row["value"] not in (MISSING, OTHER)]
    return (
        min(firm, key=lambda row: row["arms"][arm][metric]["mean"])["value"]
        if len(firm) > 1
        else None
    )
