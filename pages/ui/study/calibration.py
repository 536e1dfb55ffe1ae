"""Calibration, the operating point, subgroups."""

from __future__ import annotations

import streamlit as st

from derm_core.report import figures, question_figures, question_tables, tables
from pages.ui import frame, words
from pages.ui.study import parts

SIDE_BY_SIDE = 8  # attributes; more stand in a list
OLDER = "This study was made before its kind looked closer at the test set; a new one has it."


def calibration(workspace, run_id: str, study: dict) -> None:
    found = (study.get("detail") or {}).get("calibration")
    if not found:
        st.caption(OLDER)
        return
    st.subheader("Calibration", anchor=False)
    after = st.segmented_control(
        "Probabilities",
        ["before", "after"],
        default="before",
        required=True,
        key="tempered",
        format_func={"before": "As trained", "after": "After temperature scaling"}.get,
    )
    bins = {
        arm: entry["bins" if after == "before" else "bins_after"] for arm, entry in found.items()
    }
    numbers, text = question_tables.calibration(study)
    notes = study["detail"].get("notes") or {}
    frame.show_chart(
        question_figures.reliability(bins, parts.names(study)),
        numbers,
        key=f"reliability-{after}",
        caption="On the dashed line a model is right as often as it says; below it is too sure of itself. A dot is a "
        "fifteenth of the test predictions.",
        alt="Reliability diagram. "
        + " ".join(
            f"{tables.name(study, arm)}: calibration error "
            f"{words.percent(entry[after]['ece'].get('mean'))}."
            for arm, entry in found.items()
        ),
    )
    parts.table(
        study,
        numbers,
        text,
        file="calibration",
        alt="Calibration before and after temperature scaling",
        caption=f"{notes.get('calibration', '')} Calibration error is debiased; 95 % intervals.".strip(),
    )
    operating(study)


def operating(study: dict) -> None:
    point = study["detail"].get("operating_point")
    if not point:
        st.caption(
            "No operating point: none of this dataset’s classes is melanoma or a high priority."
        )
        return
    st.subheader(f"Operating point: {words.plain(point['class'])}", anchor=False)
    percent = st.slider(
        "Specificity",
        50,
        100,
        90,
        1,
        format="%d %%",
        key="specificity",
        bind="query-params",
        help="The share of all other images that is to be left alone.",
    )
    numbers, text = question_tables.operating_point(study, percent / 100)
    notes = study["detail"].get("notes") or {}
    frame.show_chart(
        question_figures.operating_curves(point, percent / 100, parts.names(study)),
        numbers,
        key="operating",
        caption=f"How many of the {point['images']:,} images ({words.count(point['groups'], 'group')}) of "
        f"{words.plain(point['class'])} are found at each specificity. Bands: 95 % intervals.",
        alt=f"Sensitivity for {point['class']} by specificity for every arm.",
    )
    st.table(
        text,
        border="horizontal",
        hide_index=True,
        alt=f"Sensitivity at {percent} per cent specificity",
    )
    st.caption(
        f"Sensitivity: on the test set’s own curve at {percent} % specificity. A model in use has its threshold from "
        f"elsewhere: beside it what the threshold that gave {percent} % on validation gives on test. "
        f"{notes.get('operating_point', '')}"
    )


def subgroups(workspace, run_id: str, study: dict) -> None:
    if "detail" not in study:
        st.caption(OLDER)
        return
    st.subheader("Subgroups", anchor=False)
    entries = study["detail"].get("subgroups") or []
    if not entries:
        st.caption(
            "The manifest of this dataset has no attributes: age, sex, site, skin type or source would be compared "
            "here."
        )
        return
    known = {entry["attribute"]: entry for entry in entries}
    side_by_side = len(known) <= SIDE_BY_SIDE
    attribute = frame.linked(
        "Attribute",
        list(known),
        "attribute",
        always=False,
        **({"widget": st.segmented_control, "required": True} if side_by_side else {"width": 320}),
        format_func=lambda key: key.replace("_", " ").capitalize(),
    )
    numbers, worst = question_tables.subgroups(study)
    rows = question_tables.subgroup_rows(study, attribute)
    few = [row for row in known[attribute]["values"] if row["caution"]]
    frame.show_chart(
        figures.dots(
            rows, title=f"Balanced accuracy by {attribute.replace('_', ' ')}", x="Balanced accuracy"
        ),
        numbers[numbers["attribute"] == attribute],
        key=f"subgroups-{attribute}",
        caption="In brackets the test images. "
        + (
            f"Pale: fewer than 20 groups "
            f"({', '.join(words.plain(row['value']) + ': ' + str(row['groups']) for row in few)}); do not read much into "
            "those."
            if few
            else "Every subgroup has at least 20 groups."
        ),
        alt=f"Balanced accuracy of every arm by {attribute}.",
    )
    st.markdown("**Worst subgroup of each attribute**")
    parts.table(
        study,
        numbers,
        worst.map(lambda text: words.plain(text) if isinstance(text, str) else text),
        file="subgroups",
        alt="The subgroup with the lowest balanced accuracy, by attribute and arm",
        caption=(study["detail"].get("notes") or {}).get("subgroups", ""),
    )
