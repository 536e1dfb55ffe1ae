"""A figure as a CSV of what it draws and a short script that draws it from that CSV.

    files = figure_files({"": figure}, "Recall by class", "recall")    {"recall-figure.csv": …, "recall-figure.py": …}

The script has the look of every trace as a literal, to be changed at will, and takes all points from
the CSV. It needs pandas and plotly, nothing of this package. Texts that appear under the pointer and
the colours of the page, light or dark, are left out.
"""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .csv_tables import safe_table
from .figure_style import Figure

Panels = Mapping[str, Figure]  # by what each panel is called; "" for a single figure
KEYS = ("panel", "trace", "series")
# What has a value for each point: a column of the CSV, named as plotly's `update` names it.
POINTWISE = (
    *("x", "y", "z", "text", "marker_color", "marker_size"),
    *("error_x_array", "error_x_arrayminus", "error_y_array", "error_y_arrayminus"),
)
FIRST = ("type", "name", "mode")
LEFT_OUT = {
    *("customdata", "hoverinfo", "hovertemplate", "hoverlabel", "hovermode", "ids", "meta", "uid"),
    *("selectedpoints", "selected", "unselected", "uirevision", "dragmode", "clickmode", "modebar"),
    *("template", "title", "font", "textfont", "paper_bgcolor", "plot_bgcolor"),
}
SCRIPT = '''"""Draws {file}. Needs pandas and plotly."""

import pandas as pd
import plotly.graph_objects as go

TEXTS = {texts}  # columns of text; the others are numbers
TRACES = [  # panel, columns, look
{traces}
]
LAYOUTS = {layouts}

data = pd.read_csv({file!r}, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
data[TEXTS] = data[TEXTS].fillna("")
figures = {{panel: go.Figure(layout=layout) for panel, layout in LAYOUTS.items()}}
for number, (panel, columns, look) in enumerate(TRACES):
    points = {{name: column.to_numpy() for name, column in data[data["trace"] == number][columns].items()}}
{grid}    figures[panel].add_trace(look).data[-1].update(points)
for panel, figure in figures.items():
    figure.update_layout(title=panel or {title!r}, template="plotly_white").show()
'''
GRID = """    if "z" in points:  # a heatmap: a row of the CSV for each cell
        x, y = pd.unique(points["x"]), pd.unique(points["y"])
        cells = {name: points[name].reshape(len(y), len(x)) for name in columns[2:]}
        points = {"x": x, "y": y, **cells}
"""


@dataclass(frozen=True)
class Trace:
    """A trace: its panel, its name, its values by point, and how it looks."""

    panel: str
    series: str
    points: dict[str, list[Any]]
    look: dict[str, Any]


def figure_files(panels: Panels, title: str, name: str) -> dict[str, bytes]:
    """The CSV and the script: {NAME-figure.csv: …, NAME-figure.py: …}.

    Args:
        panels: the figures.
        title: of the figure.
        name: letters, digits and dashes.
    """
    file = f"{name}-figure.csv"
    points = safe_table(figure_points(panels)).to_csv(index=False, float_format="%.9g")
    return {
        file: points.encode(),
        f"{name}-figure.py": figure_code(panels, title, file).encode(),
    }


def figure_points(panels: Panels) -> pd.DataFrame:
    """What a figure draws, a row for each point, bar or cell.

    Args:
        panels: the figures.

    Returns:
        panel, trace (its number), series (its name; of a band that of its line), then the columns of
        POINTWISE that the figure has: x, y, error_x_array (from a mark to the upper end of its
        interval), …
    """
    rows = [
        pd.DataFrame(trace.points, dtype=object).assign(
            panel=trace.panel, trace=number, series=trace.series
        )
        for number, trace in enumerate(_traces(panels))
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(KEYS))
    table = table[[*KEYS, *(name for name in POINTWISE if name in table)]]
    return table.assign(**{n: pd.to_numeric(table[n]) for n in table if not _is_text(table[n])})


def _is_text(values: pd.Series) -> bool:
    return any(isinstance(value, str) for value in values)


def figure_code(panels: Panels, title: str, file: str) -> str:
    """A Python script that draws the figure from `file`, the CSV of its `figure_points`.

    Args:
        panels: the figures.
        title: of the figure.
        file: name of the CSV.
    """
    traces = list(_traces(panels))
    table = figure_points(panels)
    texts = [name for name in table if _is_text(table[name])]
    layouts = {
        panel: _without_hover(figure.layout.to_plotly_json()) for panel, figure in panels.items()
    }
    looks = ",\n".join(_literal((one.panel, list(one.points), one.look)) for one in traces)
    return SCRIPT.format(
        file=file,
        title=title,
        texts=texts,
        traces=f"{looks},",
        layouts=_literal(layouts),
        grid=GRID if any("z" in one.points for one in traces) else "",
    )


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=96, sort_dicts=False, compact=True)


def _traces(panels: Panels) -> Iterator[Trace]:
    for panel, figure in panels.items():
        drawn = [trace.to_plotly_json() for trace in figure.data]
        for place, trace in enumerate(drawn):
            if _plain((trace.get("marker") or {}).get("opacity")) == 0:
                continue  # there for the pointer alone
            name = next((one["name"] for one in drawn[place:] if one.get("name")), "")
            points = _points(trace)
            points = _cells(points) if "z" in points else points
            look = {key: trace[key] for key in FIRST if key in trace} | _without_hover(trace)
            yield Trace(panel, name, points, _without_points(look, points))


def _points(trace: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The trace's arrays with a value for each point (of a heatmap: x, y, and rows of z and text)."""
    arrays = {}
    for name in POINTWISE:
        value: Any = trace
        for part in name.rsplit("_", 1):
            value = (value or {}).get(part)
        if isinstance(value := _plain(value), list):
            arrays[name] = value
    return arrays


def _cells(points: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """A heatmap's arrays, a value for each cell, row by row."""
    xs, ys = points["x"], points["y"]
    flat = {
        name: [cell for row in points[name] for cell in row]
        for name in ("z", "text")
        if name in points
    }
    return {"x": xs * len(ys), "y": [y for y in ys for _ in xs], **flat}


def _without_points(look: Mapping[str, Any], points: Mapping[str, Any], at: str = "") -> dict:
    """The look without what the CSV has."""
    return {
        key: _without_points(value, points, f"{at}{key}_") if isinstance(value, dict) else value
        for key, value in look.items()
        if f"{at}{key}" not in points
    }


def _without_hover(part: Mapping[str, Any]) -> dict[str, Any]:
    """A trace or a layout without what only the page needs, its numbers as Python has them."""
    return {key: _plain(value) for key, value in part.items() if key not in LEFT_OUT}


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers as Python has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
