"""The tab of classes: recall, confusion, where two arms disagree; a chosen cell opens its images.

A cell is part of the address: ?cell=ARM~TRUTH~DECISION or ?cell=A~B~DECISION OF A~DECISION OF B.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st

from derm_core.arms import in_order
from derm_core.data.manifest import Dataset
from derm_core.errors import DermError
from derm_core.report.section import Section
from derm_core.report.sections import classes
from derm_core.report.sections.parts import pair_name, style
from derm_core.study.study_result import StudyResult
from derm_core.workspace import Workspace
from pages.ui import cached, frame, images, words
from pages.ui.glossary import heading
from pages.ui.section import draw, draw_figure, draw_table

MOST_IMAGES = 48


def classes_tab(workspace: Workspace, result: StudyResult) -> None:
    """Recall, confusion, disagreement, and the images of the cell that the address names."""
    draw(classes.recall(result))
    draw_confusions(result)
    draw_disagreement(result)
    open_cell(workspace, result)


def draw_confusions(result: StudyResult) -> None:
    """A matrix for each arm; a cell is chosen by a press or from lists."""
    arms = in_order(result.confusion)
    if not arms:
        return
    heading("Confusion", terms=("confusion-matrix", "recall", "two-decisions"))
    sections = {arm: classes.confusion_of(result, arm) for arm in arms}
    with st.grid(2, min_column_width=340):
        for arm, section in sections.items():
            with st.container():
                draw_cells(section, arm)
    st.caption(
        f"{sections[arms[0]].caption} Press a cell to see its images, by the predictions of the "
        "seed ensemble; or choose it here."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        arm = st.selectbox(
            "Arm",
            arms,
            key="confused-arm",
            width=220,
            format_func=lambda arm: style(result, arm).name,
        )
        choose_cell(
            "confused",
            arm,
            ("True class", "Predicted class"),
            result.confusion[arm],
            result.classes,
        )


def draw_disagreement(result: StudyResult) -> None:
    """What the two arms of one pair decide."""
    primary = {frozenset((row.a, row.b)) for row in result.differences if row.primary}
    listed = sorted(result.detail.disagreement, key=lambda pair: {pair.a, pair.b} not in primary)
    if not (pairs := {f"{pair.a}~{pair.b}": pair for pair in listed}):
        return
    st.subheader("Where two arms disagree", anchor=False)
    chosen = frame.linked(
        "Pair",
        list(pairs),
        "pair",
        always=False,
        format_func=lambda key: pair_name(result, pairs[key].a, pairs[key].b).replace("−", "and"),
    )
    pair = pairs[chosen]
    section = classes.disagreement(result, pair)
    left, right = st.columns([3, 2], gap="large")
    with left:
        draw_cells(section, chosen)
    with right:
        draw_table(replace(section, numbers=None))
        st.caption(f"{section.caption} Press one to see its images, or choose it here.")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            labels = [f"{style(result, arm).brief} predicts" for arm in (pair.a, pair.b)]
            choose_cell("disagreed", chosen, labels, pair.matrix, result.classes)


# ---- the images of a cell ----------------------------------------------------------------------


def draw_cells(section: Section, prefix: str) -> None:
    """A matrix whose cells open; `choose_cell` is the same by keyboard."""
    key = f"cells-{prefix}-{st.session_state.setdefault('cells-closed', 0)}"
    draw_figure(
        replace(section, title="", caption=""),
        key,
        on_select=partial(cell_pressed, key, prefix),
        selection_mode="points",
    )


def choose_cell(
    key: str,
    prefix: str,
    labels: Sequence[str],
    matrix: Sequence[Sequence[float]],
    names: Sequence[str],
) -> None:
    """Row and column from two lists, at first the most frequent error, and a button that opens the cell."""
    most = max(
        ((i, j) for i in range(len(names)) for j in range(len(names)) if i != j),
        key=lambda place: matrix[place[0]][place[1]],
    )
    places = [
        st.selectbox(
            label,
            range(len(names)),
            most[side],
            key=f"{key}-{side}",
            width=150,
            format_func=names.__getitem__,
        )
        for side, label in enumerate(labels)
    ]
    if st.button("Show images", icon=":material/photo_library:", key=f"{key}-open"):
        st.query_params["cell"] = f"{prefix}~{places[0]}~{places[1]}"


def cell_pressed(key: str, prefix: str) -> None:
    """A cell was pressed: it becomes part of the address."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points") or []
    if points:
        row, column = points[0]["customdata"][:2]
        st.query_params["cell"] = f"{prefix}~{int(row)}~{int(column)}"


