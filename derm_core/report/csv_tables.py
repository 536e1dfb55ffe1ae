"""A study's tables as rows of plain values, for CSV files and downloads.

Numbers are those of study.json, unrounded. A nested interval becomes columns NAME_mean, NAME_low,
…. Cells of text that a spreadsheet would run as a formula get an apostrophe (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from ..records import to_json
from ..study.external_cautions import external_cautions, short_cautions
from ..study.study_result import StudyResult

FORMULA = ("=", "+", "-", "@", "\t", "\r")
ARM = ("label", "kind", "regime", "features", "setting", "gaps", "best_setting")
TABLES = (
    "paper_table",
    "differences",
    "gap_differences",
    "sensitivity",
    "mcnemar",
    "claims",
)
INTERVAL = ("mean", "std", "low", "high", "se", "df", "method")

Row = dict[str, Any]
Study = Mapping[str, Any]  # study.json as plain values


def csv_tables(result: StudyResult) -> dict[str, list[Row]]:
    """Every table of a study by the name of its CSV file; those that it does not have are left out."""
    study = to_json(result)
    cautions = {
        one.dataset: "; ".join(short_cautions(one, result.dataset)) for one in result.external
    }
    tables = {
        **_arm_tables(study),
        **_shared_tables(study.get("shared") or {}, study.get("label_efficiency") or {}),
        **{name.replace("_", "-"): [flat(row) for row in study.get(name) or []] for name in TABLES},
        "verdict-claims": [flat(row) for row in study["verdict"].get("claims") or []],
        **_question_tables(study),
        "cost": [
            {"arm": arm, **flat(of)}
            for arm, of in ((study.get("cost") or {}).get("arms") or {}).items()
        ],
        **_linear_head_tables(study.get("linear_head") or {}),
        **_external_tables(study, cautions),
        "cautions": [
            {"dataset": name, "caution": text}
            for name, texts in _all_cautions(result)
            for text in texts
        ],
        **_breakdown_tables(study.get("detail") or {}, study["classes"]),
    }
    return {name: rows for name, rows in tables.items() if rows}


def csv_table(result: StudyResult, name: str, **chosen: Any) -> pd.DataFrame:
    """One of `csv_tables`, empty where the study does not have it; chosen: values of columns."""
    rows = csv_tables(result).get(name, [])
    return pd.DataFrame(
        [row for row in rows if all(row[column] == value for column, value in chosen.items())]
    )


def _arm_tables(study: Study) -> dict[str, list[Row]]:
    arms, classes, grid = study["arms"], study["classes"], study.get("grid") or {}
    tested = {name: arm["test"] for name, arm in arms.items()}
    tested["majority"] = study.get("majority") or {}
    gaps = {name: arm.get("gaps_detail") or {} for name, arm in arms.items()}
    losses = grid.get("val_loss") or {}
    return {
        "arms": [
            {"arm": name, **flat({key: arm[key] for key in ARM if key in arm})}
            for name, arm in arms.items()
        ],
        "test-metrics": list(_spread(tested, "arm", "metric")),
        "per-class": [
            {"arm": name, **flat(row)}
            for name, arm in arms.items()
            for row in arm.get("per_class") or []
        ],
        "gaps": list(_spread(gaps, "arm", "gap", "at")),
        "confusion": [
            {"arm": name, "is": truth, **dict(zip((f"called {c}" for c in classes), row))}
            for name, matrix in (study.get("confusion") or {}).items()
            for truth, row in zip(classes, matrix, strict=True)
        ],
        "grid": [
            {
                **point,
                "chosen for": ", ".join(
                    [arm for arm, best in (grid.get("chosen") or {}).items() if best == point]
                    + ["all"] * (point == grid.get("shared"))
                ),
                **{f"validation loss, {arm}": loss[i] for arm, loss in losses.items()},
            }
            for i, point in enumerate(grid.get("points") or [])
        ],
        "fold-settings": [
            {"fold": row["fold"], "arm": arm, **point, "on edge": arm in row["on_edge"]}
            for row in grid.get("folds") or []
            for arm, point in [*row["chosen"].items(), ("shared", row["shared"] or {})]
        ],
        "matched": [
            {
                **{key: pair.get(key) for key in ("a", "b", "level", "comparable", "reason")},
                "arm": arm,
                **flat(at),
            }
            for pair in study.get("matched") or []
            for arm, at in (pair.get("arms") or {}).items()
        ],
        "folds": [
            flat({"arm": arm} | {key: row[key] for key in row if key != "arms"} | row["arms"][arm])
            for row in study.get("folds") or []
            for arm in row["arms"]
        ],
    }


def _shared_tables(shared: Study, labels: Study) -> dict[str, list[Row]]:
    """The comparison with one setting for all arms, beside that with each at its own best."""
    arms, fewer = shared.get("arms") or {}, labels.get("shared") or {}
    return {
        "shared-test-metrics": list(
            _spread({name: arm["test"] for name, arm in arms.items()}, "arm", "metric")
        ),
        "shared-gaps": list(
            _spread({name: arm["gaps_detail"] for name, arm in arms.items()}, "arm", "gap", "at")
        ),
        **{
            f"shared-{name}".replace("_", "-"): [flat(row) for row in shared.get(name) or []]
            for name in ("differences", "gap_differences")
        },
        "shared-label-efficiency": [flat(row) for row in fewer.get("rows") or []],
        "shared-label-efficiency-differences": [
            flat(row) for row in fewer.get("differences") or []
        ],
    }


def _question_tables(study: Study) -> dict[str, list[Row]]:
    """Each list of rows in an answer is a table."""
    return {
        f"{name}-{key}".replace("_", "-").removesuffix("-rows"): [flat(row) for row in rows]
        for name in ("label_efficiency", "robustness", "shortcut", "saliency_inside")
        for key, rows in (study.get(name) or {}).items()
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping)
    }


def _linear_head_tables(answer: Study) -> dict[str, list[Row]]:
    return {
        "linear-head": [
            {"penalties": json.dumps((answer.get("chosen") or {}).get(row["arm"]))} | row
            for row in _spread(answer.get("arms") or {}, "arm", "metric")
        ],
        "linear-head-differences": [flat(row) for row in answer.get("differences") or []],
    }


def _all_cautions(result: StudyResult) -> list[tuple[str, tuple[str, ...]]]:
    """What limits the numbers on the study's own test set and on each other."""
    others = [(one.dataset, external_cautions(one, result.dataset)) for one in result.external]
    return [(result.dataset.name, result.cautions), *others]


