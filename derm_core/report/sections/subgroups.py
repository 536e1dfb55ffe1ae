"""Balanced accuracy by age, sex, site and whatever else the manifest knows."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import interval
from ...study.answers import Subgroups
from ...study.study_result import StudyResult
from ..charts import Dot, dots
from ..csv_tables import csv_table
from ..section import Section
from ..templating import words
from .parts import one_column_an_arm, style

ALL_LARGE = "Every subgroup has at least 20 groups."


def attribute_name(attribute: str) -> str:
    """'Skin type' of 'skin_type'."""
    return attribute.replace("_", " ").capitalize()


def by_attribute(result: StudyResult, group: Subgroups) -> Section:
    """Balanced accuracy of every arm by the values of one attribute; values of few groups are pale."""
    name = group.attribute.replace("_", " ")
    few = ", ".join(f"{row.value}: {row.groups}" for row in group.values if row.caution)
    pale = f"Pale: fewer than 20 groups ({few}); do not read much into those."
    by_arm = [
        (row, arm, metrics["balanced_accuracy"])
        for row in group.values
        for arm, metrics in row.arms.items()
    ]
    marks = [
        Dot(style(result, arm), row.value, value, row.images, row.caution)
        for row, arm, value in by_arm
    ]
    cells = [(f"{row.value} ({row.images:,})", arm, interval(value)) for row, arm, value in by_arm]
    return Section(
        **words(
            "subgroups-of", attribute=group.attribute, name=name, pale=pale if few else ALL_LARGE
        ),
        figure=lambda: dots(marks, title=f"Balanced accuracy by {name}", x="Balanced accuracy"),
        table=one_column_an_arm(result, attribute_name(group.attribute), cells),
        numbers=partial(csv_table, result, "subgroups", attribute=group.attribute),
    )


def worst(result: StudyResult) -> Section | None:
    """The subgroup with the lowest balanced accuracy, by attribute and arm."""
    if not result.detail.subgroups:
        return None
    cells = [
        (attribute_name(group.attribute), arm, group.worst[arm] or "–")
        for group in result.detail.subgroups
        for arm in in_order(group.worst)
    ]
    return Section(
        **words("subgroups", note=result.detail.notes.get("subgroups", "")),
        table=one_column_an_arm(result, "Attribute", cells),
        numbers=partial(csv_table, result, "subgroups"),
    )