def close_cell() -> None:
    """The images are put away; the matrices start anew, so that the same cell can be pressed again."""
    st.query_params.pop("cell", None)
    st.session_state["cells-closed"] = st.session_state.get("cells-closed", 0) + 1


def open_cell(workspace: Workspace, result: StudyResult) -> None:
    """The images of the cell that the address names; none where it names no cell of this study."""
    *arms, row, column = ["", *st.query_params.get("cell", "~").split("~")][1:]
    names = result.classes
    if (
        len(arms) not in (1, 2)
        or not all(arm in result.arms for arm in arms)
        or not all(place.isdigit() and int(place) < len(names) for place in (row, column))
    ):
        return
    labels, i, j = [style(result, arm).name for arm in arms], int(row), int(column)
    title = (
        f"{names[i]}, predicted as {names[j]} by {labels[0]}"
        if len(arms) == 1
        else f"{labels[0]}: {names[i]}. {labels[1]}: {names[j]}"
    )
    dialog = st.dialog(title, width="large", on_dismiss=close_cell)
    dialog(draw_images)(workspace, result, arms, i, j)


def draw_images(
    workspace: Workspace, result: StudyResult, arms: Sequence[str], i: int, j: int
) -> None:
    """The images of class i that an arm calls j, or those that one arm calls i and the other j."""
    decisions = cached.decisions(workspace, result.run_id)
    if decisions is None:
        st.markdown("This study has no predictions of single images; a new one has them.")
        return
    first, second = ("label", *(f"decision:{arm}" for arm in arms))[-2:]
    rows = decisions[(decisions[first] == i) & (decisions[second] == j)]
    rows = rows.sort_values(f"confidence:{arms[-1]}", ascending=False)
    dataset = study_dataset(workspace, result)
    if not len(rows):
        st.markdown("The seed ensemble predicts no image this way; single seeds do.")
    elif dataset is None:
        st.markdown(
            f"{words.count(len(rows), 'image')}. Dataset {words.plain(result.dataset.name)}, as "
            "this study used it, is not on this machine: its images cannot be shown."
        )
    else:
        st.caption(
            f"{words.count(len(rows), 'test image')}, those that {style(result, arms[-1]).name} is "
            "most confident about first"
            + (f"; {MOST_IMAGES} shown." if len(rows) > MOST_IMAGES else ".")
            + " Below each: the true class, and each arm's probability of the class that it predicts."
        )
        gallery = rows.head(MOST_IMAGES)
        captions = [image_caption(result, arms, row) for _, row in gallery.iterrows()]
        images.gallery(dataset, gallery["row"], columns=6, min_width=110, captions=captions)


def image_caption(result: StudyResult, arms: Sequence[str], row: pd.Series) -> str:
    """What an image is, and each arm's probability of what it decided."""
    return f"**{words.plain(result.classes[row['label']])}** " + " · ".join(
        f"{style(result, arm).brief} {100 * row[f'confidence:{arm}']:.0f}{words.THIN}%"
        for arm in arms
    )


def study_dataset(workspace: Workspace, result: StudyResult) -> Dataset | None:
    """The study's dataset, where it is on this machine, whatever its name, and has not changed since."""
    names = [result.dataset.name, *workspace.dataset_names()]
    for name in dict.fromkeys(names):
        with contextlib.suppress(DermError):
            if cached.fingerprint(workspace, name) == result.dataset.fingerprint:
                return cached.dataset(workspace, name)
    return None
