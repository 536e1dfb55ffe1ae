"""The card of a study's classifier, but for what is measured with the stored model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..bundles.card import SCHEMA, Card
from ..bundles.card_parts import Priority, Split, Temperature
from ..config import to_dict
from ..data.manifest import DatasetInfo, PriorityMap, load_dataset
from ..data.triage import describe_map, descriptions, priority_map
from ..errors import ConfigError
from ..nets.head import Classifier
from ..records import to_json
from ..stats.calibration import fit_temperature
from ..workspace import Workspace
from . import provenance
from .study_arm import Predictions, StudyArm


def build_card(
    workspace: Workspace,
    source: StudyArm,
    name: str,
    classifier: Classifier,
    validation: Predictions,
    fitting: np.ndarray,
    rates: Sequence[str],
) -> Card:
    """The card of a study's arm and seed.

    Args:
        name: of the bundle.
        validation: the arm's predictions; those at the positions `fitting` fit the temperature.
        rates: datasets whose rate of outliers will be measured, for the command line.
    """
    config, study, extractor = source.config, source.study, source.extractor
    info = load_dataset(workspace, config.dataset).info
    data, task = provenance.training_data(info, config.dataset), source.labels
    initial = provenance.initial_weights(workspace, extractor)
    triage = task["kind"] == "priority"
    described = (
        descriptions(PriorityMap(task["map"], task["ours"]))
        if triage
        else info.class_descriptions or {}
    )
    seeds = f"mean over {len(config.seeds)} seeds" if len(config.seeds) > 1 else "one seed"
    split = study.split
    return Card(
        schema=SCHEMA,
        name=name,
        arm=source.arm,
        label=source.result.label,
        regime=source.regime,
        created=time.strftime("%Y-%m-%d", time.gmtime()),
        run=study.run_id,
        seed=source.seed,
        architecture=extractor["architecture"],
        stage=extractor["stage"],
        model_args=dict(classifier.backbone.model_args),
        features=classifier.backbone.width,
        hidden=config.hidden,
        classes=tuple(study.classes),
        class_descriptions={c: described[c] for c in study.classes if c in described},
        labels=task,
        priority=None if triage else _priority(config.dataset, info),
        input_size=config.input_size,
        preprocessing=provenance.PREPROCESSING,
        mean=tuple(extractor["mean"]),
        std=tuple(extractor["std"]),
        initial_weights=initial,
        training_data=data,
        split=Split(
            seed=config.split_seed,
            max_images=config.max_images,
            fingerprint=split.fingerprint,
            counts=split.counts,
            groups=split.groups,
            looked_before=split.looked_before,
        ),
        metrics=to_json(source.result.test),
        per_class=tuple(to_json(source.result.per_class)) or None,
        gaps=source.result.gaps or None,
        metrics_note=f"Test split; {seeds} with 95 % intervals that resample groups, before the temperature. "
        "Balanced accuracy uses the prior-adjusted decision.",
        commands=tuple(provenance.commands(workspace, source, info, name, rates)),
        config=to_dict(config),
        versions=provenance.versions(),
        intended_use=provenance.INTENDED_USE,
        limits=(
            *provenance.limits(data, config.input_size),
            *([describe_map(PriorityMap(task["map"], task["ours"]))] if triage else []),
        ),
        license=provenance.weights_license(data, initial.get("data")),
        temperature=_temperature(validation, fitting),
        agreement=agreement(source.test_predictions(), source.arm),
    )


def _temperature(validation: Predictions, fitting: np.ndarray) -> Temperature:
    fitted = fit_temperature(validation.probabilities[fitting], validation.labels[fitting])
    return Temperature(**to_json(fitted), fitted_on="a quarter of validation's groups")


def _priority(name: str, info: DatasetInfo) -> Priority | None:
    """The triage priorities of a dataset's classes; None where it has none."""
    try:
        priorities = priority_map(name, info)
    except ConfigError:
        return None
    return Priority(map=priorities.map, ours=priorities.ours)


def agreement(tables: Mapping[str, Predictions], arm: str) -> dict[str, Any]:
    """How right two arms were on the test split where they named the same class, and where they did not.

    Args:
        tables: test predictions by arm.
        arm: the one that is compared with each other one.

    Returns:
        {other arm: {"agree": {"images", "accuracy": {arm: share}}, "disagree": {…}}}; shares are None without images.
    """
    own, parts = tables[arm], {}
    for other, table in tables.items():
        if other == arm or not np.array_equal(table.image_ids, own.image_ids):
            continue
        right = {
            name: each.probabilities.argmax(1) == own.labels
            for name, each in ((arm, own), (other, table))
        }
        same = own.probabilities.argmax(1) == table.probabilities.argmax(1)
        parts[other] = {
            key: {
                "images": int(mask.sum()),
                "accuracy": {
                    name: float(hit[mask].mean()) if mask.any() else None
                    for name, hit in right.items()
                },
            }
            for key, mask in (("agree", same), ("disagree", ~same))
        }
    return parts


def calibrated_on(regime: str, settings: int) -> str:
    """Which groups calibrated the thresholds, and which choices of the model have seen them, for the card."""
    groups = "Three quarters of validation's groups, one image each; the temperature was fitted on the other quarter. "
    if regime == "finetune" or settings < 2:
        return (
            groups
            + "Nothing of this model was chosen on validation: one setting and schedule, the last epoch."
        )
    return groups + (
        f"The heads' setting was chosen among {settings} by the mean loss on all of validation, these groups included; "
        "on HAM10000 that choice did not change the coverage of test groups (23 splits, 0.0 ± 0.1 points)."
    )
