"""Several finished studies side by side, and what differs between how they were made."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from derm_core.report import figures, study_comparison
from pages.ui import frame, words


def show(studies: Mapping[str, dict], labels: Mapping[str, str]) -> None:
    """studies {run id: study.json}; labels {run id: what it is called here}."""
    st.subheader("Side by side", anchor=False)
    apart = study_comparison.not_comparable(studies)
    if apart:
        st.warning(
            "These studies differ in "
            + words.listed(apart)
            + ": numbers of different studies cannot be compared as "
            "if they "
            "were arms of one.",
            icon=":material/warning:",
        )
    rows = study_comparison.rows(studies, labels)
    frame.show_chart(
        figures.dots(rows, title="Balanced accuracy by study", x="Balanced accuracy"),
        study_comparison.numbers(studies, labels),
        key="several",
        caption="Test balanced accuracy with 95 % intervals, each on its own test set.",
        alt="Balanced accuracy of every arm of every chosen study.",
    )
    text = study_comparison.table(studies, labels)
    st.table(
        text,
        border="horizontal",
        hide_index=True,
        alt="Arms of every study with intervals and gaps",
    )
    different = study_comparison.differing(studies, labels)
    if len(different):
        st.markdown("**What differs between their configurations**")
        st.table(
            different,
            border="horizontal",
            hide_index=True,
            alt="Settings that are not the same in all chosen studies",
        )
    else:
        st.caption("Their configurations are the same.")


def choose(options: Mapping[str, str], chosen: str) -> list[str]:
    """Other studies to stand beside the chosen one, kept in the address as ?with=ID,ID."""
    others = [key for key in options if key != chosen]
    wanted = [key for key in st.query_params.get("with", "").split(",") if key in others]
    if st.session_state.get("with-seen") != wanted or any(
        key not in others for key in st.session_state.get("with-choice", [])
    ):
        st.session_state["with-choice"] = wanted
    picked = st.multiselect(
        "Beside it",
        others,
        key="with-choice",
        format_func=options.get,
        placeholder="Compare with other studies",
        label_visibility="collapsed",
        wrap=True,
    )
    if picked:
        st.query_params["with"] = ",".join(picked)
    else:
        st.query_params.pop("with", None)
    st.session_state["with-seen"] = list(picked)
    return picked
