"""The tabs of Compare: each chooses the sections it draws and offers the choices between them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from derm_core.formatting import QUANTITIES, family
from derm_core.report.sections import (
    calibration,
    clinical,
    curves,
    external,
    gaps,
    labels,
    linear_head,
    metrics,
    networks,
    paper,
    robustness,
    saliency,
    shortcut,
    subgroups,
    verdict,
)
from derm_core.report.sections.parts import styles
from derm_core.study.study_result import StudyResult
from derm_core.workspace import Workspace
from pages.ui import cached, frame, words
from pages.ui.glossary import heading
from pages.ui.section import draw

SIDE_BY_SIDE = 8  # attributes; more stand in a list
OLDER = "An earlier version made this study, without this analysis; a new study has it."


def overview_tab(workspace: Workspace, result: StudyResult) -> None:
    """What the verdict rests on, the paper's table, learning curves, gaps."""
    draw(*verdict.background(result), *paper.paper_table(result), file=result.run_id)
    if result.paper_table:
        st.caption(f"[{paper.CITATION}](https://arxiv.org/abs/2505.16773)")
    tables = {
        arm: table
        for arm in result.arms
        if (table := cached.curves(workspace, result.run_id, arm)) is not None
    }
    if tables:
        heading("Learning curves", terms=("learning-curve", "overfitting"))
        quantity = _choice("Curves of", ("loss", "accuracy", "balanced_accuracy"), "curve")
        draw(curves.learning_curves(tables, quantity, styles(result)))
    if gaps.gap_points(result, "loss"):
        heading("Gap against accuracy", terms=("gap", "overfitting", "underfitting"))
        kind = _choice("Gap in", gaps.KINDS, "gap")
        draw(
            gaps.gap_against_accuracy(result, kind),
            gaps.gap_differences(result, kind),
            gaps.matched_gaps(result),
            gaps.gaps_at_all_moments(result),
            file=result.run_id,
        )


def differences_tab(workspace: Workspace, result: StudyResult) -> None:
    """Test metrics of every arm, the differences in one of them, and whether they depend on the head."""
    draw(metrics.arm_metrics(result), networks.networks(result), file=result.run_id)
    draw(*(networks.accuracy_against(result, axis) for axis in networks.AXES), file=result.run_id)
    if two := metrics.decisions(result):
        draw(two, file=result.run_id)
    if offered := metrics.compared_metrics(result):
        heading(
            "Differences between arms",
            terms=(
                "paired-difference",
                "holm-correction",
                "equivalence-margin",
                "detectable-difference",
                "mcnemar",
            ),
        )
        metric = frame.linked(
            "Metric",
            offered,
            "metric",
            widget=st.segmented_control,
            always=False,
            required=True,
            default="balanced_accuracy",
            format_func=QUANTITIES.get,
        )
        sections = (metrics.differences(result, metric), metrics.all_pairs(result, metric))
        others = (metrics.sensitivity(result), metrics.mcnemar(result))
        draw(*sections, *others, file=result.run_id)
    draw(linear_head.linear_head(result), saliency.saliency_inside(result), file=result.run_id)


def labels_tab(workspace: Workspace, result: StudyResult) -> None:
    """One metric by the share of labels."""
    answer = result.label_efficiency
    if answer is None:
        what = "How good the arms are when only some of the training groups have labels"
        _not_asked(result, "Fewer labels", what, "Fewer labels")
        return
    metric = _choice("Metric", labels.METRICS, "labels-metric") if answer.rows else ""
    draw(labels.label_efficiency(result, metric), file=result.run_id)


