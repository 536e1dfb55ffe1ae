"""Fewer labels, corrupted images, a planted shortcut, other test sets."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from derm_core.report import figures, question_figures, question_tables, shortcut_text, tables
from pages.ui import frame, words
from pages.ui.study import parts


def labels(workspace, run_id: str, study: dict) -> None:
    st.subheader("Fewer labels", anchor=False)
    found = study.get("label_efficiency")
    if not found:
        parts.not_asked(
            study,
            "How the arms do when only some of the training groups have labels will stand here.",
            "Fewer labels",
        )
        return
    if not found["rows"]:
        st.markdown(words.plain(found.get("note", "")))
        return
    metric = st.segmented_control(
        "Metric",
        ["balanced_accuracy", "macro_auroc", "accuracy"],
        default="balanced_accuracy",
        required=True,
        key="labels-metric",
        format_func=words.QUANTITIES.get,
    )
    crossing = found.get("crossing") or {}
    if crossing.get("text"):
        st.markdown(f"**{words.plain(crossing['text'])}**")
    numbers, text = question_tables.label_efficiency(study)
    frame.show_chart(
        question_figures.label_efficiency(
            found["rows"], metric, names=parts.names(study), crossing=crossing.get("fraction")
        ),
        numbers,
        key=f"labels-{metric}",
        caption="Heads trained with a share of the training groups, for the same number of updates"
        + (f" ({found['updates']:,})" if found.get("updates") else "")
        + ". Bands: 95 % intervals. The axis is logarithmic.",
        alt=f"{words.QUANTITIES[metric]} by share of labels for every arm. {crossing.get('text') or ''}".strip(),
    )
    st.table(text, border="horizontal", hide_index=True, alt="Balanced accuracy by share of labels")


def robustness(workspace, run_id: str, study: dict) -> None:
    st.subheader("Corrupted images", anchor=False)
    found = study.get("robustness")
    if found:
        corrupted(study, found)
    else:
        parts.not_asked(
            study,
            "How much accuracy the arms lose on blurred, noisy, badly lit or hairy images will stand "
            "here.",
            "Corruptions",
        )
    st.subheader("A planted shortcut", anchor=False)
    if study.get("shortcut"):
        shortcut(study, study["shortcut"])
    else:
        parts.not_asked(
            study,
            "How far each arm relies on an artefact that is tied to one class in training will stand "
            "here.",
            "Planted shortcut",
        )


def corrupted(study: dict, found: dict) -> None:
    names = parts.names(study)
    numbers, text = question_tables.robustness(study)
    left, right = st.columns([5, 6], gap="large")
    with left:
        frame.show_chart(
            question_figures.corruption_map(found["families_summary"], found["families"], names),
            numbers,
            key="corruption-map",
            caption="Per cent of the clean balanced accuracy that is lost, mean over five severities. The stronger the "
            "colour, the worse. An arm with little accuracy has little to lose.",
            alt="Relative loss of balanced accuracy by corruption and arm. "
            + " ".join(
                f"{tables.name(study, arm)}: {words.interval(value)} on average."
                for arm, value in (found.get("mean") or {}).items()
            ),
        )
    with right:
        family = frame.linked(
            "Corruption", found["families"], "family", always=False, format_func=words.family
        )
        frame.show_chart(
            question_figures.severity(question_tables.severity_rows(study, family), family, names),
            numbers[numbers["family"] == family],
            key=f"severity-{family}",
            caption="Balanced accuracy itself, so that a small loss from a low start shows. Bands: 95 % intervals.",
            alt=f"Balanced accuracy by severity of {family} for every arm.",
        )
        rows = [
            row | {"family": "all"}
            for row in found.get("differences") or []
            if row.get("family") == "all"
        ]
        if rows:
            rows = tables.difference_rows(
                study, [row | {"metric": "balanced_accuracy"} for row in rows], "balanced_accuracy"
            )
            frame.show_chart(
                question_figures.forest(rows, "relative loss, all families"),
                pd.DataFrame(found["differences"]),
                key="robust-forest",
                caption="Left of the dashed line the first arm loses less.",
                alt="Differences in relative "
                "loss. " + " ".join(f"{row['name']}: {row['text']}." for row in rows),
            )
    with st.expander("All corruptions with intervals", icon=":material/table_rows:"):
        parts.table(
            study,
            numbers,
            text,
            file="robustness",
            alt="Relative loss by corruption and arm with intervals",
            caption="Relative loss of balanced accuracy with 95 % intervals.",
        )


def shortcut(study: dict, found: dict) -> None:
    if found.get("text"):
        st.markdown(words.plain(found["text"]))
    if not found["rows"]:
        return
    numbers, text = question_tables.shortcut(study)
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown("\n\n".join(words.plain(sentence) for sentence in shortcut_text.planted(study)))
    frame.show_chart(
        question_figures.strengths(found["rows"], parts.names(study)),
        numbers,
        key="shortcut",
        caption="Reliance: how much the ink alone changes the probability of "
        f"{words.plain(found.get('class', 'one class'))}, on the same test images. 0: nothing. At strength 0 there is "
        "nothing to rely on. Bands: 95 % intervals.",
        alt="Reliance on the planted artefact by the strength of its tie, for every arm.",
    )
    parts.table(
        study,
        numbers,
        text,
        file="shortcut",
        alt="Reliance by strength and arm",
        caption="The ink alone: the reliance of whoever sees nothing else and knows the shares of class and ink.",
    )


def external(workspace, run_id: str, study: dict) -> None:
    st.subheader("Other test sets", anchor=False)
    if not study.get("external"):
        parts.not_asked(
            study,
            "How the arms do on images of another camera and another clinic will stand here.",
            "Other test sets",
        )
        return
    numbers, text = question_tables.external(study)
    frame.show_chart(
        figures.dots(
            question_tables.external_rows(study),
            title="Balanced accuracy on every test set",
            x="Balanced accuracy",
        ),
        numbers,
        key="external",
        caption="The same trained models on every set; in brackets its images. Bars: 95 % intervals. Sets "
        "differ in classes and difficulty: read the distance between arms, not between sets alone.",
        alt="Balanced accuracy of every arm on every test set.",
    )
    parts.table(
        study,
        numbers,
        text.assign(Set=text["Set"].map(words.plain)),
        file="external",
        alt="Every arm on every other test set",
        caption="Drop: the study’s own test set less this one, in percentage points.",
    )
    for entry in study["external"]:
        another_set(study, entry)


def another_set(study: dict, entry: dict) -> None:
    """How one other set's classes were read, what is missing there, and the paired differences on it."""
    with st.expander(
        f"{words.plain(entry['dataset'])}: {words.count(entry['images'], 'image')}, "
        f"{words.count(entry['groups'], 'group')}",
        icon=":material/photo_library:",
    ):
        said = [
            "Classes: "
            + ", ".join(f"{words.plain(a)} → {words.plain(b)}" for a, b in entry["map"].items())
            + "."
        ]
        if entry.get("left_out"):
            said.append(
                "Left out: "
                + ", ".join(f"{words.plain(name)} ({n:,})" for name, n in entry["left_out"].items())
                + "."
            )
        if entry.get("absent"):
            said.append(
                f"Without images there: {', '.join(map(words.plain, entry['absent']))}; a decision for one of them "
                f"is an error."
            )
        st.markdown(
            "  \n".join(
                [
                    *said,
                    *([words.plain(entry["note"])] if entry.get("note") else []),
                    *map(words.plain, entry.get("cautions") or []),
                ]
            )
        )
        rows = tables.difference_rows(study, entry.get("differences") or [], "balanced_accuracy")
        if rows:
            frame.show_chart(
                question_figures.forest(rows, "balanced accuracy"),
                pd.DataFrame(entry["differences"]),
                key=f"external-forest-{entry['dataset']}",
                caption="Right of the dashed line the first arm is better there.",
                alt="Paired differences. "
                + " ".join(f"{row['name']}: {row['text']}." for row in rows),
            )
