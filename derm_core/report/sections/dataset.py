"""A dataset: classes, what its import assumed, cautions, groups and splits, data statement, what was left out."""

from __future__ import annotations

import time
from pathlib import Path

from ...data.audit import Audit
from ...data.cautions import UNKNOWN, describe_groups, sort_notes
from ...data.dataset_facts import DatasetFacts, listed_counts
from ...data.splits import SPLITS
from ...formatting import count, percent
from ..section import Bullet, Row, Section
from ..templating import words

UNSTATED = "not known"
LEFT_OUT = 200  # files that are named; all are counted
SPLIT_NAMES = {"train": "Training", "val": "Validation", "test": "Test", "": "In no part"}
# Of a data statement: what a reader asks, and the attribute that answers.
ASKED = {
    "Reference standard": "confirmation",
    "Body site": "site",
    "Skin type": "skin_type",
    "Sex": "sex",
}


def dataset_sections(facts: DatasetFacts, audit: Audit) -> list[Section]:
    """All sections of the report of an import.

    Args:
        facts: of the dataset.
        audit: of its grouped split.
    """
    sections = [
        _cautions(facts, audit),
        _classes(facts, audit),
        _splits(facts, audit),
        _statement(facts),
        _resolution(facts),
        _assumptions(facts),
        _left_out(facts),
    ]
    return [section for section in sections if section]


def _cautions(facts: DatasetFacts, audit: Audit) -> Section | None:
    limits, _ = sort_notes(facts.notes)
    sentences = list(dict.fromkeys((*audit.cautions, *limits)))
    if not sentences:
        return None
    return Section(**words("dataset-cautions"), bullets=tuple(map(Bullet, sentences)))


def _classes(facts: DatasetFacts, audit: Audit) -> Section:
    meanings = facts.class_descriptions
    labelled = sum(facts.class_counts.values())
    rows: list[Row] = [
        {
            "Class": name,
            **({"Meaning": meanings.get(name, "–")} if meanings else {}),
            "Images": f"{images:,}",
            "Share": percent(images / max(labelled, 1)),
            **{SPLIT_NAMES[one]: f"{audit.splits[one].classes[name]:,}" for one in SPLITS},
        }
        for name, images in facts.class_counts.items()
    ]
    number = len(facts.class_counts)
    finding = f"{facts.images:,} images, {number:,} {'class' if number == 1 else 'classes'}"
    finding += f"; {facts.unlabelled:,} images without a label."
    return Section(**words("dataset-classes"), finding=finding, table=rows)


def _splits(facts: DatasetFacts, audit: Audit) -> Section:
    twice = audit.duplicate_images_across_splits
    crossing = audit.groups_across_splits
    if crossing is None:
        finding = f"{UNKNOWN}. Equal images in more than one split: {twice}."
    else:
        finding = (
            f"Groups in more than one split: {crossing}. Equal images in more than one: {twice}."
        )
    rows: list[Row] = [
        {
            "Split": SPLIT_NAMES[name],
            "Images": f"{part.images:,}",
            "Groups": f"{part.groups:,}" if audit.groups_known else UNSTATED,
        }
        for name, part in audit.splits.items()
    ]
    text = [f"Groups: {describe_groups(facts.groups, facts.group_kinds)}."]
    if facts.splits:
        text.append(f"The data's own, official split: {listed_counts(facts.splits, SPLIT_NAMES)}.")
    section = words("dataset-splits")
    return Section(**section, finding=finding, text=tuple(text), table=rows)


def _statement(facts: DatasetFacts) -> Section:
    answers = {
        "Source": Path(facts.imported_from).name or UNSTATED,
        "Imported": time.strftime("%Y-%m-%d", time.localtime(facts.created)),
        "Licence": facts.license or UNSTATED,
        "Citation": facts.citation or UNSTATED,
        **{
            question: listed_counts(facts.attributes.get(name, {}), {"": UNSTATED}) or UNSTATED
            for question, name in ASKED.items()
        },
    }
    rows: list[Row] = [{"Question": key, "Answer": value} for key, value in answers.items()]
    return Section(**words("dataset-statement"), table=rows)


def _resolution(facts: DatasetFacts) -> Section:
    resolution = facts.resolution
    sizes = {
        **resolution.common,
        **({"other sizes": resolution.others} if resolution.others else {}),
    }
    rows: list[Row] = [
        {"Width × height": size, "Images": f"{n:,}", "Share": percent(n / facts.images)}
        for size, n in sizes.items()
    ]
    shares = [f"{size} px: {percent(n / facts.images)}" for size, n in resolution.below.items()]
    text = (
        f"Shorter side: median {resolution.median_side} px, from {resolution.smallest_side} to "
        f"{resolution.largest_side} px. Images that a network's input of a size enlarges, since "
        f"they are smaller: {', '.join(shares)}."
    )
    return Section(**words("dataset-resolution"), text=(text,), table=rows)


def _assumptions(facts: DatasetFacts) -> Section:
    _, notes = sort_notes(facts.notes)
    taken = [Bullet(value, stressed=f"{name.capitalize()}:") for name, value in facts.taken()]
    return Section(**words("dataset-assumptions"), bullets=(*taken, *map(Bullet, notes)))


def _left_out(facts: DatasetFacts) -> Section | None:
    if not facts.skipped:
        return None
    rows: list[Row] = [{"File": one.path, "Reason": one.reason} for one in facts.skipped[:LEFT_OUT]]
    more = len(facts.skipped) - len(rows)
    return Section(
        **words("dataset-left-out"),
        finding=f"{count(len(facts.skipped), 'file')} left out.",
        table=rows,
        table_caption=f"And {more:,} more; `data show --json` lists them all." if more else "",
    )
