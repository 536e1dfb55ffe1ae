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

from ..files import read_json
from ..study.arms import arm_file
from ..workspace import Workspace
from . import page, sections, tables, words
from .reproduce import commands, reproducible_config


def report_html(study: Mapping[str, Any], run_folder: Path | str, *, images: int = 0) -> str:
    """The report of study.json `study`, whose run lies in `run_folder` (curves, about.json).

    images: so many test images are shown as well, if their dataset is still in the workspace; then the
    file holds data that its licence may keep from being passed on, and says so. About 5 MB of HTML.
    """
    folder, safe = Path(run_folder), page.escaped(study)
    about = _about(folder)
    title = about["name"] or f"{study['dataset']['name']}, {study['run_id']}"
    return page.document(title, "".join((
        _head(study, about, title), sections.verdict(study), sections.metrics(study), sections.claims(study),
        sections.gaps(study, safe), sections.curves(study, _curves(study, folder)), sections.paper(study),
        sections.differences(study, safe), sections.classes(study, safe), sections.questions(study, safe),
        sections.detail(study, safe), _pictures(study, folder, images), _method(study), _again(study, folder))))


def _about(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / "about.json")
    except (OSError, ValueError):
        found = {}
    return {"name": found.get("name", ""), "tags": found.get("tags", []), "note": found.get("note", "")}


def _head(study: Mapping[str, Any], about: Mapping[str, Any], title: str) -> str:
    tags = " · ".join(about["tags"])
    return "".join((page.paragraph(words.NOTICE, "notice"), f"<h1>{page.text(title)}</h1>", page.paragraph(_conditions(study), "soft"),
                    page.paragraph(f"Tags: {tags}", "soft") if tags else "", page.paragraph(about["note"], "note") if about["note"] else ""))


def _conditions(study: Mapping[str, Any]) -> str:
    config, data, counts = study["config"], study["dataset"], study["split"]["counts"]
    regime = {"frozen": "frozen extractors, identical two-layer head", "finetune": "fine-tuned end to end"}[config["regime"]]
    return " · ".join((
        f"Run {study['run_id']}", f"{data['name']}: {data['images']:,} images, {data['groups']:,} groups, {data['classes']} classes",
        f"training {counts['train']:,}, validation {counts['val']:,}, test {counts['test']:,}",
        f"{config['backbone']['architecture']} to stage {config['backbone']['stage']} at {config['input_size']} px", regime,
        words.count(len(config["seeds"]), "seed")))


def _curves(study: Mapping[str, Any], folder: Path) -> dict[str, pd.DataFrame]:
    paths = {arm: folder / "artefacts" / "curves" / f"{arm_file(arm)}.csv" for arm in tables.arms(study)}
    return {arm: pd.read_csv(path) for arm, path in paths.items() if path.exists()}


def _pictures(study: Mapping[str, Any], folder: Path, count: int) -> str:
    if count <= 0:
        return ""
    from .pictures import test_images
    shown, terms = test_images(study, Workspace(folder.resolve().parents[1]), folder, count)
    tiles = "".join(f'<figure><img src="{source}" alt="{page.text(told)}"><figcaption>{page.text(told)}</figcaption></figure>'
                    for source, told in shown)
    return page.section("Test images, drawn at random", page.paragraph(f"Terms of these images: {terms}", "note"),
                        f'<div class="pictures">{tiles}</div>')


def _method(study: Mapping[str, Any]) -> str:
    config, split = study["config"], study["split"]
    looked = split.get("looked_before", 0)
    frozen = (
        f"Backbones stay as they are; features are pooled ({config['pooling']}), standardised with training statistics and cached. The "
        f"same head trains on each: Linear(d, {config['hidden']}), GELU, Linear; AdamW, cosine schedule, batches of {config['batch_size']}, "
        f"{config['epochs']} epochs, loss {config['loss'].replace('_', ' ')}; same initial head and order of batches per seed.")
    lines = [
        "Groups (a patient, else a lesion, else an image; duplicates join) never cross splits: 70 / 15 / 15, stratified by class, from "
        f"split seed {config['split_seed']}. Split fingerprint {split['fingerprint']}; dataset fingerprint {study['dataset']['fingerprint']}. "
        f"Groups: training {split['groups']['train']:,}, validation {split['groups']['val']:,}, test {split['groups']['test']:,}.",
        "The test split was not looked at before this study." if not looked else
        f"The test split was looked at {words.count(looked, 'time')} before this study.",
        frozen if config["regime"] == "frozen" else "Every arm is trained end to end by one schedule: " + json.dumps(config["finetune"]) + ".",
        f"Settings: {study['grid'].get('rule', 'given')}; chosen on validation, never on test.",
        f"Intervals: 95 %, {config['bootstrap']:,} resamples of groups within class, widened by the spread over seeds. Differences are paired "
        "on the same test groups; the primary one by sign flips over groups, all others Holm-corrected.",
        *(str(text) for text in ((study.get("detail") or {}).get("notes") or {}).values()),
        *(study[name]["note"] for name in ("label_efficiency", "robustness", "shortcut") if (study.get(name) or {}).get("note")),
        f"Took {words.duration(study.get('seconds'))} with " + ", ".join(f"{name} {version}" for name, version in study["versions"].items()) + "."]
    settings = tables.settings(study) if config["regime"] == "frozen" else []
    return page.section("Method", page.bullets(lines), page.table(settings, "Settings of every arm"))


def _again(study: Mapping[str, Any], folder: Path) -> str:
    config = json.dumps(reproducible_config(study, folder), indent=1, ensure_ascii=False)
    return page.section(
        "To make it again", page.paragraph("Save the configuration below as config.json, then:"),
        f"<pre>{page.text(chr(10).join(commands(study)))}</pre>",
        f"<details><summary>config.json</summary><pre>{page.text(config)}</pre></details>")
