"""How a study was made: conditions in one line, method in sentences, settings, folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...data.cautions import describe_groups
from ...data.dataset_facts import describe_enlarged
from ...data.official_split import describe_official
from ...formatting import NBSP, count, percent
from ...study.extractor_words import what_differs
from ...study.study_result import ArmResult, StudyResult
from ..csv_tables import csv_table
from ..section import Bullet, Section
from ..templating import rendered_lines, words
from .parts import (
    arm_results,
    describe_excluded,
    describe_looks,
    describe_making,
    group_count,
    styles,
)

EDGE = "‡"  # marks a setting at the edge of the grid
REGIMES = {
    "frozen": "frozen extractors, identical two-layer head",
    "finetune": "fine-tuned end to end",
}


def conditions(result: StudyResult) -> str:
    """One line: data, split, extractor, regime, seeds, and how often the test images were looked at."""
    config, data, split = result.config, result.dataset, result.split
    counts = split.counts
    if result.kind == "evaluate":
        groups = group_count(split.groups.get("test", 0), data.groups_known)
        size = f"{counts['test']:,} images · {groups} · {len(result.classes)} classes"
        seen = f" · {_looks(result)}" if result.looks else ""
        return f"published models on {data.name} · {size}{seen}"
    if split.folds:
        seen = "it" if data.groups_known is False else "its group"
        parts = f"{split.folds} folds, every image tested by models that never saw {seen}"
    else:
        parts = (
            f"training {counts['train']:,}, validation {counts['val']:,}, test {counts['test']:,}"
        )
        if split.official:
            parts = f"official split: {parts}"
    backbone = config["backbone"]
    return " · ".join(
        (
            f"{data.name}: {data.images:,} images, {group_count(data.groups, data.groups_known)}, "
            f"{data.classes} classes" + (f", {data.marks}" if data.marks else ""),
            parts,
            what_differs(result)
            or f"{backbone['architecture']} to stage {backbone['stage']} at {config['input_size']} px",
            _regime(config),
            count(len(config["seeds"]), "seed"),
            _looks(result),
            *(
                [f"protocol {result.protocol.sha256[:8]} fixed before the test"]
                if result.protocol
                else []
            ),
        )
    )


def _regime(config: Mapping[str, Any]) -> str:
    rank = (config.get("finetune") or {}).get("lora_rank")
    lora = f", linear layers of attention by LoRA of rank {rank}" if rank else ""
    return REGIMES[config["regime"]] + lora


def _looks(result: StudyResult) -> str:
    if result.looks:
        return f"test images {describe_looks(result.looks)}"
    what, before = "folds" if result.split.folds else "split", result.split.looked_before
    seen = f"looked at {count(before, 'time')}" if before else "not looked at"
    return f"the same {what} {seen} before, other splits of these images not counted"


def data(result: StudyResult) -> Section:
    """The data statement of a study: size, groups, terms, enlarged images, and where the import's report is."""
    used = result.dataset
    groups = group_count(used.groups, used.groups_known)
    if used.group_kinds:
        groups = f"groups: {describe_groups(used.groups, used.group_kinds)}"
    lines = [Bullet(f"{used.images:,} images, {used.classes} classes, {groups}.", f"{used.name}:")]
    if used.source is not None:
        public = f", which is {used.known_as}" if used.known_as else ""
        lines.append(Bullet(f"imported from {used.source}{public}.", "Source:"))
    if used.excluded is not None:
        known = count(used.patients, "patient") if used.patients else "no patient is known"
        lines.append(Bullet(f"{known}; {count(used.lesions or 0, 'known lesion')}.", "Patients:"))
        lines.append(Bullet(describe_excluded(used), "Exclusions:"))
        listed = ", ".join(f"{name} ({n:,})" for name, n in (used.attributes or {}).items())
        lines.append(Bullet(f"{listed or 'none'}.", "Attributes, images that have them:"))
    if used.group_kinds is not None:  # else of an earlier version, which did not record terms
        terms = f"{used.license or 'licence not known'}; cite: {used.citation or 'not known'}."
        lines.append(Bullet(terms, "Terms:"))
    if enlarged := describe_enlarged(used.enlarged or 0.0, result.config.get("input_size") or 0):
        lines.append(Bullet(enlarged, "Resolution:"))
    command = f"derm data show {used.name} --out FILE.html"
    lines.append(Bullet(f"{command} writes it: assumptions, cautions, audit.", "Import report:"))
    return Section(**words("data"), bullets=tuple(lines))


