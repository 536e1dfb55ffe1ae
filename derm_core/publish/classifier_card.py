"""The card of a study's classifier, but for what is measured with the stored model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..bundles.card import SCHEMA, Card
from ..bundles.card_parts import DecoderSize, Priority, Split, Temperature
from ..config import to_dict
from ..data.cautions import group_caution, known_group_kinds
from ..data.manifest import DatasetInfo, PriorityMap, load_dataset
from ..data.official_split import describe_official
from ..data.triage import describe_map, descriptions, priority_map
from ..data.used_marks import describe_used
from ..errors import ConfigError
from ..nets.head import Classifier
from ..nets.pretrained import pooling_name
from ..nets.vae import VAE
from ..records import to_json
from ..stats.calibration import fit_temperature
from ..stats.metrics import ESTIMATORS
from ..workspace import Workspace
from . import provenance
from .statistics import Measured
from .study_arm import Predictions, StudyArm


def build_card(
    workspace: Workspace,
    source: StudyArm,
    name: str,
    classifier: Classifier,
    vae: VAE | None,
    validation: Predictions,
    fitting: np.ndarray,
    rates: Sequence[str],
) -> Card:
    """The card of a study's arm and seed; `validation` at the positions `fitting` fits the temperature."""
    config, study, extractor = source.config, source.study, source.extractor
    dataset = load_dataset(workspace, config.dataset)
    info, unknown = dataset.info, group_caution(known_group_kinds(dataset))
    data = provenance.training_data(info, config.dataset)
    initial = provenance.initial_weights(workspace, extractor)
    return Card(
        schema=SCHEMA,
        name=name,
        arm=source.built_arm,
        label=source.result.label[:120],
        regime=source.regime,
        created=time.strftime("%Y-%m-%d", time.gmtime()),
        run=study.run_id,
        seed=source.seed,
        architecture=extractor["architecture"],
        stage=extractor["stage"],
        tokens=classifier.backbone.tokens,
        pooling=pooling_name(classifier.backbone),
        model_args=dict(classifier.backbone.model_args),
        features=classifier.backbone.width,
        hidden=config.hidden,
        classes=tuple(study.classes),
        class_descriptions=_descriptions(source, info),
        labels=source.labels,
        priority=_priority(source, info),
        decoder=vae_size(vae) if vae else None,
        input_size=source.form.size,
        interpolation=source.form.interpolation,
        preprocessing=provenance.preprocessing(source.form.interpolation),
        mean=tuple(extractor["mean"]),
        std=tuple(extractor["std"]),
        initial_weights=initial,
        training_data=data,
        split=_split(source),
        metrics=to_json(source.result.test),
        per_class=tuple(to_json(source.result.per_class)) or None,
        gaps=source.result.gaps or None,
        metrics_note=_metrics_note(len(config.seeds), unknown),
        commands=tuple(provenance.commands(workspace, source, info, name, rates)),
        config=to_dict(config),
        # the metrics are the study's, and so is what their keys stand for
        versions=provenance.versions()
        | {key: study.versions[key] for key in ESTIMATORS if key in study.versions},
        intended_use=provenance.INTENDED_USE,
        limits=(
            *provenance.limits(data, source.input_size),
            *_split_note(source),
            *_mapping_note(source),
            *_marks_note(source),
        ),
        license=provenance.weights_license(data, initial.get("data")),
        temperature=_temperature(validation, fitting),
        agreement=agreement(source.test_predictions(), source.built_arm),
    )


def vae_size(vae: VAE) -> DecoderSize:
    """The sizes of a VAE's decoder, for a card."""
    return DecoderSize(latent_dim=vae.latent_dim, size=vae.size, width=vae.decoder_width)


def complete_card(card: Card, measured: Measured, source: StudyArm) -> Card:
    """The card with what was measured with the stored model."""
    settings = max(1, len(source.study.grid.points))
    thresholds = replace(measured.conformal, calibrated_on=calibrated_on(card.regime, settings))
    return replace(
        card,
        decisions=measured.decisions,
        conformal=thresholds,
        outlier=measured.outlier,
        operating_point=measured.operating_point,
        reference=measured.listing,
        memorisation=measured.memorisation,
    )


def _split(source: StudyArm) -> Split:
    split, looks, config = source.study.split, source.study.looks, source.config
    return Split(
        seed=config.split_seed,
        splits=config.splits,
        max_images=config.max_images,
        draw=config.draw,
        note=describe_official(split.official) if split.official else None,
        fingerprint=split.fingerprint,
        counts=split.counts,
        groups=split.groups,
        looked_before=looks.max if looks else split.looked_before,
        marks=config.marks,
    )


def _metrics_note(seeds: int, unknown: str) -> str:
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    return (
        f"Test split; {over} with 95 % intervals that resample groups, before the temperature. Balanced accuracy "
        f"is that of the class after adjusting for class frequency, accuracy that of the most probable class. {unknown}"
    ).strip()


def _temperature(validation: Predictions, fitting: np.ndarray) -> Temperature:
    fitted = fit_temperature(validation.probabilities[fitting], validation.labels[fitting])
    return Temperature(**to_json(fitted), fitted_on="a quarter of validation's groups")


def _chosen_map(source: StudyArm) -> PriorityMap | None:
    """The map from classes to the priorities that the study classifies; None where it classifies the classes."""
    task = source.labels
    return PriorityMap(task["map"], task["ours"]) if task["kind"] == "priority" else None


def _descriptions(source: StudyArm, info: DatasetInfo) -> dict[str, str]:
    priorities = _chosen_map(source)
    texts = descriptions(priorities) if priorities else info.class_descriptions or {}
    return {c: texts[c] for c in source.study.classes if c in texts}


def _mapping_note(source: StudyArm) -> list[str]:
    priorities = _chosen_map(source)
    return [describe_map(priorities)] if priorities else []


def _split_note(source: StudyArm) -> list[str]:
    official = source.study.split.official
    return [describe_official(official)] if official and official.leaks else []


def _marks_note(source: StudyArm) -> list[str]:
    config = source.config
    return [describe_used(config.marks, config.pretrain)] if config.marks else []


def _priority(source: StudyArm, info: DatasetInfo) -> Priority | None:
    """The triage priorities of the model's classes; None where it classifies priorities, or they have none."""
    try:
        priorities = None if _chosen_map(source) else priority_map(source.config.dataset, info)
    except ConfigError:
        return None
    return Priority(map=priorities.map, ours=priorities.ours) if priorities else None


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
