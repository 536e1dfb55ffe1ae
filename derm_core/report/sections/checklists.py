"""The reporting checklists TRIPOD+AI and CLAIM, filled from a study's records.

The items are data (templates/tripod_ai.toml, templates/claim.toml). What the product cannot know is
left to the authors; what the study did not ask is "not done".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from ...data.cautions import describe_groups
from ...data.official_split import describe_official
from ...formatting import count
from ...records import from_json
from ...stats.evaluation import PRIMARY
from ...study.study_result import StudyResult
from ..section import Row, Section
from ..templating import FOLDER, TEMPLATES, words
from .parts import describe_excluded, of_metric, software, styles

CHECKLISTS = ("tripod_ai", "claim")
ANSWERED, IN_PART, AUTHORS, NOT_DONE = "answered", "in part", "authors", "not done"
TO_FILL_IN = "To be filled in by the authors."


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Args:
        answer: template of the answer; empty text where there is none.
        where: beginnings of the keys of the sections that hold it.
        authors: whether the product cannot know it, or not all of it.
    """

    number: str
    item: str
    answer: str = ""
    where: tuple[str, ...] = ()
    authors: bool = False


@dataclass(frozen=True)
class Checklist:
    """A published checklist with its items in our words."""

    name: str
    citation: str
    item: tuple[Item, ...]


def read_checklist(name: str) -> Checklist:
    """One of CHECKLISTS."""
    body = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return from_json(Checklist, body)


def checklists(result: StudyResult, report: Sequence[Section]) -> list[Section]:
    """Both checklists; none for an evaluation of published models.

    Args:
        result: of a study.
        report: the sections of its report, where answers are.
    """
    if result.kind == "evaluate":
        return []
    titles = {one.key: one.title or one.table_title for one in report}
    facts, sections = checklist_facts(result), []
    for name in CHECKLISTS:
        listed = read_checklist(name)
        rows = [_row(item, facts, titles) for item in listed.item]
        open_items = sum(row["Status"] == NOT_DONE for row in rows)
        sections.append(
            Section(
                **words("checklist", name=name.replace("_", "-"), listed=listed),
                finding=f"{len(rows)} items; {open_items} not done.",
                table=rows,
                numbers=partial(pd.DataFrame, rows),
            )
        )
    return sections


def _row(item: Item, facts: Mapping[str, Any], titles: Mapping[str, str]) -> Row:
    answer = TEMPLATES.from_string(item.answer).render(facts).strip()
    where = [title for key, title in titles.items() if key.startswith(item.where)]
    if item.where and not where:
        answer = ""
    status = ANSWERED if answer else NOT_DONE
    if item.authors:
        status = IN_PART if answer else AUTHORS
    return {
        "Item": item.number,
        "Asked": item.item,
        "Status": status,
        "Answer": " ".join(filter(None, (answer, TO_FILL_IN if item.authors else ""))) or "–",
        "Where": "; ".join(dict.fromkeys(filter(None, where))) if answer and where else "–",
    }


def checklist_facts(result: StudyResult) -> dict[str, Any]:
    """What the templates of the answers may use."""
    config, split, data = result.config, result.split, result.dataset
    backbone = config["backbone"]
    names = {arm: one.name for arm, one in styles(result).items()}
    primary = next(iter(of_metric(result.differences, "balanced_accuracy")), None)
    a, b = (primary.a, primary.b) if primary else PRIMARY
    named = bool(primary and primary.primary)
    detectable = primary.detectable if primary and named else None
    point = result.detail.operating_point
    return {
        "result": result,
        "config": config,
        "data": data,
        "split": split,
        "protocol": result.protocol,
        "arms": list(names.values()),
        "classes": result.classes,
        "network": f"{backbone['architecture']} to stage {backbone['stage']}",
        "size": config["input_size"],
        "frozen": config["regime"] == "frozen",
        "external": [one.dataset for one in result.external],
        "attributes": [f"{name} ({n:,})" for name, n in (data.attributes or {}).items()],
        "measured": [one.attribute.replace("_", " ") for one in result.detail.subgroups],
        "exclusions": describe_excluded(data),
        "partitions": _partitions(result),
        "disjoint": _disjoint(result),
        "robustness": _robustness(result),
        "detectable": f"{100 * detectable:.1f}" if detectable else "",
        "point": point.class_name if point else "",
        "named": named,
        "primary": f"{'Primary test' if named else 'In place of the primary test, and corrected with the others'}: "
        f"{names.get(a, a)} − {names.get(b, b)} in balanced accuracy."
        if primary
        else "",
        "headline": result.verdict.headline,
        "cautions": result.cautions,
        "versions": software(result.versions),
    }


def _partitions(result: StudyResult) -> str:
    counts = result.split.counts
    if result.split.folds:
        return f"{result.split.folds} folds; every one of {count(counts['test'], 'image')} is tested in one."
    sizes = ", ".join(f"{part} {counts[part]:,}" for part in ("train", "val", "test"))
    return f"Images: {sizes}."


def _disjoint(result: StudyResult) -> str:
    official, data = result.split.official, result.dataset
    if official:
        return describe_official(official)
    if data.groups_known is False:
        return "Images: no patient and no lesion is known; copies stay together."
    of = "what they are is not recorded"
    if data.group_kinds is not None:
        of = describe_groups(data.groups, data.group_kinds)
    return f"Groups: {of}. None crosses partitions."


def _robustness(result: StudyResult) -> list[str]:
    """What was done beyond the main tables to see whether the result holds."""
    done = {
        "image corruptions at five strengths": result.robustness,
        "a tuned linear head in place of the one with two layers": result.linear_head,
        "other tests of the same differences": result.sensitivity,
    }
    return [name for name, answer in done.items() if answer]
