"""How a study was made: conditions in one line, method in sentences, settings, folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from ...formatting import NBSP, count, duration, percent
from ...study.study_result import StudyResult
from ..csv_tables import csv_table
from ..section import Bullet, Section
from ..templating import rendered_lines
from .parts import styles

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
        groups = split.groups.get("test", 0)
        return " · ".join(
            (
                f"published models on {data.name}",
                f"{counts['test']:,} images",
                f"{groups:,} groups",
                f"{len(result.classes)} classes",
            )
        )
    parts = (
        f"{split.folds} folds, every image tested once by models that never saw its group"
        if split.folds
        else ", ".join(
            f"{name} {counts[key]:,}"
            for key, name in (("train", "training"), ("val", "validation"), ("test", "test"))
        )
    )
    backbone = config["backbone"]
    return " · ".join(
        (
            f"{data.name}: {data.images:,} images, {data.groups:,} groups, {data.classes} classes",
            parts,
            f"{backbone['architecture']} to stage {backbone['stage']} at {config['input_size']} px",
            REGIMES[config["regime"]],
            count(len(config["seeds"]), "seed"),
            _looks(result),
        )
    )


def _looks(result: StudyResult) -> str:
    what = "these folds" if result.split.folds else "test split"
    looks = result.split.looked_before
    return (
        f"{what} looked at {count(looks, 'time')} before"
        if looks
        else f"{what} not looked at before"
    )


def method(result: StudyResult) -> Section:
    """A sentence or two each: split, looks at the test set, training, choice, intervals, versions."""
    answers = (result.label_efficiency, result.robustness, result.shortcut)
    lines = rendered_lines(
        "method.txt",
        result=result,
        config=result.config,
        looks=_looks(result),
        schedule=json.dumps(result.config.get("finetune")),
        class_map=json.dumps(result.map, ensure_ascii=False),
        notes=[
            *result.detail.notes.values(),
            *(answer.note for answer in answers if answer and answer.note),
        ],
        duration=duration(result.seconds),
        versions=", ".join(f"{name} {version}" for name, version in result.versions.items()),
    )
    return Section(key="method", title="Method", bullets=tuple(map(Bullet, lines)))


def settings(result: StudyResult) -> Section | None:
    """Every arm's common setting and its own best, with the balanced accuracy at each."""
    if not any(entry.setting for entry in result.arms.values()):
        return None
    edges = result.grid.get("best_edge") or {}
    lines = []
    for arm, style in styles(result).items():
        entry = result.arms[arm]
        best = entry.best_setting
        lines.append(
            {
                "Arm": style,
                "Rate, decay": _setting(entry.setting),
                "Balanced accuracy": percent(entry.test["balanced_accuracy"].mean),
                "Own best": _setting(best) + (EDGE if edges.get(arm) else ""),
                "Balanced accuracy there": percent(
                    best["test"]["balanced_accuracy"]["mean"] if best.get("test") else None
                ),
            }
        )
    common = " and ".join(name.replace("_", " ") for name in result.grid.get("edge") or [])
    return Section(
        key="settings",
        title="Settings",
        level=3,
        table=lines,
        table_title="Common and own best setting of every arm",
        table_caption="Learning rate and weight decay. One setting for all arms is the primary "
        "comparison, each arm at its own best the secondary; both chosen on validation loss. "
        f"{EDGE} at the edge of the grid."
        + (f" The {common} of the common setting is at the edge of the grid." if common else ""),
    )


def folds(result: StudyResult) -> Section | None:
    """Balanced accuracy and accuracy gap of every arm in every fold."""
    if not result.folds:
        return None
    chosen = {row["fold"]: row for row in result.grid.get("folds") or []}
    arms = styles(result)
    lines = [
        {
            "Fold": f"{row.fold}",
            "Tested": count(row.counts["test"], "image"),
            **({"Rate, decay": _setting(chosen[row.fold])} if chosen else {}),
            **{
                style.brief: f"{percent(row.arms[arm]['balanced_accuracy'])} "
                f"(gap{NBSP}{percent(row.arms[arm]['accuracy_gap_final'], sign=True)})"
                for arm, style in arms.items()
            },
        }
        for row in result.folds
    ]
    return Section(
        key="folds",
        title="Folds",
        level=3,
        table=lines,
        table_title="Balanced accuracy and accuracy gap of arms by fold",
        table_caption="Balanced accuracy of each arm on the fold’s own images and, in brackets, "
        "its accuracy gap at the final epoch; means over seeds. The CSV has both gaps at the final "
        "and the best epoch.",
        numbers=partial(csv_table, result, "folds"),
    )


def _setting(setting: Mapping[str, Any]) -> str:
    if not setting:
        return "–"
    return f"{setting['learning_rate']:g},{NBSP}{setting['weight_decay']:g}"
