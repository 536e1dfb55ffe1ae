"""Several studies beside each other, and what differs between their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ...formatting import listed
from ...study.study_result import StudyResult
from ..charts import Dot, dots
from ..csv_tables import csv_table
from ..section import Row, Section
from ..templating import words
from .metrics import accuracy_with_gap
from .parts import arm_results

CONDITIONS = {
    "split": lambda result: result.split.fingerprint,
    "marks of images": lambda result: result.dataset.marks,
    "classes": lambda result: tuple(result.classes),
    "regime": lambda result: result.config.get("regime"),
    "input size": lambda result: result.config.get("input_size"),
}


def not_comparable(results: Mapping[str, StudyResult]) -> list[str]:
    """Which of split, marks, classes, regime and input size are not the same in all studies."""
    return [
        name
        for name, value_of in CONDITIONS.items()
        if len({value_of(result) for result in results.values()}) > 1
    ]


def warning(results: Mapping[str, StudyResult]) -> str:
    """Why the studies cannot be compared as if they were arms of one; empty where they can."""
    apart = not_comparable(results)
    if not apart:
        return ""
    return (
        f"These studies differ in {listed(apart)}: numbers of different studies cannot be compared "
        "as if they were arms of one."
    )


def side_by_side(results: Mapping[str, StudyResult], labels: Mapping[str, str]) -> list[Section]:
    """Accuracy of every arm of every study, and the settings that are not the same.

    Args:
        results: the studies by run id.
        labels: what each study is called.
    """
    rows = [
        {"Study": labels[key] if place == 0 else "", **row}
        for key, result in results.items()
        for place, row in enumerate(accuracy_with_gap(result))
    ]
    different = differing_settings(results, labels)
    return [
        Section(
            **words("several"),
            figure=lambda: dots(
                [
                    Dot(style, labels[key], entry.test["balanced_accuracy"])
                    for key, result in results.items()
                    for style, entry in arm_results(result)
                ],
                title="Balanced accuracy by study",
                x="Balanced accuracy",
            ),
            table=rows,
            numbers=lambda: pd.concat(
                csv_table(result, "test-metrics").assign(run=key, study=labels[key])
                for key, result in results.items()
            ),
        ),
        Section(
            **words("differing-settings"),
            table=different,
            text=() if different else ("Their configurations are the same.",),
        ),
    ]


def differing_settings(results: Mapping[str, StudyResult], labels: Mapping[str, str]) -> list[Row]:
    """Every setting (and the test split) that is not the same in all studies, one column a study."""
    flat = {
        key: {"test split": (result.split.fingerprint or "–")[:8], **_flattened(result.config)}
        for key, result in results.items()
    }
    settings = dict.fromkeys(setting for one in flat.values() for setting in one)
    return [
        {
            "Setting": setting,
            **{labels[key]: _written(one.get(setting)) for key, one in flat.items()},
        }
        for setting in settings
        if len({repr(one.get(setting)) for one in flat.values()}) > 1
    ]


def _flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under one name each: 'pretrain, recipe, epochs'."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        flat |= _flattened(value, f"{name}, ") if isinstance(value, Mapping) else {name: value}
    return flat


def _written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "–" if value is None or value == "" else str(value)
