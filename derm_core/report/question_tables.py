"""A study's further questions as tables: (numbers for the CSV, text for a reader). Pure: computes nothing new.

label_efficiency, robustness, shortcut, external, calibration, operating_point, subgroups, disagreement
each takes a study and returns two DataFrames, empty where the study did not ask
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import formatting
from ..arms import arm_style, in_order
from .tables import arms, name

ENDS = ("mean", "std", "low", "high")
Tables = tuple[pd.DataFrame, pd.DataFrame]


def _badge(study: Mapping[str, Any], arm: str) -> str:
    return arm_style(arm, name(study, arm)).badge


def _flat(interval: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{end}": (interval or {}).get(end) for end in ENDS}


def _wide(
    study: Mapping[str, Any], rows: list[dict[str, Any]], index: str, values: str
) -> pd.DataFrame:
    """Rows {index, arm, values} as one line an index and one column an arm, arms in their order."""
    lines: dict[Any, dict[str, str]] = {}
    for row in rows:
        lines.setdefault(row[index], {})[row["arm"]] = row[values]
    keys = in_order(dict.fromkeys(row["arm"] for row in rows))
    return pd.DataFrame(
        [
            {index: line, **{name(study, key): found.get(key, "–") for key in keys}}
            for line, found in lines.items()
        ]
    )


def label_efficiency(study: Mapping[str, Any]) -> Tables:
    """Balanced accuracy of every arm at every share of labels."""
    rows = (study.get("label_efficiency") or {}).get("rows") or []
    numbers = [
        {
            "arm": name(study, row["arm"]),
            "fraction": row["fraction"],
            "images": row.get("images"),
            "groups": row.get("groups"),
            "metric": metric,
            **_flat(row.get(metric)),
        }
        for row in rows
        for metric in ("balanced_accuracy", "macro_auroc", "accuracy")
    ]
    text = [
        {
            "Labels": f"{100 * row['fraction']:g}{formatting.THIN}% ({formatting.count(row.get('images') or 0, 'image')})",
            "arm": row["arm"],
            "value": formatting.interval(row["balanced_accuracy"]),
        }
        for row in sorted(rows, key=lambda row: row["fraction"])
    ]
    return pd.DataFrame(numbers), _wide(study, text, "Labels", "value")


def severity_rows(study: Mapping[str, Any], family: str) -> list[dict[str, Any]]:
    """Rows for extra_figures.severity: one family, with the clean test set as severity 0."""
    found = study["robustness"]
    return [
        {"arm": arm, "severity": 0, "balanced_accuracy": interval}
        for arm, interval in (found.get("clean") or {}).items()
    ] + [row for row in found["rows"] if row["family"] == family]


def robustness(study: Mapping[str, Any]) -> Tables:
    """Relative loss of balanced accuracy of every arm under every family, mean over severities, and over all families."""
    found = study.get("robustness") or {}
    numbers = [
        {
            "arm": name(study, row["arm"]),
            "family": row["family"],
            "severity": row["severity"],
            **_flat(row["balanced_accuracy"], "balanced_accuracy_"),
            **_flat(row["relative_loss"], "relative_loss_"),
        }
        for row in found.get("rows") or []
    ]
    text = [
        {
            "Corruption": formatting.family(row["family"]),
            "arm": row["arm"],
            "value": formatting.interval(row["relative_loss"]),
        }
        for row in found.get("families_summary") or []
    ]
    text += [
        {"Corruption": "Mean over all", "arm": arm, "value": formatting.interval(interval)}
        for arm, interval in (found.get("mean") or {}).items()
    ]
    return pd.DataFrame(numbers), _wide(study, text, "Corruption", "value")


def shortcut(study: Mapping[str, Any]) -> Tables:
    """Clean and reversed results and reliance of every arm at every strength."""
    rows = (study.get("shortcut") or {}).get("rows") or []
    parts = ("clean", "reversed", "reliance")
    numbers = [
        {
            "arm": name(study, row["arm"]),
            "strength": row["strength"],
            **{key: value for part in parts for key, value in _flat(row[part], f"{part}_").items()},
        }
        for row in rows
    ]
    text = [
        {
            "Strength": f"{row['strength']:g}",
            "arm": row["arm"],
            "value": formatting.interval(row["reliance"]),
        }
        for row in sorted(rows, key=lambda row: row["strength"])
    ]
    shown, found = _wide(study, text, "Strength", "value"), study.get("shortcut") or {}
    alone = {
        f"{strength:g}": value
        for strength, value in zip(found.get("strengths") or [], found.get("reference") or [])
    }
    if alone and len(shown):
        shown["The ink alone"] = [
            formatting.percent(alone.get(strength)) for strength in shown["Strength"]
        ]
    return pd.DataFrame(numbers), shown


def external(study: Mapping[str, Any]) -> Tables:
    """Test metrics of every arm on every other set, and the drop from the study's own test set."""
    numbers, text = [], []
    for entry in study.get("external") or []:
        for arm in in_order(entry["arms"]):
            metrics, drop = entry["arms"][arm], (entry.get("drop") or {}).get(arm)
            numbers += [
                {
                    "dataset": entry["dataset"],
                    "arm": name(study, arm),
                    "metric": metric,
                    **_flat(value),
                }
                for metric, value in metrics.items()
            ]
            numbers.append(
                {
                    "dataset": entry["dataset"],
                    "arm": name(study, arm),
                    "metric": "drop",
                    **_flat(drop),
                }
            )
            text.append(
                {
                    "Set": entry["dataset"],
                    "Arm": _badge(study, arm),
                    "Balanced accuracy": formatting.interval(metrics.get("balanced_accuracy")),
                    "Macro-AUROC": formatting.interval(metrics.get("macro_auroc"), "macro_auroc"),
                    "Drop, points": formatting.points(drop or {}),
                }
            )
    return pd.DataFrame(numbers), pd.DataFrame(text)


