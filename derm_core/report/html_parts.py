"""Pieces of a self-contained HTML page: headings, tables, figures; all text is escaped here.

Figures are plotly's, drawn by the one copy of plotly.js that the page carries. No address is loaded.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BADGE = re.compile(r":[a-z]+-badge\[([^\]]*)\]")
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": False}
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)

STYLE = Path(__file__).with_name("page.css")


def text(value: Any) -> str:
    """A value as escaped text; Streamlit's badges lose their colour, not their words."""
    return html.escape(BADGE.sub(r"\1", "" if value is None else str(value)), quote=True)


def paragraph(words: str, kind: str = "") -> str:
    """Words in a paragraph of a class of page.css; nothing where there are none."""
    if not words:
        return ""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def bullets(lines: Iterable[str]) -> str:
    made = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{made}</ul>" if made else ""


def table(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]], caption: str = "", folded: bool = False
) -> str:
    """A table with its caption, in a box that scrolls; folded: one click away. Nothing where there is no row."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    if not len(frame):
        return ""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    made = (
        f'<div class="scroll"><table aria-label="{text(caption)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    return (
        f"<details><summary>{text(caption or 'As a table')}</summary>{made}</details>"
        if folded
        else made
    )


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}".replace("-", "−")
    return "–" if value is None else value


def figure(drawn: Figure, caption: str, alt: str) -> str:
    """A plotly figure with its title above, its caption below and a text for those who cannot see it."""
    title = drawn.layout.title.text
    drawn.update_layout(title=None)
    made = drawn.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
    heading = f"<h3>{text(title)}</h3>" if title else ""
    return (
        f'<figure role="group" aria-label="{text(alt)}">{heading}<div aria-hidden="true">{made}</div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def figures(drawn: Iterable[tuple[Figure, str]], caption: str) -> str:
    """Several figures that are read together, (figure, alt) each, side by side where there is room."""
    grid = "".join(figure(one, "", alt) for one, alt in drawn)
    return f'<div class="grid">{grid}</div><p class="soft">{text(caption)}</p>'


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing where there is nothing."""
    body = "".join(filter(None, parts))
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def document(title: str, body: str) -> str:
    """The whole page. Its policy forbids the browser to load anything from anywhere."""
    from plotly.offline import get_plotlyjs

    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="referrer" content="no-referrer">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{text(title)}</title>'
        f"<style>{style}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def escaped(value: Any) -> Any:
    """`value` with every text in it escaped, for figures: plotly reads a label as a little HTML.

    Keys are kept: they are arms and metrics, whose names this program makes.
    """
    if isinstance(value, str):
        return html.escape(value, quote=False)
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, (list, tuple)) else value
