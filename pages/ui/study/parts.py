"""What the sections of Compare share: a table with its caption and CSV, and what to do where a study did not ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from derm_core.report import tables

from .. import frame, words


def names(study: Mapping[str, Any]) -> dict[str, str]:
    """Every arm's name on screen."""
    return {arm: tables.name(study, arm) for arm in study["arms"]}


def table(
    study: Mapping[str, Any],
    numbers: pd.DataFrame,
    text: pd.DataFrame,
    *,
    alt: str,
    caption: str,
    file: str,
) -> None:
    """A table to read, how to read it, and its numbers as CSV; nothing where it is empty."""
    if not len(text):
        return
    st.table(text.map(in_two_lines), border="horizontal", hide_index=True, alt=alt)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", wrap=False
    ):
        st.caption(caption, width="stretch")
        frame.download_table(numbers, "CSV", name=f"{study['run_id']}-{file}")


def in_two_lines(cell: Any) -> Any:
    """'71.2 % (68.0–74.1)' in a narrow column breaks before its bracket, not at the dash."""
    if not isinstance(cell, str) or "(" not in cell:
        return cell
    return whole(cell.replace(f"{words.NBSP}(", " ("))


def whole(text: str) -> str:
    """An interval that does not break at its dash."""
    return text.replace("–", "\u2060–\u2060")


def not_asked(study: Mapping[str, Any], what: str, switch: str) -> None:
    """One sentence and the way to the answer, where a study holds none."""
    frame.empty(
        f"{what} To have it, launch the study again with **{switch}** (under All settings) or as a full study.",
        title="Not asked in this study",
        icon=":material/help:",
        action="Set up a full study",
        page="train",
        primary=False,
        key=f"ask-{switch}",
        data=study["dataset"]["name"],
        full="true",
    )