def method(result: StudyResult) -> Section:
    """A sentence or two each: split, looks at the test set, training, choice, intervals, versions."""
    answers = (
        result.label_efficiency,
        result.robustness,
        result.shortcut,
        result.saliency_inside,
    )
    lines = rendered_lines(
        "method.txt",
        result=result,
        config=result.config,
        looks=_looks(result),
        official=describe_official(result.split.official) if result.split.official else "",
        schedule=json.dumps(result.config.get("finetune")),
        class_map=json.dumps(result.map, ensure_ascii=False),
        notes=[
            *result.detail.notes.values(),
            *(answer.note for answer in answers if answer and answer.note),
        ],
        making=describe_making(result),
    )
    return Section(**words("method"), bullets=tuple(map(Bullet, lines)))


def settings(result: StudyResult) -> Section | None:
    """Every arm's own setting and the shared one, with the balanced accuracy at each."""
    if not any(entry.setting for entry in result.arms.values()):
        return None
    lines = []
    for named, entry in arm_results(result):
        tuned, shared = _at_settings(result, named.key, entry)
        edge = EDGE if named.key in result.grid.on_edge else ""
        lines.append(
            {
                "Arm": named,
                "Own best": _setting(tuned.setting) + edge,
                "Balanced accuracy": percent(tuned.accuracy),
                "Shared": _setting(shared.setting),
                "Balanced accuracy there": percent(shared.accuracy),
            }
        )
    headline = (
        "The numbers of this study are at the shared setting, as earlier versions reported them."
        if result.at_shared_setting
        else "The numbers of this study are with each arm at its own best."
    )
    common = " The shared setting is at the edge of the grid." * ("shared" in result.grid.on_edge)
    return Section(**words("settings", headline=headline, edge=EDGE, common=common), table=lines)


@dataclass(frozen=True)
class _AtSetting:
    """A setting and the balanced accuracy there."""

    setting: Mapping[str, Any]
    accuracy: float | None


def _at_settings(result: StudyResult, arm: str, entry: ArmResult) -> tuple[_AtSetting, _AtSetting]:
    """An arm at its own best setting and at the shared one, in results of every version."""
    own = _AtSetting(entry.setting, entry.test["balanced_accuracy"].mean)
    if result.shared and arm in result.shared.arms:
        beside = result.shared.arms[arm]
        return own, _AtSetting(beside.setting, beside.test["balanced_accuracy"].mean)
    best = entry.best_setting or {}
    accuracy = best["test"]["balanced_accuracy"]["mean"] if best.get("test") else None
    return _AtSetting(best, accuracy), own


def folds(result: StudyResult) -> Section | None:
    """Balanced accuracy and accuracy gap of every arm in every fold."""
    if not result.folds:
        return None
    columns = {
        f"Fold {row.fold} ({count(row.counts['test'], 'image')})": row for row in result.folds
    }
    lines = [
        {"Arm": style}
        | {
            name: f"{percent(row.arms[arm]['balanced_accuracy'])} "
            f"(gap{NBSP}{percent(row.arms[arm]['accuracy_gap_final'], sign=True)})"
            for name, row in columns.items()
        }
        for arm, style in styles(result).items()
    ]
    shared = {row.fold: row.shared for row in result.grid.folds if row.shared}
    if shared:
        settings = {name: _setting(shared[row.fold]) for name, row in columns.items()}
        lines.append({"Arm": "Shared learning rate, weight decay", **settings})
    return Section(
        **words("folds"),
        table=lines,
        numbers=partial(csv_table, result, "folds"),
    )


def _setting(setting: Mapping[str, Any]) -> str:
    if not setting:
        return "–"
    return f"{setting['learning_rate']:g},{NBSP}{setting['weight_decay']:g}"
