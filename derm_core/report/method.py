"""How a study was made, in sentences that carry its own settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import formatting


def conditions(study: Mapping[str, Any]) -> str:
    """One line: run, data, extractor, regime, seeds."""
    config, data, counts = study["config"], study["dataset"], study["split"]["counts"]
    if study.get("kind") == "evaluate":
        return " · ".join(
            (
                f"Run {study['run_id']}",
                f"published models on {data['name']}",
                f"{counts['test']:,} images",
                f"{study['split']['groups']['test']:,} groups",
                f"{len(study['classes'])} classes",
            )
        )
    regime = {
        "frozen": "frozen extractors, identical two-layer head",
        "finetune": "fine-tuned end to end",
    }[config["regime"]]
    backbone, folds = config["backbone"], study["split"].get("folds")
    return " · ".join(
        (
            f"Run {study['run_id']}",
            f"{data['name']}: {data['images']:,} images, {data['groups']:,} groups, {data['classes']} classes",
            f"{folds} folds, every image tested once"
            if folds
            else f"training {counts['train']:,}, validation {counts['val']:,}, test {counts['test']:,}",
            f"{backbone['architecture']} to stage {backbone['stage']} at {config['input_size']} px",
            regime,
            formatting.count(len(config["seeds"]), "seed"),
        )
    )


def method(study: Mapping[str, Any]) -> list[str]:
    """A sentence or two each: split, looks at the test set, training, choice, intervals, further questions, versions."""
    config, detail = study["config"], study.get("detail") or {}
    versions = ", ".join(f"{name} {version}" for name, version in study["versions"].items())
    answers = [study.get(name) or {} for name in ("label_efficiency", "robustness", "shortcut")]
    if study.get("kind") == "evaluate":
        return _evaluated(study, versions)
    asked = [answer["note"] for answer in answers if answer.get("note")]
    return [
        *_split(study),
        *(_frozen(config) if config["regime"] == "frozen" else _finetune(config)),
        f"Intervals: 95 %, {config['bootstrap']:,} resamples of groups within class, widened by the spread over seeds. "
        "Differences are paired on the same test groups; the primary one is tested by sign flips over groups, all others "
        "are Holm-corrected.",
        *map(str, (detail.get("notes") or {}).values()),
        *asked,
        f"Took {formatting.duration(study.get('seconds'))} with {versions}.",
    ]


def _split(study: Mapping[str, Any]) -> list[str]:
    split, looked = study["split"], study["split"].get("looked_before", 0)
    groups = split["groups"]
    if split.get("folds"):
        return _folds(study)
    return [
        "Groups (a patient, else a lesion, else an image; duplicates join) never cross splits: 70 / 15 / 15, stratified by "
        f"class, from split seed {study['config']['split_seed']}. Split fingerprint {split['fingerprint']}; dataset "
        f"fingerprint {study['dataset']['fingerprint']}. Groups: training {groups['train']:,}, validation {groups['val']:,}, "
        f"test {groups['test']:,}.",
        f"The test split was looked at {formatting.count(looked, 'time')} before this study."
        if looked
        else "The test split was not looked at before this study.",
    ]


def _folds(study: Mapping[str, Any]) -> list[str]:
    split, looked = study["split"], study["split"].get("looked_before", 0)
    counts = split["counts"]
    return [
        f"Groups (a patient, else a lesion, else an image; duplicates join) were dealt into {split['folds']} folds, stratified by "
        f"class, from split seed {study['config']['split_seed']}. Each fold is the test part once; of the other images 15 % of "
        "the groups are validation, on which settings are chosen, and the rest is training: in a fold "
        f"{counts['train']:,} and {counts['val']:,} images. The VAE is pretrained anew in every fold, on its training images. "
        f"Fingerprint of the folds {split['fingerprint']}; dataset fingerprint {study['dataset']['fingerprint']}.",
        "Every image thus has one out-of-fold prediction an arm and seed; all statistics run on these at once. Intervals also "
        "hold what differs between folds beyond groups and seeds; those of gaps and curves are over folds. "
        + (
            f"These folds were looked at {formatting.count(looked, 'time')} before."
            if looked
            else "These folds were not looked at before."
        ),
    ]


def _frozen(config: Mapping[str, Any]) -> list[str]:
    return [
        f"Backbones stay as they are; features are pooled ({config['pooling']}), standardised with training statistics and "
        f"cached. The same head trains on each: Linear(d, {config['hidden']}), GELU, Linear; AdamW, cosine schedule, batches "
        f"of {config['batch_size']}, {config['epochs']} epochs, loss {config['loss'].replace('_', ' ')}; same initial head "
        "and order of batches per seed.",
        "One setting for all arms: the point of the grid with the lowest mean validation loss over arms and seeds; each "
        "arm's own best beside it. Nothing was chosen on test.",
    ]


def _finetune(config: Mapping[str, Any]) -> list[str]:
    return [
        f"Every arm is trained end to end by one schedule, its last weights kept: {json.dumps(config['finetune'])}."
    ]


def _evaluated(study: Mapping[str, Any], versions: str) -> list[str]:
    """Published models on a dataset: nothing was trained."""
    left_out, data = study.get("left_out") or {}, study["dataset"]
    return [
        f"Published models tested on {data['name']} (dataset fingerprint {data['fingerprint']}); nothing was trained or chosen. "
        + (
            "All images with a class of the models."
            if study["split"].get("name") == "all"
            else "Only images that no model is known to have been trained or chosen on."
        ),
        f"Classes, theirs as ours: {json.dumps(study.get('map'), ensure_ascii=False)}; images left out for their class: "
        f"{sum(left_out.values()):,}.",
        f"Intervals: 95 %, {study['config']['bootstrap']:,} resamples of groups within class; all differences are secondary and "
        "Holm-corrected.",
        f"Took {formatting.duration(study.get('seconds'))} with {versions}.",
    ]
