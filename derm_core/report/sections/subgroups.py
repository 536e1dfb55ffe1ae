"""Balanced accuracy by age, sex, site and whatever else the manifest knows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...arms import in_order
from ...formatting import interval
from ...study.answers import Subgroups
from ...study.study_result import StudyResult
from ..charts import Dot, dots
from ..csv_tables import csv_table
from ..section import Section
from .parts import one_column_an_arm, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

METRIC = "balanced_accuracy"


def attribute_name(attribute: str) -> str:
    """'Skin type' of 'skin_type'."""
    return attribute.replace("_", " ").capitalize()


def by_attribute(result: StudyResult, group: Subgroups) -> Section:
    """Balanced accuracy of every arm by the values of one attribute; values of few groups are pale."""
    title = f"Balanced accuracy by {group.attribute.replace('_', ' ')}"
    few = ", ".join(f"{row.value}: {row.groups}" for row in group.values if row.caution)

    def figure() -> Figure:
        rows = [
            Dot(style(result, arm), row.value, metrics[METRIC], row.images, row.caution)
            for row in group.values
            for arm, metrics in row.arms.items()
        ]
        return dots(rows, title=title, x="Balanced accuracy")

    cells = [
        (f"{row.value} ({row.images:,})", arm, interval(metrics[METRIC]))
        for row in group.values
        for arm, metrics in row.arms.items()
    ]
    return Section(
        key=f"subgroups-{group.attribute}",
        figure=figure,
        caption="In brackets the test images. "
        + (
            f"Pale: fewer than 20 groups ({few}); do not read much into those."
            if few
            else "Every subgroup has at least 20 groups."
        ),
        alt=f"{title}, for every arm.",
        table=one_column_an_arm(result, attribute_name(group.attribute), cells),
        table_title=title,
        numbers=partial(csv_table, result, "subgroups", attribute=group.attribute),
        folded=True,
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
        key="subgroups",
        title="Worst subgroup of each attribute",
        level=3,
        table=one_column_an_arm(result, "Attribute", cells),
        table_title="The subgroup with the lowest balanced accuracy, by attribute and arm",
        table_caption=result.detail.notes.get("subgroups", ""),
        numbers=partial(csv_table, result, "subgroups"),
    )