def _external_tables(study: Study, cautions: Mapping[str, str]) -> dict[str, list[Row]]:
    sets = study.get("external") or []
    return {
        "external": [
            {"dataset": one["dataset"], "arm": arm, **row, "cautions": cautions[one["dataset"]]}
            for one in sets
            for arm, metrics in one["arms"].items()
            for row in _spread(metrics | {"drop": (one.get("drop") or {}).get(arm)}, "metric")
        ],
        "external-differences": [
            {"dataset": one["dataset"], **flat(row), "cautions": cautions[one["dataset"]]}
            for one in sets
            for row in one.get("differences") or []
        ],
        "external-subgroups": [
            {"dataset": one["dataset"], **row} for one in sets for row in _subgroup_rows(one)
        ],
        "external-subgroup-tests": [
            {"dataset": one["dataset"], **row} for one in sets for row in _subgroup_tests(one)
        ],
    }


def _breakdown_tables(detail: Study, classes: list[str]) -> dict[str, list[Row]]:
    """Calibration, one class against the rest, subgroups, disagreement."""
    calibration, point = detail.get("calibration") or {}, detail.get("operating_point") or {}
    fixed, benefit = detail.get("fixed_specificity") or {}, detail.get("net_benefit") or {}
    levels = fixed.get("levels") or []
    return {
        "subgroups": _subgroup_rows(detail),
        "subgroup-tests": _subgroup_tests(detail),
        "fixed-specificity": [
            {"arm": arm, "class": fixed["class"], "specificity wanted": level["specificity"]}
            | flat(at)
            for level in levels
            for arm, at in level["arms"].items()
        ],
        "fixed-specificity-differences": [
            {"class": fixed["class"], "specificity wanted": level["specificity"]} | flat(row)
            for level in levels
            for row in level["differences"]
        ],
        "net-benefit": [
            {"arm": arm, "class": benefit["class"], "threshold": threshold}
            | {key: values[i] for key, values in curve.items()}
            | {"treat all": benefit["treat_all"][i]}
            for arm, curve in (benefit.get("arms") or {}).items()
            for i, threshold in enumerate(benefit["thresholds"])
        ],
        "calibration": [
            {"arm": arm, "when": when, "temperature": entry.get("temperature")}
            | flat(entry.get(when) or {})
            for arm, entry in calibration.items()
            for when in ("before", "after")
        ],
        "reliability": [
            {"arm": arm, "when": when, **flat(row)}
            for arm, entry in calibration.items()
            for when, key in (("before", "bins"), ("after", "bins_after"))
            for row in entry.get(key) or []
        ],
        "operating-point": [
            {"arm": arm, "class": point["class"], "specificity": specificity}
            | {key: values[i] for key, values in curve.items()}
            for arm, curve in (point.get("arms") or {}).items()
            for i, specificity in enumerate(point["specificity"])
        ],
        "disagreement": [
            {"a": pair["a"], "b": pair["b"], "a says": one, "b says": other, "images": count}
            for pair in detail.get("disagreement") or []
            for one, row in zip(classes, pair["matrix"], strict=True)
            for other, count in zip(classes, row, strict=True)
        ],
    }


