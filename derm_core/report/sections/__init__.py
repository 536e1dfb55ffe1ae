"""The sections of a result. Each module makes those of one question; all of them in order stand here.

A function that takes a StudyResult returns a Section, or None where the study has nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from ...glossary import TERMS
from ...study.study_result import StudyResult
from ..section import Section
from ..templating import words
from . import (
    calibration,
    checklists,
    classes,
    clinical,
    cost,
    curves,
    external,
    gaps,
    labels,
    leaderboard,
    linear_head,
    method,
    metrics,
    networks,
    paper,
    protocol,
    robustness,
    saliency,
    shortcut,
    subgroups,
    verdict,
)
from .method import conditions
from .parts import styles

__all__ = [
    "all_sections",
    "checklist_sections",
    "conditions",
    "method_sections",
    "terminal_sections",
    "terms_section",
]


MOST_ARMS = 6  # with a panel each for three quantities by epoch; more have two, the CSV has all


def all_sections(result: StudyResult, tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Every section but those of the method, for one document.

    Args:
        result: study.json.
        tables: the learning curves of each arm.
    """
    quantities = ("loss", "accuracy") + ("balanced_accuracy",) * (len(tables) <= MOST_ARMS)
    if not tables:
        quantities = ()
    learning = [curves.learning_curves(tables, quantity, styles(result)) for quantity in quantities]
    groups = result.detail.subgroups
    by_attribute = [subgroups.by_attribute(result, group) for group in groups]
    differences = [
        metrics.differences(result),
        metrics.all_pairs(result),
        metrics.sensitivity(result),
        metrics.mcnemar(result),
    ]
    return _there(
        [
            verdict.headline(result),
            verdict.sentences(result),
            verdict.notes(result),
            *verdict.background(result),
            *leaderboard.leaderboard(result),
            metrics.arm_metrics(result),
            metrics.decisions(result),
            networks.networks(result),
            *(networks.accuracy_against(result, axis) for axis in networks.AXES),
            *_titled("Gap against accuracy", _gap_sections(result)),
            *_titled("Learning curves", learning),
            *paper.paper_table(result),
            *_titled("Differences between arms", differences),
            *_titled("Classes", [classes.recall(result), classes.confusion(result)]),
            linear_head.linear_head(result),
            labels.label_efficiency(result),
            robustness.corruptions(result),
            robustness.loss_differences(result),
            robustness.all_losses(result),
            *shortcut.shortcut(result),
            saliency.saliency_inside(result),
            external.external(result),
            *(section for one in result.external for section in external.one_set(result, one)),
            calibration.calibration(result),
            clinical.recalibration(result),
            calibration.operating_point(result),
            clinical.fixed_specificity(result),
            clinical.net_benefit(result),
            *_titled(
                "Subgroups",
                [*by_attribute, subgroups.contrasts(result, groups), subgroups.lowest(result)],
            ),
            classes.disagreements(result),
        ]
    )


def method_sections(result: StudyResult) -> list[Section]:
    """How the study was made."""
    return _there(
        [
            method.data(result),
            method.method(result),
            protocol.protocol(result),
            method.settings(result),
            method.folds(result),
            cost.cost(result),
        ]
    )


def terms_section(parts: Iterable[Section]) -> Section:
    """The terms that these sections name, in the order of the glossary."""
    named = {key for section in parts for key in section.terms}
    rows = [
        {"Term": term.name, "Meaning": term.text.replace("`", ""), "Source": term.source}
        for term in TERMS.values()
        if term.key in named
    ]
    return Section(**words("terms"), table=rows)


def checklist_sections(result: StudyResult) -> list[Section]:
    """TRIPOD+AI and CLAIM, with the sections of this report that answer their items."""
    return checklists.checklists(result, [*all_sections(result, {}), *method_sections(result)])


def terminal_sections(result: StudyResult) -> list[Section]:
    """What stands in a terminal: the answer, its main numbers, the paper's table, settings."""
    gap = Section(
        **words("accuracy-with-gap"),
        table=metrics.accuracy_with_gap(result),
    )
    return _there(
        [
            verdict.headline(result),
            verdict.sentences(result),
            verdict.notes(result),
            *verdict.background(result),
            leaderboard.short_leaderboard(result),
            gap,
            metrics.arm_metrics(result),
            networks.networks(result),
            clinical.fixed_specificity(result),
            clinical.net_benefit(result),
            clinical.recalibration(result),
            linear_head.linear_head(result),
            saliency.saliency_inside(result),
            subgroups.contrasts(result, result.detail.subgroups),
            *paper.paper_table(result)[:1],
            external.external(result),
            method.settings(result),
            method.folds(result),
            cost.cost(result),
        ]
    )


def _gap_sections(result: StudyResult) -> list[Section | None]:
    return [
        *(
            of_kind(result, kind)
            for kind in gaps.KINDS
            for of_kind in (gaps.gap_against_accuracy, gaps.gap_differences)
        ),
        gaps.matched_gaps(result),
        gaps.gaps_at_all_moments(result),
    ]


def _titled(title: str, sections: Iterable[Section | None]) -> list[Section]:
    """The sections below one heading; nothing where there is none."""
    there = _there(sections)
    return [Section(key=f"heading-{title}", title=title), *there] if there else []


def _there(sections: Iterable[Section | None]) -> list[Section]:
    return [section for section in sections if section is not None]
