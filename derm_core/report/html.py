"""A study as one HTML file that needs nothing else: verdict, tables, figures, method, and how to make it again.

    text = report_html(study, run_folder)               no image of the dataset
    text = report_html(study, run_folder, images=24)    and so many test images, drawn at random

The page loads nothing from anywhere and its policy forbids it to. What a user wrote (name, tags and
note in the run's about.json, class names, attributes) is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .. import formatting
from ..files import read_json
from ..workspace import RunFiles, Workspace
from . import html_parts, sections, tables
from .method import conditions, method
from .reproduce import commands, reproducible_config


def report_html(study: Mapping[str, Any], run_folder: Path | str, *, images: int = 0) -> str:
    """The report of study.json `study`, whose run lies in `run_folder` (curves, about.json).

    images: so many test images are shown as well, if their dataset is still in the workspace; then the
    file holds data that its licence may keep from being passed on, and says so. About 5 MB of HTML.
    """
    folder, safe = Path(run_folder), html_parts.escaped(study)
    about = _about(folder)
    title = about["name"] or f"{study['dataset']['name']}, {study['run_id']}"
    return html_parts.document(
        title,
        "".join(
            (
                _head(study, about, title),
                sections.verdict(study),
                sections.metrics(study),
                sections.claims(study),
                sections.gaps(study, safe),
                sections.curves(study, _curves(study, folder)),
                sections.paper(study),
                sections.differences(study, safe),
                sections.classes(study, safe),
                sections.questions(study, safe),
                sections.detail(study, safe),
                _pictures(study, folder, images),
                _method(study),
                _again(study, folder),
            )
        ),
    )


def _about(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / "about.json")
    except (OSError, ValueError):
        found = {}
    return {
        "name": found.get("name", ""),
        "tags": found.get("tags", []),
        "note": found.get("note", ""),
    }


def _head(study: Mapping[str, Any], about: Mapping[str, Any], title: str) -> str:
    tags = f"Tags: {' · '.join(about['tags'])}" if about["tags"] else ""
    return "".join(
        (
            html_parts.paragraph(formatting.NOTICE, "notice"),
            f"<h1>{html_parts.text(title)}</h1>",
            html_parts.paragraph(conditions(study), "soft"),
            html_parts.paragraph(tags, "soft"),
            html_parts.paragraph(about["note"], "note"),
        )
    )


def _curves(study: Mapping[str, Any], folder: Path) -> dict[str, pd.DataFrame]:
    paths = {arm: RunFiles(folder).curves(arm) for arm in tables.arms(study)}
    return {arm: pd.read_csv(path) for arm, path in paths.items() if path.exists()}


def _pictures(study: Mapping[str, Any], folder: Path, count: int) -> str:
    if count <= 0:
        return ""
    from .pictures import test_images

    shown, terms = test_images(study, Workspace(folder.resolve().parents[1]), folder, count)
    tiles = "".join(
        f'<figure><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'
        for source, told in ((source, html_parts.text(told)) for source, told in shown)
    )
    return html_parts.section(
        "Test images, drawn at random",
        html_parts.paragraph(f"Terms of these images: {terms}", "note"),
        html_parts.paragraph("Each arm with its most probable class, mean over seeds.", "soft"),
        f'<div class="pictures">{tiles}</div>',
    )


def _method(study: Mapping[str, Any]) -> str:
    settings = (
        tables.settings(study)
        if study["config"].get("regime") == "frozen" and "folds" not in study
        else []
    )
    return html_parts.section(
        "Method",
        html_parts.bullets(method(study)),
        html_parts.table(
            settings,
            f"Settings of every arm: learning rate, weight decay. {tables.EDGE} at the edge of the grid.",
        ),
        html_parts.table(
            tables.folds(study)[1],
            "Every fold: balanced accuracy of each arm, and its accuracy gap at the final epoch",
        ),
    )


def _again(study: Mapping[str, Any], folder: Path) -> str:
    config = json.dumps(reproducible_config(study, folder), indent=1, ensure_ascii=False)
    return html_parts.section(
        "To make it again",
        html_parts.paragraph(
            "The configuration below holds every value."
            if study.get("kind") == "evaluate"
            else "Save the configuration below as config.json, then:"
        ),
        f"<pre>{html_parts.text(chr(10).join(commands(study)))}</pre>",
        f"<details><summary>config.json</summary><pre>{html_parts.text(config)}</pre></details>",
    )