def _subgroup_rows(of: Study) -> list[Row]:
    return [
        {
            "attribute": group["attribute"],
            **{key: row.get(key) for key in ("value", "images", "groups", "caution")},
            "arm": arm,
            **flat(metrics),
        }
        for group in of.get("subgroups") or []
        for row in group["values"]
        for arm, metrics in row["arms"].items()
    ]


def _subgroup_tests(of: Study) -> list[Row]:
    return [
        {"attribute": group["attribute"], "opponent": None} | flat(row)
        for group in of.get("subgroups") or []
        for row in group.get("tests") or []
    ]


def _spread(nested: Mapping[str, Any], column: str, *columns: str) -> Iterator[Row]:
    """Nested mappings of intervals or numbers as rows: a column for the keys of each level."""
    for key, value in nested.items():
        if columns:
            yield from ({column: key} | row for row in _spread(value, *columns))
        elif isinstance(value, Mapping):
            yield {column: key, **{end: value.get(end) for end in INTERVAL}}
        else:
            yield {column: key, "mean": value}


def flat(row: Mapping[str, Any], prefix: str = "") -> Row:
    """Nested objects as columns OUTER_INNER; lists as JSON.

    >>> flat({"arm": "vae", "drop": {"mean": 0.1, "by_seed": [0.1]}})
    {'arm': 'vae', 'drop_mean': 0.1, 'drop_by_seed': '[0.1]'}
    """
    columns: Row = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            columns |= flat(value, f"{prefix}{key}_")
        else:
            is_list = isinstance(value, list | tuple)
            columns[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False) if is_list else value
    return columns


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, with an apostrophe before it; numbers as they are.

    >>> safe_cell("=1+1"), safe_cell(-0.5), safe_cell("-0.5"), safe_cell("mel")
    ("'=1+1", -0.5, '-0.5', 'mel')
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of `table` whose texts, in cells and column names, went through `safe_cell`."""
    safe = table.copy()
    for name in [name for name, kind in table.dtypes.items() if kind.kind not in "iufb"]:
        known = {value: safe_cell(value) for value in table[name].unique()}
        safe[name] = table[name].map(known)
    return safe.rename(columns=safe_cell)


def to_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as CSV, columns in order of first appearance, UTF-8 with a mark that spreadsheets know."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([safe_cell(str(column)) for column in columns])
    writer.writerows([safe_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode("utf-8-sig")