def external_rows(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for figures.dots: balanced accuracy of every arm on the study's own test set and on every other."""
    own = [
        {
            "group": f"{study['dataset']['name']}, test",
            "n": study["split"]["counts"].get("test"),
            "arm": arm,
            "name": name(study, arm),
            **_flat(study["arms"][arm]["test"]["balanced_accuracy"]),
        }
        for arm in arms(study)
    ]
    return own + [
        {
            "group": entry["dataset"],
            "n": entry["images"],
            "arm": arm,
            "name": name(study, arm),
            **_flat(metrics.get("balanced_accuracy")),
        }
        for entry in study.get("external") or []
        for arm, metrics in entry["arms"].items()
    ]


def calibration(study: Mapping[str, Any]) -> Tables:
    """Calibration error, Brier score and log loss of every arm, before and after temperature scaling."""
    found = (study.get("detail") or {}).get("calibration") or {}
    numbers, text = [], []
    for arm in in_order(found):
        entry = found[arm]
        numbers += [
            {
                "arm": name(study, arm),
                "temperature": entry["temperature"],
                "when": when,
                "metric": metric,
                **_flat(value),
            }
            for when in ("before", "after")
            for metric, value in entry[when].items()
        ]
        text += [
            {
                "Arm": _badge(study, arm) if when == "before" else "",
                "Probabilities": "as trained"
                if when == "before"
                else f"temperature {formatting.number(entry['temperature'], 2)}",
                **{
                    formatting.QUANTITIES[metric]: formatting.interval(entry[when][metric], metric)
                    for metric in ("ece", "brier", "log_loss")
                },
            }
            for when in ("before", "after")
        ]
    return pd.DataFrame(numbers), pd.DataFrame(text)


def operating_point(study: Mapping[str, Any], at: float | None = None) -> Tables:
    """(every specificity, text at the one nearest to `at`): on the test set's own curve, and with validation's threshold."""
    point = (study.get("detail") or {}).get("operating_point") or {}
    numbers, text = [], []
    for arm in in_order(point.get("arms") or {}):
        found = point["arms"][arm]
        numbers += [
            {
                "arm": name(study, arm),
                "class": point["class"],
                "specificity": specificity,
                **{key: values[k] for key, values in found.items()},
            }
            for k, specificity in enumerate(point["specificity"])
        ]
        if at is not None:
            k = min(
                range(len(point["specificity"])), key=lambda i: abs(point["specificity"][i] - at)
            )

            def write(key: str, low: str, high: str, k: int = k, found: Mapping = found) -> str:
                return formatting.interval(
                    {"mean": found[key][k], "low": found[low][k], "high": found[high][k]}
                )

            text.append(
                {
                    "Arm": _badge(study, arm),
                    "Sensitivity": write("sensitivity", "low", "high"),
                    "Threshold from validation": formatting.percent(found["threshold"][k]),
                    "gives sensitivity": write(
                        "given_sensitivity", "given_sensitivity_low", "given_sensitivity_high"
                    ),
                    "and specificity": write(
                        "given_specificity", "given_specificity_low", "given_specificity_high"
                    ),
                }
            )
    return pd.DataFrame(numbers), pd.DataFrame(text)


def subgroup_rows(
    study: Mapping[str, Any], attribute: str, metric: str = "balanced_accuracy"
) -> list[dict[str, Any]]:
    """Rows for figures.dots: every value of an attribute, those with few groups faint."""
    entry = next(entry for entry in study["detail"]["subgroups"] if entry["attribute"] == attribute)
    return [
        {
            "group": row["value"],
            "n": row["images"],
            "arm": arm,
            "name": name(study, arm),
            "faint": row["caution"],
            **_flat(metrics[metric]),
        }
        for row in entry["values"]
        for arm, metrics in row["arms"].items()
    ]


def subgroups(study: Mapping[str, Any]) -> Tables:
    """Every arm in every subgroup; text: the worst subgroup of every attribute for every arm."""
    entries = (study.get("detail") or {}).get("subgroups") or []
    numbers = [
        {
            "attribute": entry["attribute"],
            "value": row["value"],
            "images": row["images"],
            "groups": row["groups"],
            "classes": row.get("classes"),
            "few_groups": row["caution"],
            "arm": name(study, arm),
            "metric": metric,
            **_flat(value),
        }
        for entry in entries
        for row in entry["values"]
        for arm, metrics in row["arms"].items()
        for metric, value in metrics.items()
    ]
    text = [
        {
            "Attribute": entry["attribute"].replace("_", " ").capitalize(),
            "arm": arm,
            "value": (entry["worst"][arm] or "–"),
        }
        for entry in entries
        for arm in in_order(entry.get("worst") or {})
    ]
    return pd.DataFrame(numbers), _wide(study, text, "Attribute", "value")


def disagreement(study: Mapping[str, Any]) -> Tables:
    """Who is right where, for every pair of arms."""
    rows = (study.get("detail") or {}).get("disagreement") or []
    keys = ("both_right", "a_only", "b_only", "both_wrong")
    numbers = [
        {"a": name(study, row["a"]), "b": name(study, row["b"]), **{key: row[key] for key in keys}}
        for row in rows
    ]
    text = [
        {
            "First": _badge(study, row["a"]),
            "Second": _badge(study, row["b"]),
            "Both right": f"{row['both_right']:,}",
            "Only the first": f"{row['a_only']:,}",
            "Only the second": f"{row['b_only']:,}",
            "Both wrong": f"{row['both_wrong']:,}",
        }
        for row in rows
    ]
    return pd.DataFrame(numbers), pd.DataFrame(text)
