"""Several studies beside each other: rows and tables, and what differs between their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import formatting
from ..arms import arm_style
from .tables import arms, name

Studies = Mapping[str, Mapping[str, Any]]
SHARED = {
    "split": lambda study: study["split"].get("fingerprint"),
    "classes": lambda study: tuple(study["classes"]),
    "regime": lambda study: study["config"].get("regime"),
    "input size": lambda study: study["config"].get("input_size"),
}
METRICS = ("balanced_accuracy", "macro_auroc")


def not_comparable(studies: Studies) -> list[str]:
    """Which of split, classes, regime and input size are not the same in all studies."""
    return [
        what for what, of in SHARED.items() if len({of(study) for study in studies.values()}) > 1
    ]


def rows(studies: Studies, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows for figures.dots: test balanced accuracy of every arm, a group a study."""
    return [
        {
            "group": labels[key],
            "arm": arm,
            "name": name(study, arm),
            **{
                end: study["arms"][arm]["test"]["balanced_accuracy"].get(end)
                for end in ("mean", "low", "high")
            },
        }
        for key, study in studies.items()
        for arm in arms(study)
    ]


def numbers(studies: Studies, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every test metric of every arm of every study."""
    return pd.DataFrame(
        [
            {
                "run": key,
                "study": labels[key],
                "arm": name(study, arm),
                "metric": metric,
                **{end: value.get(end) for end in ("mean", "std", "low", "high")},
            }
            for key, study in studies.items()
            for arm in arms(study)
            for metric, value in study["arms"][arm]["test"].items()
        ]
    )


def table(studies: Studies, labels: Mapping[str, str]) -> pd.DataFrame:
    """Text: arms × studies, accuracy always with its gap."""
    found = []
    for key, study in studies.items():
        for place, arm in enumerate(arms(study)):
            result = study["arms"][arm]
            gaps = result.get("gaps") or {}
            found.append(
                {
                    "Study": labels[key] if place == 0 else "",
                    "Arm": arm_style(arm, name(study, arm)).badge,
                    **{
                        formatting.QUANTITIES[metric]: formatting.interval(
                            result["test"].get(metric), metric
                        )
                        for metric in METRICS
                    },
                    "Accuracy gap": formatting.percent(gaps.get("accuracy"), sign=True),
                    "Loss gap": formatting.number(gaps.get("loss"), sign=True),
                }
            )
    return pd.DataFrame(found)


def differing(studies: Studies, labels: Mapping[str, str]) -> pd.DataFrame:
    """Text: every setting (and the test split) that is not the same in all studies, one column a study."""
    flat = {
        key: {
            "test split": (study["split"].get("fingerprint") or "–")[:8],
            **flattened(study["config"]),
        }
        for key, study in studies.items()
    }
    settings = dict.fromkeys(setting for one in flat.values() for setting in one)
    return pd.DataFrame(
        [
            {
                "Setting": setting,
                **{labels[key]: _write(one.get(setting)) for key, one in flat.items()},
            }
            for setting in settings
            if len({repr(one.get(setting)) for one in flat.values()}) > 1
        ]
    )


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under one name each: 'pretrain, recipe, epochs'."""
    found = {}
    for key, value in config.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        found |= flattened(value, f"{name}, ") if isinstance(value, Mapping) else {name: value}
    return found


def _write(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "–" if value is None or value == "" else str(value)
