"""Classes: recall, confusion, where two arms disagree; a chosen cell opens its images.

A cell is part of the address: ?cell=ARM~TRUTH~DECISION or ?cell=A~B~DECISION OF A~DECISION OF B.
"""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.errors import DermError
from derm_core.report import figures, tables

from .. import cached, frame, images, words

SHOWN = 48


def show(workspace, run_id: str, study: dict) -> None:
    recalls(study)
    confusions(study)
    disagreements(study)
    opened(workspace, run_id, study)


def recalls(study: dict) -> None:
    rows = tables.class_rows(study)
    if rows:
        table = pd.DataFrame(rows)[["class", "n", "name", "mean", "low", "high"]]
        frame.show_chart(
            figures.per_class(rows),
            table,
            key="classes",
            alt="Recall of each class for each arm, with 95 % intervals.",
            caption="Share of each class that is recognised, with 95 % intervals; after each class, its test images. Wide "
            "bars mean few lesions: do not rank arms by them.",
        )


def confusions(study: dict) -> None:
    matrices = study.get("confusion") or {}
    if not matrices:
        return
    st.subheader("Confusion", anchor=False)
    classes = study["classes"]
    with st.grid(2, min_column_width=340):
        for arm in in_order(matrices):
            with st.container():
                clickable(
                    figures.confusion(matrices[arm], classes, arm, tables.name(study, arm)),
                    arm,
                    pd.DataFrame(
                        matrices[arm], index=pd.Index(classes, name="is"), columns=classes
                    ).reset_index(),
                    alt=f"Confusion matrix of {tables.name(study, arm)}, {len(classes)} classes.",
                )
    st.caption(
        "Per cent of the images of a class (row) that are called each class (column), mean over seeds. Press a cell "
        "to see its images, as the seed ensemble decides them; or choose it here."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        arm = st.selectbox(
            "Arm",
            in_order(matrices),
            key="confused-arm",
            width=220,
            format_func=lambda arm: tables.name(study, arm),
        )
        chosen_cell("confused", arm, ("Is", "Called"), matrices[arm], classes)


def disagreements(study: dict) -> None:
    entries = (study.get("detail") or {}).get("disagreement") or []
    if not entries:
        return
    st.subheader("Where two arms disagree", anchor=False)
    known = {f"{entry['a']}~{entry['b']}": entry for entry in entries}
    chosen = frame.linked(
        "Pair",
        list(known),
        "pair",
        always=False,
        format_func=lambda key: tables.pair(study, known[key]).replace("−", "and"),
    )
    entry, names = known[chosen], {arm: tables.name(study, arm) for arm in study["arms"]}
    a, b = (names[entry[side]] for side in "ab")
    left, right = st.columns([3, 2], gap="large")
    with left:
        clickable(
            figures.disagreement(entry, study["classes"], names),
            chosen,
            pd.DataFrame(
                entry["matrix"], index=pd.Index(study["classes"], name=a), columns=study["classes"]
            ).reset_index(),
            alt=f"How often {a} decides for each class where {b} decides for another.",
        )
    with right:
        total = max(sum(entry[key] for key in ("both_right", "a_only", "b_only", "both_wrong")), 1)
        said = {
            "Both right": "both_right",
            f"Only {a} right": "a_only",
            f"Only {b} right": "b_only",
            "Both wrong": "both_wrong",
        }
        st.table(
            pd.DataFrame(
                [
                    {
                        "Test images": name,
                        "Number": f"{entry[key]:,}",
                        "Share": words.percent(entry[key] / total),
                    }
                    for name, key in said.items()
                ]
            ),
            border="horizontal",
            hide_index=True,
            alt="Who is right where",
        )
        st.caption(
            "Decisions of the seed ensemble. Shaded cells: the arms disagree. Press one to see its images, or choose "
            "it here."
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            labels = tuple(
                f"{arm_style(entry[side], names[entry[side]]).brief} says" for side in "ab"
            )
            chosen_cell("disagreed", chosen, labels, entry["matrix"], study["classes"])


# ---- the images of a cell ----------------------------------------------------------------------


def clickable(figure, prefix: str, table: pd.DataFrame, *, alt: str) -> None:
    """A matrix whose cells open; `chosen_cell` is the same by keyboard."""
    key = f"cells-{prefix}-{st.session_state.setdefault('cells-closed', 0)}"
    frame.show_chart(
        figure,
        table,
        key=key,
        caption="",
        alt=alt,
        on_select=partial(pressed, key, prefix),
        selection_mode="points",
    )


def chosen_cell(
    key: str, prefix: str, labels: tuple[str, str], matrix: list[list[float]], classes: list[str]
) -> None:
    """Row and column from two lists, at first those of the most frequent disagreement, and a button that opens the cell."""
    most = max(
        ((i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j),
        key=lambda place: matrix[place[0]][place[1]],
    )
    places = [
        st.selectbox(
            label,
            range(len(classes)),
            most[side],
            key=f"{key}-{side}",
            width=150,
            format_func=classes.__getitem__,
        )
        for side, label in enumerate(labels)
    ]
    if st.button("Show images", icon=":material/photo_library:", key=f"{key}-open"):
        st.query_params["cell"] = f"{prefix}~{places[0]}~{places[1]}"


def pressed(key: str, prefix: str) -> None:
    """A cell was pressed: it becomes part of the address."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points") or []
    if points:
        row, column = points[0]["customdata"][:2]
        st.query_params["cell"] = f"{prefix}~{int(row)}~{int(column)}"


def closed() -> None:
    """The images are put away; the matrices start anew, so that the same cell can be pressed again."""
    st.query_params.pop("cell", None)
    st.session_state["cells-closed"] = st.session_state.get("cells-closed", 0) + 1


def opened(workspace, run_id: str, study: dict) -> None:
    """The images of the cell that the address names."""
    parts = st.query_params.get("cell", "").split("~")
    arms, places, classes = parts[:-2], parts[-2:], study["classes"]
    if (
        not arms
        or len(arms) > 2
        or not all(arm in study["arms"] for arm in arms)
        or not all(place.isdigit() and int(place) < len(classes) for place in places)
    ):
        return
    names, (i, j) = [tables.name(study, arm) for arm in arms], map(int, places)
    title = (
        f"{classes[i]}, called {classes[j]} by {names[0]}"
        if len(arms) == 1
        else f"{names[0]}: {classes[i]}. {names[1]}: {classes[j]}"
    )
    st.dialog(title, width="large", on_dismiss=closed)(cell)(workspace, run_id, study, arms, i, j)


def cell(workspace, run_id: str, study: dict, arms: list[str], i: int, j: int) -> None:
    decisions = cached.decisions(workspace, run_id)
    if decisions is None:
        st.markdown("This study kept no decisions of single images; a new one does.")
        return
    conditions = (
        [("label", i), (f"decision:{arms[0]}", j)]
        if len(arms) == 1
        else [(f"decision:{arms[0]}", i), (f"decision:{arms[1]}", j)]
    )
    found = decisions
    for column, value in conditions:
        found = found[found[column] == value]
    found = found.sort_values(f"confidence:{arms[-1]}", ascending=False)
    dataset = dataset_here(workspace, study)
    if not len(found):
        st.markdown("The seed ensemble decides for no image this way; single seeds do.")
    elif dataset is None:
        st.markdown(
            f"{words.count(len(found), 'image')}. Dataset {words.plain(study['dataset']['name'])}, as this study "
            f"used it, is not on this machine: its images cannot be shown."
        )
    else:
        st.caption(
            f"{words.count(len(found), 'test image')}, those that {tables.name(study, arms[-1])} is surest of first"
            + (f"; {SHOWN} shown." if len(found) > SHOWN else ".")
            + " Below each: what it is, and how probable each "
            "arm holds "
            "what it decided."
        )
        shown, briefs = (
            found.head(SHOWN),
            {arm: arm_style(arm, tables.name(study, arm)).brief for arm in arms},
        )
        images.gallery(
            dataset,
            shown["row"],
            columns=6,
            min_width=110,
            captions=[
                f"**{words.plain(study['classes'][row['label']])}** "
                + " · ".join(
                    f"{briefs[arm]} {100 * row[f'confidence:{arm}']:.0f}{words.THIN}%"
                    for arm in arms
                )
                for _, row in shown.iterrows()
            ],
        )


def dataset_here(workspace, study: dict):
    """The study's dataset, where it is on this machine and has not changed since."""
    try:
        dataset = cached.dataset(workspace, study["dataset"]["name"])
    except DermError:
        return None
    return dataset if dataset.fingerprint == study["dataset"]["fingerprint"] else None
