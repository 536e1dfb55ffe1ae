"""The one place where a Section of a report becomes a part of a page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from derm_core.arms import ArmStyle
from derm_core.report.section import Bullet, Section, cell_text
from pages.ui import frame, glossary, words


def draw(*sections: Section | None, file: str = "") -> None:
    """Draw each section: heading, words, figure, table.

    Args:
        sections: None is left out.
        file: begins the names of CSV files, say the run's id.
    """
    for section in sections:
        if section is None:
            continue
        if section.folded and section.figure is None:
            with st.expander(section.title, icon=":material/unfold_more:"):
                draw_words(section)
                draw_table(section, file)
            continue
        if section.title and not (section.figure and section.level == 3):
            draw_title(section)
        draw_words(section)
        if section.figure:
            draw_figure(section)
        if not section.folded:
            draw_table(section, file)


def draw_title(section: Section) -> None:
    """The heading, and what its terms mean."""
    glossary.heading(words.plain(section.title), terms=section.terms, level=section.level)


def draw_words(section: Section) -> None:
    """What stands above the figure."""
    if section.notes:
        st.info("  \n".join(map(words.plain, section.notes)), icon=":material/info:")
    if section.finding:
        st.markdown(f"**{words.plain(section.finding)}**")
    if section.text:
        st.markdown("\n\n".join(map(words.plain, section.text)))
    if section.bullets:
        st.markdown("\n".join(map(_bullet_text, section.bullets)))


def _bullet_text(bullet: Bullet) -> str:
    badge = bullet.badge and f":{bullet.badge_colour}-badge[{words.plain(bullet.badge)}]"
    stressed = bullet.stressed and f"**{words.plain(bullet.stressed)}**"
    return " ".join(filter(None, ("-", badge, stressed, words.plain(bullet.text))))


def draw_figure(section: Section, key: str | None = None, **selection: Any) -> None:
    """The figure, or one panel an arm, with its caption and its numbers one click away.

    A heading of level 3 stands in place of the figure's own title.

    Args:
        section: has a figure.
        key: of the chart in place of the section's own.
        selection: on_select and selection_mode of st.plotly_chart.
    """
    panels = section.panels()
    frame.show_chart(
        [figure for _, figure in panels],
        section.numbers,
        key=key or section.key,
        title=section.title if section.level == 3 else None,
        labels=[arm.badge for arm, _ in panels if arm],
        caption=words.plain(section.caption),
        alt=section.alt,
        **selection,
    )


def draw_table(section: Section, file: str = "") -> None:
    """The table to read, how to read it, and its numbers as CSV."""
    if not section.table:
        return
    table = pd.DataFrame(
        [[_cell(value) for value in row.values()] for row in section.table],
        columns=list(map(words.plain, section.columns)),
    )
    st.table(table, border="horizontal", hide_index=True, alt=section.table_title)
    numbers = section.numbers
    if numbers is None:
        if section.table_caption:
            st.caption(words.plain(section.table_caption))
        return
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", wrap=False
    ):
        st.caption(words.plain(section.table_caption), width="stretch")
        frame.download_table(numbers, "CSV", name=f"{file}-{section.key}".strip("-"))


def _cell(value: Any) -> str:
    """An arm as its badge; '71.2 % (68.0–74.1)' breaks before its bracket, not at its dash."""
    if isinstance(value, ArmStyle):
        return f":{value.colour_name}-badge[{words.plain(value.name)}]"
    text = words.plain(cell_text(value))
    return unbroken(text.replace(f"{words.NBSP}(", " (")) if "(" in text else text


def unbroken(text: str) -> str:
    """An interval that does not break at its dash."""
    return text.replace("–", "\u2060–\u2060")
