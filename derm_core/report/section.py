"""One section of a result: written once by `sections`, drawn by the HTML report, the page and the terminal.

html.report_html, pages.ui.section.draw and terminal.section_text are the three renderers. Texts are
plain: each renderer escapes them in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..arms import ArmStyle
from .figure_style import Figure

Row = dict[str, Any]  # of a table for readers: cells are text, numbers or ArmStyle


@dataclass(frozen=True)
class Bullet:
    """A line of a list: a coloured word, a sentence that is stressed, and the rest."""

    text: str
    stressed: str = ""
    badge: str = ""
    badge_colour: str = "gray"


@dataclass(frozen=True, kw_only=True)
class Section:
    """Words, a figure and a table that answer one question of a study.

    Args:
        key: unique in a report; names the CSV file and the widgets of a page.
        title: the heading; empty for what continues the section before.
        level: 2, or 3 for a heading below the last one.
        finding: the sentence that answers, stressed.
        text: paragraphs.
        bullets: a list below them.
        notes: what changes how the result reads; drawn as a box.
        terms: keys of the glossary, explained beside the heading and at the end of the HTML report.
        figure: draws the figure, or one figure for each arm, all with the same axes. Plotly is
            loaded when it is called.
        caption: how to read the figure.
        alt: what a reader who cannot see the figure should know.
        table: for readers, all rows with the same columns.
        table_title: what the table holds.
        table_caption: how to read the table.
        numbers: what the figure and the table show, for the CSV; computed when it is wanted.
        folded: what is not a figure is one click away: the table, or a whole section without
            figure.
    """

    key: str
    title: str = ""
    level: int = 2
    finding: str = ""
    text: tuple[str, ...] = ()
    bullets: tuple[Bullet, ...] = ()
    notes: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    figure: Callable[[], Figure | Mapping[ArmStyle, Figure]] | None = None
    caption: str = ""
    alt: str = ""
    table: Sequence[Row] = ()
    table_title: str = ""
    table_caption: str = ""
    numbers: Callable[[], pd.DataFrame] | None = None
    folded: bool = False

    @property
    def columns(self) -> list[str]:
        """The table's columns; every row has all of them."""
        return list(self.table[0]) if self.table else []

    def cells(self) -> list[list[str]]:
        """The table's cells as text."""
        return [[cell_text(value) for value in row.values()] for row in self.table]

    def panels(self) -> list[tuple[ArmStyle | None, Figure]]:
        """The drawn figures, each with the arm that it is of; one without an arm for a single figure."""
        drawn = self.figure() if self.figure else {}
        return list(drawn.items()) if isinstance(drawn, Mapping) else [(None, drawn)]


def cell_text(value: Any) -> str:
    """A cell of a table as text: an arm by its name, '–' where there is no value."""
    if isinstance(value, ArmStyle):
        return value.name
    if value is None or value != value:
        return "–"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)
