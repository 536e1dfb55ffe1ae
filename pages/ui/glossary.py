"""What terms mean, beside the heading that they stand under: the glossary's sentences in a popover."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from derm_core import glossary


def heading(title: str, *, terms: tuple[str, ...] = (), level: int = 2) -> None:
    """A heading with "What is this?" beside it.

    Args:
        title: markdown.
        terms: keys of the glossary (derm_core/glossary.toml); without any the heading stands alone.
        level: 2, or 3 for a heading below the last one.
    """
    if not terms:
        _draw_title(title, level, "stretch")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _draw_title(title, level, "content")
        explain(terms=terms)


def explain(*, terms: tuple[str, ...], more: str = "") -> None:
    """The popover alone. more: markdown below the terms, of what is particular to the page."""
    with st.popover("What is this?", icon=":material/help:", type="tertiary"):
        st.markdown("\n\n".join(filter(None, (glossary.markdown(terms), more))))


def text(term: str) -> str:
    """A term's sentences, for the help of a metric or a control."""
    return glossary.TERMS[term].text


def _draw_title(title: str, level: int, width: Literal["stretch", "content"]) -> None:
    if level == 2:
        st.subheader(title, anchor=False, width=width)
    else:
        st.markdown(f"**{title}**", width=width)
