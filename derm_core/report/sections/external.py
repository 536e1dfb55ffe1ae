"""How the arms do on test sets of other cameras and clinics."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import count, interval, points
from ...stats.evaluation import Metrics
from ...study.answers import ExternalSet
from ...study.external_cautions import external_cautions, short_cautions
from ...study.study_result import StudyResult
from ..charts import Dot, dots, forest
from ..csv_tables import csv_table
from ..section import Bullet, Section
from ..templating import words
from . import subgroups
from .parts import (
    arm_results,
    describe_looks,
    forest_rows,
    forest_text,
    group_count,
    of_metric,
    of_the_verdict,
    style,
)


def external(result: StudyResult) -> Section | None:
    """Balanced accuracy on the study's own test set and on every other."""
    if not result.external:
        return None
    return Section(
        **words("external"),
        bullets=tuple(
            Bullet(f"{'; '.join(limits)}.", stressed=f"{one.dataset}:")
            for one in result.external
            if (limits := short_cautions(one, result.dataset))
        ),
        figure=lambda: dots(
            external_dots(result),
            title="Balanced accuracy on every test set",
            x="Balanced accuracy",
        ),
        table=[
            {
                "Set": one.dataset,
                "Arm": style(result, arm),
                "Balanced accuracy": interval(tested.get("balanced_accuracy")),
                "Macro-AUROC": interval(tested.get("macro_auroc"), "macro_auroc"),
                "Drop, points": points(one.drop.get(arm)),
            }
            for one in result.external
            for arm, tested in _with_majority(one)
        ],
        numbers=partial(csv_table, result, "external"),
    )


def _with_majority(one: ExternalSet) -> list[tuple[str, Metrics]]:
    """The metrics of every arm in its order, then of the majority class where they were measured."""
    tested = [(arm, one.arms[arm]) for arm in in_order(one.arms)]
    return [*tested, ("majority", one.majority)] if one.majority else tested


def external_dots(result: StudyResult) -> list[Dot]:
    """Balanced accuracy of every arm on the study's own test set, then on every other."""
    own = f"{result.dataset.name}, test"
    images = result.split.counts.get("test")
    return [
        Dot(style, own, entry.test["balanced_accuracy"], images)
        for style, entry in arm_results(result)
    ] + [
        Dot(style(result, arm), one.dataset, one.arms[arm]["balanced_accuracy"], one.images)
        for one in result.external
        for arm in in_order(one.arms)
    ]


def one_external(result: StudyResult, one: ExternalSet) -> Section:
    """How one set's classes were read, what is missing there, and the paired differences on it."""
    lines = [", ".join(f"{theirs} → {ours}" for theirs, ours in one.map.items())]
    lines = [f"Classes: {line}." for line in lines if line]
    if one.left_out:
        left_out = ", ".join(f"{name} ({images:,})" for name, images in one.left_out.items())
        lines.append(f"Left out: {left_out}.")
    if one.absent:
        absent = ", ".join(one.absent)
        lines.append(f"Without images there: {absent}; a decision for one of them is an error.")
    if one.looks:
        lines.append(f"Its images were {describe_looks(one.looks)}.")
    lines += [line for line in (one.note, *external_cautions(one, result.dataset)) if line]
    size = f"{count(one.images, 'image')}, {group_count(one.groups, one.groups_known)}"
    differences = of_metric(one.differences, "balanced_accuracy")
    rows = forest_rows(result, of_the_verdict(result, differences))
    return Section(
        **words("external-forest", one=one, size=size, rows=forest_text(rows)),
        text=tuple(lines),
        figure=(lambda: forest(rows, "balanced accuracy")) if rows else None,
        numbers=partial(csv_table, result, "external-differences", dataset=one.dataset),
    )


def one_set(result: StudyResult, one: ExternalSet) -> list[Section]:
    """One set: its classes and differences, then its subgroups."""
    parts = [subgroups.by_attribute(result, group, one) for group in one.subgroups]
    tests = subgroups.contrasts(result, one.subgroups, one)
    return [one_external(result, one), *parts, *([tests] if tests else [])]
