"""The pages' own figures say what their data say; the theme's text can be read."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm_core.report.figure_style import CLEAR, again
from pages.ui import charts, map_scatter

CONFIG = tomllib.loads(
    (Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text()
)["theme"]


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    high, low = sorted(
        (float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True
    )
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_colours_are_readable(mode):
    theme = CONFIG[mode]
    for name in (
        "textColor",
        "linkColor",
        "blueTextColor",
        "orangeTextColor",
        "violetTextColor",
        "grayTextColor",
        "greenTextColor",
    ):
        assert contrast(theme[name], theme["backgroundColor"]) >= 4.5, name
    assert (
        contrast(mixed(theme["textColor"], theme["backgroundColor"], 0.6), theme["backgroundColor"])
        >= 4.5
    ), "captions"
    tint = mixed(theme["primaryColor"], theme["backgroundColor"], 0.1)
    assert contrast(theme["primaryColor"], tint) >= 4.5, "a chosen segment"
    assert contrast("#FFFFFF", theme["primaryColor"]) >= 4.0, "a primary button"


def mixed(one: str, other: str, share: float) -> str:
    """`one` at an opacity of `share` over `other`."""
    parts = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (one, other))
    return "#" + "".join(
        f"{int(share * a + (1 - share) * b):02X}" for a, b in zip(*parts, strict=True)
    )


def test_probability_bars_keep_the_given_order_and_a_full_axis():
    figure = charts.probability_bars({"mel": 0.7, "nv": 0.3}, colour="#1A7FC1", order=["nv", "mel"])
    assert list(figure.data[-1].y) == ["nv", "mel"] and list(figure.data[-1].x) == [0.3, 0.7]
    assert tuple(figure.layout.xaxis.range) == (0, 1)


def test_map_points_carry_their_rows_and_use_webgl():
    points = pd.DataFrame(
        {
            "row": [5, 2, 9],
            "umap_x": [0.0, 1, 2],
            "umap_y": [0.0, 1, 2],
            "label": ["nv", "mel", None],
        }
    )
    figure = map_scatter.map_scatter(points)
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert sorted(row for trace in figure.data for row in trace.customdata) == [2, 5, 9]
    assert {trace.name for trace in figure.data} == {"nv", "mel", "unknown"}


def test_map_of_many_values_keeps_every_point():
    points = pd.DataFrame(
        {
            "row": range(200),
            "umap_x": 0.0,
            "umap_y": 0.0,
            "label": [f"c{i % 40}" for i in range(200)],
        }
    )
    assert sum(len(trace.x) for trace in map_scatter.map_scatter(points).data) == 200


def test_balance_bars_stack_to_the_class_totals():
    counts = pd.DataFrame({"train": [7, 70], "val": [2, 15], "test": [1, 15]}, index=["mel", "nv"])
    figure = charts.balance_bars(counts)
    assert figure.layout.barmode == "stack"
    np.testing.assert_array_equal(np.sum([trace.x for trace in figure.data], axis=0), [10, 100])


def test_a_long_description_ends_before_the_number_of_its_class():
    counts = pd.DataFrame({"train": [7, 70]}, index=["mel", "nv"])
    figure = charts.balance_bars(
        counts,
        names={"mel": "melanoma", "nv": "a description far too long for the screen of a phone"},
    )
    labels = [note.text for note in figure.layout.annotations]
    assert "<b>mel</b> melanoma" in labels and "<b>nv</b> a description far too long for…" in labels
    assert (
        figure.data[0].customdata[1] == "nv a description far too long for the screen of a phone"
    ), "whole under the pointer"


def test_every_figure_has_a_title_and_a_clear_background():
    figure = charts.lines({"Loss": ([0, 1], [2, 1])}, "Loss")
    assert (
        figure.layout.title.text
        and figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == CLEAR
    )


def test_a_figure_made_again_is_the_same_and_a_change_in_it_stays_its_own():
    points = pd.DataFrame(
        {"umap_x": [0.0, 1, 2], "umap_y": [0.0, 2, 1], "label": ["a", "b", "a"], "row": [0, 1, 2]}
    )
    first = map_scatter.map_scatter(points, selected=[1])
    saved = first.to_dict()
    other = again(saved)
    assert json.loads(other.to_json()) == json.loads(first.to_json())
    map_scatter.mark(other, (9.0, -9.0), "your image")
    other.update_layout(title=None, font={"color": "#123456"}).update_traces(
        name="changed", marker={"color": "#000000"}
    )
    assert (
        json.loads(again(saved).to_json())
        == json.loads(first.to_json())
        != json.loads(other.to_json())
    )


def test_the_axes_of_a_first_value_begin_at_zero_unless_values_lie_below_it():
    first = charts.lines({"Probe": ([0], [0.35])}, "Probe", share=True).layout
    assert first.xaxis.rangemode == first.yaxis.rangemode == "nonnegative"
    assert charts.lines({"Loss": ([0, 1], [-0.5, 1])}, "Loss").layout.yaxis.rangemode == "normal"
