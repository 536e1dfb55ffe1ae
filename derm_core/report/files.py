"""A study as files: CSV of every table and of the predictions image by image, study.json, config.json.

    files = report_files(study, run_folder)         {"test-metrics.csv": bytes, …}
    data = archive(files)                           the same as one ZIP

Numbers are those of study.json, unrounded. A nested interval becomes columns NAME_mean, NAME_low, ….
Cells of text that a spreadsheet would take for a formula are set in quotes (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..arms import arm_file
from ..workspace import RunFiles
from .reproduce import reproducible_config

FORMULA = ("=", "+", "-", "@", "\t", "\r")
ARM = ("label", "kind", "regime", "features", "setting", "gaps", "best_setting")
INTERVAL = ("mean", "std", "low", "high", "se", "df", "method")


def report_files(study: Mapping[str, Any], run_folder: Path | str) -> dict[str, bytes]:
    """File name to content; tables that the study does not have are left out."""
    folder = Path(run_folder)
    files = {f"{name}.csv": to_csv(rows) for name, rows in tables(study).items() if rows}
    for arm in study["arms"]:
        path = RunFiles(folder).curves(arm)
        if path.exists():
            files[f"curves-{arm_file(arm)}.csv"] = path.read_bytes()
    for name in ("predictions", "decisions"):
        path = folder / "artefacts" / f"{name}.parquet"
        if path.exists():
            files[f"{name}.csv"] = _predictions(path, list(study["classes"]))
    files["study.json"] = _json(study)
    files["config.json"] = _json(reproducible_config(study, folder))
    return files


def archive(files: Mapping[str, bytes]) -> bytes:
    """The files as one ZIP, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, data in files.items():
            handle.writestr(
                zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()


def tables(study: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Every table of a study as rows of plain values, by name."""
    arms, classes = study["arms"], study["classes"]
    majority = study.get("majority") or {}
    tested = [
        *((name, arm["test"]) for name, arm in arms.items()),
        ("majority", majority.get("test", majority)),
    ]
    found = {
        "arms": [
            {"arm": name, **flat({key: arm.get(key) for key in ARM})} for name, arm in arms.items()
        ],
        "test-metrics": [
            {"arm": name, "metric": metric, **_interval(value)}
            for name, test in tested
            for metric, value in test.items()
        ],
        "per-class": [
            {"arm": name, **flat(row)}
            for name, arm in arms.items()
            for row in arm.get("per_class") or []
        ],
        "gaps": [
            {"arm": name, "gap": gap, "at": at, **_interval(value)}
            for name, arm in arms.items()
            for gap, moments in (arm.get("gaps_detail") or {}).items()
            for at, value in moments.items()
        ],
        "paper-table": [flat(row) for row in study.get("paper_table") or []],
        "confusion": [
            {
                "arm": name,
                "is": classes[i],
                **{f"called {c}": value for c, value in zip(classes, row)},
            }
            for name, matrix in (study.get("confusion") or {}).items()
            for i, row in enumerate(matrix)
        ],
        "grid": _grid(study.get("grid") or {}),
        "matched": _matched(study),
        "folds": [
            flat(
                {"arm": arm, **{key: row[key] for key in row if key != "arms"}, **row["arms"][arm]}
            )
            for row in study.get("folds") or []
            for arm in row["arms"]
        ],
    }
    for name in ("differences", "gap_differences", "mcnemar", "claims"):
        rows = study.get(name)
        found[name.replace("_", "-")] = (
            [flat(row) for row in rows] if isinstance(rows, list) else []
        )
    return found | _extras(study)


def _extras(study: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Tables of the further questions: each list of rows in an answer is one."""
    found = {}
    for name in ("label_efficiency", "robustness", "shortcut"):
        for key, rows in (study.get(name) or {}).items():
            if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
                found[f"{name}-{key}".replace("_", "-").removesuffix("-rows")] = [
                    flat(row) for row in rows
                ]
    external = study.get("external") or []
    for one in external.get("sets", []) if isinstance(external, Mapping) else external:
        name = one["dataset"]
        found.setdefault("external", []).extend(
            {"dataset": name, "arm": arm, "metric": metric, **_interval(value)}
            for arm, metrics in one["arms"].items()
            for metric, value in [*metrics.items(), ("drop", (one.get("drop") or {}).get(arm))]
        )
        found.setdefault("external-differences", []).extend(
            {"dataset": name, **flat(row)} for row in one.get("differences") or []
        )
    return found | _detail(study, study.get("detail") or {})


def _detail(study: Mapping[str, Any], detail: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Tables of the closer look at the test set."""
    found, calibration = {}, detail.get("calibration") or {}
    found["subgroups"] = [
        {
            "attribute": group["attribute"],
            **{key: row.get(key) for key in ("value", "images", "groups", "caution")},
            "arm": arm,
            **flat(metrics),
        }
        for group in detail.get("subgroups") or []
        for row in group["values"]
        for arm, metrics in row["arms"].items()
    ]
    found["calibration"] = [
        {
            "arm": arm,
            "when": when,
            "temperature": entry.get("temperature"),
            **flat(entry.get(when) or {}),
        }
        for arm, entry in calibration.items()
        for when in ("before", "after")
    ]
    found["reliability"] = [
        {"arm": arm, "when": when, **flat(row)}
        for arm, entry in calibration.items()
        for when, key in (("before", "bins"), ("after", "bins_after"))
        for row in entry.get(key) or []
    ]
    found["operating-point"] = _operating(detail.get("operating_point") or {})
    found["disagreement"] = [
        {"a": entry["a"], "b": entry["b"], "a says": said, "b says": other, "images": count}
        for entry in detail.get("disagreement") or []
        for said, row in zip(study["classes"], entry["matrix"])
        for other, count in zip(study["classes"], row)
    ]
    return found


def _operating(point: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row an arm and specificity."""
    return [
        {
            "arm": arm,
            "class": point["class"],
            "specificity": specificity,
            **{key: values[i] for key, values in curve.items()},
        }
        for arm, curve in (point.get("arms") or {}).items()
        for i, specificity in enumerate(point["specificity"])
    ]


def _grid(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    losses = grid.get("val_loss") or {}
    return [
        {
            **point,
            "chosen for all": i == grid.get("chosen"),
            **{f"validation loss, {arm}": loss[i] for arm, loss in losses.items()},
        }
        for i, point in enumerate(grid.get("points") or [])
    ]


def _matched(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = study.get("matched") or []
    return [
        {
            "a": pair.get("a"),
            "b": pair.get("b"),
            "level": pair.get("level"),
            "comparable": pair.get("comparable"),
            "reason": pair.get("reason"),
            "arm": arm,
            **flat(at),
        }
        for pair in (found if isinstance(found, list) else [found])
        for arm, at in (pair.get("arms") or {}).items()
    ]


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as columns OUTER_INNER; lists as JSON.

    >>> flat({"arm": "vae", "drop": {"mean": 0.1, "by_seed": [0.1]}})
    {'arm': 'vae', 'drop_mean': 0.1, 'drop_by_seed': '[0.1]'}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}_")
        else:
            found[f"{prefix}{key}"] = (
                json.dumps(value, ensure_ascii=False) if isinstance(value, (list, tuple)) else value
            )
    return found


def _interval(value: Any) -> dict[str, Any]:
    return (
        {key: value.get(key) for key in INTERVAL} if isinstance(value, Mapping) else {"mean": value}
    )


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
    """A copy of `table` whose texts, in cells and column names, went through `safe_cell`; numbers stay numbers."""
    texts = [name for name, kind in table.dtypes.items() if kind.kind not in "iufb"]
    safe = table.copy()
    for name in texts:
        safe[name] = safe[name].map(safe_cell)
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


def _predictions(path: Path, classes: Sequence[str]) -> bytes:
    """A table of images as CSV, classes by their names: label, and p_0 … as p_NAME."""
    table = pd.read_parquet(path)
    if "label" in table:
        table["label"] = [
            classes[label] if 0 <= label < len(classes) else "" for label in table["label"]
        ]
    for column in [name for name in table if name.startswith("decision:")]:
        table[column] = [classes[c] if 0 <= c < len(classes) else "" for c in table[column]]
    table = table.rename(columns={f"p_{i}": f"p_{name}" for i, name in enumerate(classes)})
    for column in table.columns[[kind.kind not in "iufb" for kind in table.dtypes]]:
        known = {value: safe_cell(value) for value in table[column].unique()}
        table[column] = table[column].map(known)
    table.columns = [safe_cell(name) for name in table.columns]
    return table.to_csv(index=False).encode("utf-8-sig")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