def robustness_tab(workspace: Workspace, result: StudyResult) -> None:
    """Corrupted images, and the planted shortcut."""
    if result.robustness is None:
        what = "How much accuracy the arms lose on blurred, noisy, badly lit or hairy images"
        _not_asked(result, "Corrupted images", what, "Corruptions")
    else:
        left, right = st.columns([5, 6], gap="large")
        with left:
            draw(robustness.corruptions(result))
        with right:
            families = result.robustness.families
            chosen = frame.linked(
                "Corruption", families, "family", always=False, format_func=family
            )
            draw(robustness.severities(result, chosen), robustness.loss_differences(result))
        draw(robustness.all_losses(result), file=result.run_id)
    if result.shortcut is None:
        what = (
            "How far each arm relies on an artefact that is associated with one class in training"
        )
        _not_asked(result, "A planted shortcut", what, "Planted shortcut")
    draw(*shortcut.shortcut(result), file=result.run_id)


def external_tab(workspace: Workspace, result: StudyResult) -> None:
    """External test sets."""
    if not result.external:
        what = "How good the arms are on images of another camera and another clinic"
        _not_asked(result, "External test sets", what, "External test sets")
    draw(external.external(result), file=result.run_id)
    for one in result.external:
        section, *parts = external.one_set(result, one)
        with st.expander(words.plain(section.title), icon=":material/photo_library:"):
            draw(replace(section, title=""), *parts, file=result.run_id)


def calibration_tab(workspace: Workspace, result: StudyResult) -> None:
    """Reliability, and one class called against the rest."""
    if not result.detail.calibration:
        st.caption(OLDER)
        return
    names = {"before": "As trained", "after": "After temperature scaling"}
    when = _choice("Probabilities", names, "tempered", names)
    draw(calibration.calibration(result, when), clinical.recalibration(result), file=result.run_id)
    if result.detail.operating_point is None:
        st.caption(
            "No class to detect: none of this dataset’s classes is melanoma or a high priority. Name one with "
            "`compare --target-class`."
        )
        return
    percent = st.slider(
        "Specificity",
        50,
        100,
        90,
        1,
        format="%d %%",
        key="specificity",
        bind="query-params",
        help="The share of images of all other classes that count as negative.",
    )
    draw(
        calibration.operating_point(result, percent / 100),
        clinical.fixed_specificity(result),
        clinical.net_benefit(result),
        file=result.run_id,
    )


def subgroups_tab(workspace: Workspace, result: StudyResult) -> None:
    """One attribute's subgroups, tests of all, and the lowest of each."""
    heading("Subgroups", terms=("subgroup", "holm-correction"))
    groups = {group.attribute: group for group in result.detail.subgroups}
    if not groups:
        st.caption(
            "The manifest of this dataset has no attributes: age, sex, site, skin type or source "
            "would be compared here."
            if result.detail.notes
            else OLDER
        )
        return
    few = len(groups) <= SIDE_BY_SIDE
    widget = {"widget": st.segmented_control, "required": True} if few else {"width": 320}
    attribute = frame.linked(
        "Attribute",
        list(groups),
        "attribute",
        always=False,
        format_func=subgroups.attribute_name,
        **widget,
    )
    draw(
        subgroups.by_attribute(result, groups[attribute]),
        subgroups.contrasts(result, result.detail.subgroups),
        subgroups.lowest(result),
        file=result.run_id,
    )


def _choice(label: str, options, key: str, names=QUANTITIES) -> str:
    """One of a few options beside each other; the first until another is chosen."""
    return st.segmented_control(
        label,
        list(options),
        default=next(iter(options)),
        required=True,
        key=key,
        format_func=names.get,
    )


def _not_asked(result: StudyResult, heading: str, what: str, switch: str) -> None:
    """One sentence and the way to the answer, where a study has none."""
    st.subheader(heading, anchor=False)
    frame.empty(
        f"{what} will stand here. To have it, launch the study again with **{switch}** (under All settings) or as a "
        "full study.",
        title="Not part of this study",
        icon=":material/help:",
        action="Set up a full study",
        page="train",
        primary=False,
        key=f"ask-{switch}",
        data=result.dataset.name,
        full="true",
    )
