"""Pieces of a self-contained HTML page: headings, tables, figures; all text is escaped here.

Figures are plotly's, drawn by the one copy of plotly.js that the page carries. No address is loaded.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BADGE = re.compile(r":[a-z]+-badge\[([^\]]*)\]")
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": False}
POLICY = ("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
          "base-uri 'none'; form-action 'none'")

STYLE = """
:root{color-scheme:light dark;--ink:#1d2a2c;--soft:#5b6b6e;--page:#fbfaf7;--line:#d9dedc;--mark:#0f6b66;--box:#f1f3ef}
@media(prefers-color-scheme:dark){:root{--ink:#e6ecea;--soft:#a3b1b0;--page:#141a1b;--line:#334042;--mark:#5fc1b8;--box:#1c2425}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
main{max-width:960px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.7rem;line-height:1.25;margin:.2em 0 .5em}h2{font-size:1.3rem;margin:2.2em 0 .4em;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.6em 0 .2em}p,li{max-width:75ch}.soft,figcaption,small{color:var(--soft);font-size:.9rem}
.notice{color:var(--mark);font-weight:600}.note{background:var(--box);border-left:3px solid var(--mark);padding:.5em .9em;white-space:pre-line}
.verdict{font-size:1.35rem;line-height:1.35;font-weight:600;margin:.3em 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;margin:.6em 0;font-variant-numeric:tabular-nums}
th,td{padding:.32em .8em .32em 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600}
figure{margin:.6em 0;min-width:0}figure>div{overflow:hidden}h1,h2,td,p,li{overflow-wrap:anywhere}.scroll td{overflow-wrap:normal}.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(290px,100%),1fr));gap:4px 18px}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));gap:12px}.pictures img{width:100%;border-radius:4px}
pre{background:var(--box);padding:.8em;overflow-x:auto;font-size:.8rem}summary{cursor:pointer;color:var(--mark);font-size:.9rem}
.xtick text,.ytick text,.gtitle,.xtitle,.ytitle,.legendtext,.textpoint text,.annotation-text,.heatmap-label text{fill:var(--ink)!important}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--page:#fff;--line:#bbb;--mark:#0f6b66;--box:#f4f4f4}
main{max-width:none;padding:0}figure,tr,.note{break-inside:avoid}h2,h3{break-after:avoid}details::details-content{content-visibility:visible;block-size:auto}
.scroll{overflow:visible}table{font-size:.7rem}pre{white-space:pre-wrap}}
"""


def text(value: Any) -> str:
    """A value as escaped text; Streamlit's badges lose their colour, not their words."""
    return html.escape(BADGE.sub(r"\1", "" if value is None else str(value)), quote=True)


def paragraph(words: str, kind: str = "") -> str:
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{text(words)}</p>"


def bullets(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def table(rows: pd.DataFrame | Sequence[Mapping[str, Any]], caption: str = "", folded: bool = False) -> str:
    """A table with its caption, in a box that scrolls; folded: one click away. Nothing where there is no row."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    if not len(frame):
        return ""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in frame.columns)
    body = "".join("<tr>" + "".join(f"<td>{text(_cell(value))}</td>" for value in row) + "</tr>"
                   for row in frame.itertuples(index=False, name=None))
    made = f'<div class="scroll"><table aria-label="{text(caption)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<details><summary>{text(caption or 'As a table')}</summary>{made}</details>" if folded else made


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
    return (f'<figure role="group" aria-label="{text(alt)}">{heading}<div aria-hidden="true">{made}</div>'
            f"<figcaption>{text(caption)}</figcaption></figure>")


def figures(drawn: Iterable[tuple[Figure, str]], caption: str) -> str:
    """Several figures that are read together, (figure, alt) each, side by side where there is room."""
    return f'<div class="grid">{"".join(figure(one, "", alt) for one, alt in drawn)}</div><p class="soft">{text(caption)}</p>'


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing where there is nothing."""
    body = "".join(filter(None, parts))
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def document(title: str, body: str) -> str:
    """The whole page. Its policy forbids the browser to load anything from anywhere."""
    from plotly.offline import get_plotlyjs

    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">'
            f"<title>{text(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
            f"<body><main>{body}</main></body></html>\n")


def escaped(value: Any) -> Any:
    """`value` with every text in it escaped, for figures: plotly reads a label as a little HTML.

    Keys are kept: they are arms and metrics, whose names this program makes.
    """
    if isinstance(value, str):
        return html.escape(value, quote=False)
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, (list, tuple)) else value
