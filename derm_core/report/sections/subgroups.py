"""Balanced accuracy by age, sex, site, skin type and whatever else the manifest knows, with tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...arms import in_order
from ...formatting import interval, p_value, points
from ...study.answers import ExternalSet, Subgroups
from ...study.clinical_answers import SubgroupTest
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


def by_attribute(
    result: StudyResult, group: Subgroups, external: ExternalSet | None = None
) -> Section:
    """Balanced accuracy of every arm by the values of one attribute; values of few groups are pale.

    external: the set whose images these are, where they are not the study's own.
    """
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
    own, chosen = (
        ("external-subgroups", {"dataset": external.dataset}) if external else ("subgroups", {})
    )
    return Section(
        **words(
            "subgroups-of",
            key=f"{group.attribute}-{external.dataset}" if external else group.attribute,
            name=f"{name}, {external.dataset}" if external else name,
            pale=pale if few else ALL_LARGE,
        ),
        figure=lambda: dots(marks, title=f"Balanced accuracy by {name}", x="Balanced accuracy"),
        table=one_column_an_arm(result, attribute_name(group.attribute), cells),
        numbers=partial(csv_table, result, own, attribute=group.attribute, **chosen),
    )


def lowest(result: StudyResult) -> Section | None:
    """The subgroup with the lowest estimate, by attribute and arm; called the worst only where a test shows it."""
    if not result.detail.subgroups:
        return None
    cells = [
        (attribute_name(group.attribute), arm, _lowest(group, arm))
        for group in result.detail.subgroups
        for arm in in_order(group.worst)
    ]
    return Section(
        **words("subgroups", note=result.detail.notes.get("subgroups", "")),
        table=one_column_an_arm(result, "Attribute", cells),
        numbers=partial(csv_table, result, "subgroups"),
    )


def _lowest(group: Subgroups, arm: str) -> str:
    value = group.worst[arm]
    return f"{value} (worst)" if group.is_worst(arm) else value or "–"


def contrasts(
    result: StudyResult, groups: Sequence[Subgroups], external: ExternalSet | None = None
) -> Section | None:
    """For each attribute and arm: does balanced accuracy, and does the difference to the opponent, depend on it?"""
    rows = [row for group in groups for row in group.tests]
    if not rows:
        return None
    opponent = next((row.opponent for row in rows if row.opponent), None)
    table = [
        {"Attribute": attribute_name(group.attribute), "Arm": style(result, arm)}
        | _answer("Clearest difference from the rest, points", group.tests, arm, None)
        | (
            _answer(
                f"Clearest change of the difference to {style(result, opponent).brief}, points",
                group.tests,
                arm,
                opponent,
            )
            if opponent
            else {}
        )
        for group in groups
        for arm in in_order({row.arm for row in group.tests})
    ]
    name, chosen = (
        ("external-subgroup-tests", {"dataset": external.dataset})
        if external
        else ("subgroup-tests", {})
    )
    return Section(
        **words(
            "subgroup-tests",
            key=f"-{external.dataset}" if external else "",
            finding=_finding(result, groups),
        ),
        table=table,
        numbers=partial(csv_table, result, name, **chosen),
    )


def _answer(
    heading: str, rows: Sequence[SubgroupTest], arm: str, opponent: str | None
) -> dict[str, str]:
    """The contrast with the smallest p, and that p."""
    own = [row for row in rows if (row.arm, row.opponent) == (arm, opponent) and row.p is not None]
    first = min(own, key=lambda row: row.p or 0.0, default=None)
    p = "p, interaction" if opponent else "p"
    if first is None:
        return {heading: "–", p: "–"}
    return {heading: f"{first.value}: {points(first.change)}", p: p_value(first.p_holm)}


def _finding(result: StudyResult, groups: Sequence[Subgroups]) -> str:
    """Which attributes the arms' balanced accuracy, and which their differences, are shown to depend on."""
    shown = [
        {group.attribute for group in groups for row in group.tests if row.differs and of(row)}
        for of in (lambda row: row.opponent is None, lambda row: row.opponent is not None)
    ]
    own, pairs = (", ".join(sorted(name.replace("_", " ") for name in names)) for names in shown)
    first = (
        f"Balanced accuracy of one arm or more differs by {own}."
        if own
        else "No subgroup is shown to differ."
    )
    opponent = next((row.opponent for group in groups for row in group.tests if row.opponent), None)
    if opponent is None:
        return first
    name = style(result, opponent).brief
    second = (
        f"The difference of one arm or more to {name} depends on {pairs}."
        if pairs
        else f"No difference to {name} is shown to depend on a subgroup."
    )
    return f"{first} {second}"
