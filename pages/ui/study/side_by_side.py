"""Several finished studies beside each other."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from derm_core.report.sections.side_by_side import side_by_side, warning
from derm_core.study.study_result import StudyResult
from pages.ui.section import draw


def draw_side_by_side(results: Mapping[str, StudyResult], labels: Mapping[str, str]) -> None:
    """Draw the studies, by run id; labels: what each is called."""
    st.subheader("Side by side", anchor=False)
    if text := warning(results):
        st.warning(text, icon=":material/warning:")
    draw(*side_by_side(results, labels))


def choose_others(options: Mapping[str, str], chosen: str) -> list[str]:
    """Other studies to stand beside the chosen one, part of the address as ?with=ID,ID."""
    others = [key for key in options if key != chosen]
    wanted = [key for key in st.query_params.get("with", "").split(",") if key in others]
    if st.session_state.get("with-seen") != wanted or any(
        key not in others for key in st.session_state.get("with-choice", [])
    ):
        st.session_state["with-choice"] = wanted
    picked = st.multiselect(
        "Other studies",
        others,
        key="with-choice",
        format_func=options.__getitem__,
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
