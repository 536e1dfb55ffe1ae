"""A study as files: CSV of every table, checklist and prediction, study.json, config.json.

files = report_files(result, run_folder)        {"test-metrics.csv": bytes, …}
data = archive(files)                           the same as one ZIP
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..arms import arm_file
from ..files import read_bytes
from ..published import publication_of
from ..records import to_json
from ..study.study_result import StudyResult
from ..workspace import RunFiles
from .csv_tables import csv_tables, safe_table, to_csv
from .reproduce import reproducible_config
from .sections import checklist_sections, method


def report_files(result: StudyResult, run_folder: Path | str) -> dict[str, bytes]:
    """{file name: content}; tables that the study does not have are left out."""
    run = RunFiles(Path(run_folder))
    files = {f"{name}.csv": to_csv(rows) for name, rows in csv_tables(result).items()}
    statement = method.data(result)
    rows = [{"Part": one.stressed.rstrip(":"), "Statement": one.text} for one in statement.bullets]
    files["data-statement.csv"] = to_csv(rows)
    for section in checklist_sections(result):
        files[f"{section.key}.csv"] = to_csv(section.table)
    for arm in result.arms:
        if run.curves(arm).exists():
            files[f"curves-{arm_file(arm)}.csv"] = read_bytes(run.curves(arm))
    for path in (run.predictions, run.decisions):
        if path.exists():
            files[f"{path.stem}.csv"] = _predictions(path, result.classes)
    if run.marks.exists():
        rows = list(csv.DictReader(io.StringIO(run.marks.read_text("utf-8"), newline="")))
        files["marks.csv"] = to_csv(rows)
    files["study.json"] = _json(to_json(result))
    files["config.json"] = _json(reproducible_config(result, run.root))
    if published := publication_of(run):
        files["terms.txt"] = f"{published.about.name}\n{published.about.note}\n".encode()
    return files


def archive(files: Mapping[str, bytes]) -> bytes:
    """The files as one ZIP, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            handle.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _predictions(path: Path, classes: Sequence[str]) -> bytes:
    """A table of images as CSV, classes by their names: label, and p_0 … as p_NAME."""
    table = pd.read_parquet(path)
    for column in [name for name in table if name == "label" or name.startswith("decision:")]:
        table[column] = [classes[c] if 0 <= c < len(classes) else "" for c in table[column]]
    table = table.rename(columns={f"p_{i}": f"p_{name}" for i, name in enumerate(classes)})
    return safe_table(table).to_csv(index=False).encode("utf-8-sig")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
