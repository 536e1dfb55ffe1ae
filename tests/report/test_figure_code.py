"""Code for a figure: for every figure the script runs and draws what the figure shows, from the CSV alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plotly.graph_objects import Figure

from derm_core.report.figure_code import figure_files, figure_points
from derm_core.report.figure_style import band, blank
from derm_core.report.section import Section
from derm_core.report.sections import all_sections, side_by_side
from derm_core.study.study_result import study_result
from pages.ui import charts
from pages.ui.map_scatter import map_scatter, mark
from tests.report.full_study import ARMS, example

HOSTILE = (
    'mel """ {x} \\ <b>'  # a class that would end a text of the script, or be taken for a field
)


def learning_curves() -> dict[str, pd.DataFrame]:
    rows = [(epoch, seed) for epoch in range(4) for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["epoch", "seed"])
    for place, metric in enumerate(("loss", "accuracy", "balanced_accuracy")):
        for split in ("train", "val"):
            table[f"{split}_{metric}"] = 1 / (1 + table["epoch"] + 0.1 * table["seed"] + place)
    return dict.fromkeys(ARMS, table)


def panels_of(section: Section) -> dict[str, Figure]:
    return {arm.name if arm else "": figure for arm, figure in section.panels()}


def figures_of_sections() -> dict[str, dict[str, Figure]]:
    result = study_result(example(classes=(HOSTILE, "nv")))
    sections = all_sections(result, learning_curves())
    sections += side_by_side.side_by_side({"a": result, "b": result}, {"a": "A", "b": "B"})
    return {section.key: panels_of(section) for section in sections if section.figure}


def figures_of_pages() -> dict[str, dict[str, Figure]]:
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"x": rng.normal(size=30), "y": rng.normal(size=30), "row": range(30)})
    points["label"] = ["mel", "nv", HOSTILE] * 10
    points["age"] = np.linspace(20, 80, 30)
    map_of_classes = map_scatter(points, x="x", y="y", colour_by="label", title="Map")
    mark(map_of_classes, (0.0, 0.0), "this image")
    bars = blank("KL divergence", 240, x="Dimension", y="nats")
    bars.add_trace({"type": "bar", "x": [1, 2], "y": np.array([2.5, 0.1], np.float32)})
    bars.update_yaxes(type="log")
    counts = pd.DataFrame({"train": [7, 3], "test": [2, 1]}, index=["mel", "nv"])
    probabilities = {"mel": 0.7, "nv": 0.3}
    return {
        "map": {"": map_of_classes},
        "map-of-ages": {"": map_scatter(points, x="x", y="y", colour_by="age", title="Map")},
        "kl": {"": bars},
        "balance": {"": charts.balance_bars(counts)},
        "lines": {
            "": charts.lines({"Training": ([0, 1], [2, 1]), "val": ([0, 1], [3, 2])}, "Loss")
        },
        "bars": {
            name: charts.probability_bars(probabilities, colour=colour)
            for name, colour in (("vae", "#0072B2"), ("imagenet", "#D55E00"))
        },
    }


RUN = """
import json, os, runpy, sys
import plotly.graph_objects as go

figures = []

def show(figure):
    parts = {"data": [trace.to_plotly_json() for trace in figure.data], "layout": figure.layout.to_plotly_json()}
    parts["layout"].pop("template")
    figures.append(json.loads(json.dumps(parts, default=lambda array: array.tolist())))

go.Figure.show = show
drawn = {}
for folder in sys.argv[1:]:
    os.chdir(folder)
    runpy.run_path("one-figure.py")
    drawn[os.path.basename(folder)] = list(figures)
    figures.clear()
print(json.dumps(drawn))
"""  # what a reader's Python does with the script, with the figures kept in place of opened


def run_all(folder: Path, figures: dict[str, dict[str, Figure]]) -> dict[str, list[Figure]]:
    """The figures that each script shows, run by a process that cannot import anything of ours."""
    for key, panels in figures.items():
        (folder / key).mkdir()
        for name, data in figure_files(panels, f"Figure {HOSTILE}", "one").items():
            (folder / key / name).write_bytes(data)
    command = [sys.executable, "-I", "-c", RUN, *(str(folder / key) for key in figures)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {
        key: [Figure(figure) for figure in shown] for key, shown in json.loads(done.stdout).items()
    }


def visible(figure: Figure) -> list[dict]:
    """The traces that a reader sees, as plain values with six digits, without what the pointer shows."""
    traces = [trace.to_plotly_json() for trace in figure.data]
    plain = json.loads(json.dumps(traces, default=lambda array: array.tolist()))
    hover = (
        "customdata",
        "hovertemplate",
        "hoverinfo",
        "ids",
        "selectedpoints",
        "selected",
        "unselected",
    )
    return [
        rounded({key: value for key, value in trace.items() if key not in hover})
        for trace in plain
        if (trace.get("marker") or {}).get("opacity") != 0
    ]


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


@pytest.mark.slow
def test_the_code_of_every_figure_runs_and_draws_the_same_traces(tmp_path):
    figures = {**figures_of_sections(), **figures_of_pages()}
    assert len(figures) > 20
    for key, drawn in run_all(tmp_path, figures).items():
        originals = list(figures[key].values())
        assert len(drawn) == len(originals), key
        for one, original in zip(drawn, originals):
            assert sum(map(len, visible(original))) > 0, key
            assert visible(one) == visible(original), key
            for part in ("xaxis", "yaxis", "shapes", "annotations", "height", "barmode"):
                assert one.layout[part] == original.layout[part], (key, part)


def test_points_carry_series_interval_and_colour():
    figure = blank("Recall", 200, x="Recall")
    error = {"type": "data", "symmetric": False, "array": [0.1], "arrayminus": [0.2]}
    look = {"color": ["#0072B2"], "symbol": "diamond"}
    figure.add_trace(
        {"type": "scatter", "x": [0.5], "y": ["mel"], "mode": "markers", "name": "VAE"}
        | {"marker": look, "error_x": error}
    )
    (row,) = figure_points({"": figure}).to_dict("records")
    assert row == {
        "panel": "",
        "trace": 0,
        "series": "VAE",
        "x": 0.5,
        "y": "mel",
        "marker_color": "#0072B2",
        "error_x_array": 0.1,
        "error_x_arrayminus": 0.2,
    }


def test_a_gap_in_a_line_stays_a_gap_and_a_band_has_the_name_of_its_line():
    figure = blank("Loss", 200)
    figure.add_trace(band([0, 1], [0, 1], [1, 2], "#0072B2"))
    figure.add_trace({"type": "scatter", "x": [0, 1], "y": [None, 2.0], "name": "VAE"})
    table = figure_points({"": figure})
    assert table["y"].isna().sum() == 1 and table["y"].dtype.kind == "f"
    assert set(table["series"]) == {"VAE"}


def test_a_formula_in_a_name_does_not_run_in_a_spreadsheet():
    figure = charts.lines({"=1+1": ([0, 1], [1, 2])}, "Loss")
    table = figure_files({"": figure}, "Loss", "loss")["loss-figure.csv"].decode()
    assert "'=1+1" in table
