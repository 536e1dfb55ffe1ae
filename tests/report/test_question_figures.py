"""Figures of the further questions draw the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.arms import arm_style
from derm_core.report import figures, question_figures
from derm_core.report.figure_style import ACCENT, CLEAR
from tests.report.full_study import interval


def line(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def test_the_primary_difference_is_marked_in_the_forest():
    rows = [
        {"name": "VAE − ImageNet", "text": "", "primary": True, **interval(-0.1)},
        {"name": "B", "text": "", **interval(0.1)},
    ]
    marks = [
        trace for trace in question_figures.forest(rows, "Accuracy").data if trace.mode == "markers"
    ]
    assert [trace.marker.symbol for trace in marks] == ["diamond", "circle"] and marks[
        0
    ].marker.color == ACCENT
    assert [trace.x[0] for trace in marks] == [-0.1, 0.1]


def test_a_forest_line_reaches_from_low_to_high():
    bars = [
        trace
        for trace in question_figures.forest(
            [{"name": "A", "text": "", **interval(0.2, 0.07)}], "Loss", share=False
        ).data
        if trace.mode == "lines"
    ]
    assert bars[0].x == pytest.approx((0.13, 0.27))


def test_label_shares_stand_on_a_logarithmic_axis_with_their_crossing():
    rows = [
        {"arm": arm, "fraction": f, "balanced_accuracy": interval(f)}
        for arm in ("random", "vae")
        for f in (1.0, 0.01, 0.1)
    ]
    figure = question_figures.label_efficiency(rows, crossing=0.05)
    assert figure.layout.xaxis.type == "log" and list(line(figure, arm_style("vae").name).x) == [
        0.01,
        0.1,
        1.0,
    ]
    assert any(shape.x0 == 0.05 for shape in figure.layout.shapes)
    assert not question_figures.label_efficiency(rows).layout.shapes


def test_the_corruption_map_keeps_families_and_arms_apart():
    rows = [
        {"arm": arm, "family": family, "relative_loss": interval(k + 0.1 * i)}
        for k, family in enumerate(("noise", "hair"))
        for i, arm in enumerate(("imagenet", "vae"))
    ]
    shown = question_figures.corruption_map(rows, ["noise", "hair"]).data[0]
    assert list(shown.x) == ["VAE", "ImageNet"] and list(shown.y) == ["Noise", "Hair"]
    np.testing.assert_allclose(shown.z, [[0.1, 0.0], [1.1, 1.0]])


def test_reliability_and_operating_curves_draw_every_arm_in_its_colour():
    bins = {
        arm: [
            {"confidence": 0.5, "accuracy": 0.4, "n": 3},
            {"confidence": 0.9, "accuracy": 0.8, "n": 3},
        ]
        for arm in ("vae", "imagenet")
    }
    point = {
        "class": "mel",
        "specificity": [0, 1],
        "arms": {arm: {"sensitivity": [1, 0], "low": [1, 0], "high": [1, 0]} for arm in bins},
    }
    for figure in (
        question_figures.reliability(bins),
        question_figures.operating_curves(point, 0.9),
    ):
        for arm in bins:
            assert line(figure, arm_style(arm).name).line.color == arm_style(arm).colour


def test_every_cell_of_a_matrix_can_be_pressed():
    for figure in (
        figures.confusion([[8, 2], [1, 3]], ["a", "b"], "vae"),
        figures.disagreement({"a": "vae", "b": "random", "matrix": [[8, 2], [1, 3]]}, ["a", "b"]),
    ):
        cells, marks = figure.data
        assert [tuple(place) for place in marks.customdata] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for (i, j), x, y in zip(marks.customdata, marks.x, marks.y, strict=True):
            assert (cells.y[i], cells.x[j]) == (y, x)
        assert marks.marker.opacity == 0 and figure.layout.clickmode == "event+select"


def test_agreement_is_not_shaded():
    shade = np.array(
        figures.disagreement({"a": "vae", "b": "random", "matrix": [[8, 2], [1, 3]]}, ["a", "b"])
        .data[0]
        .z
    )
    assert (np.diag(shade) == 0).all() and shade[0, 1] > shade[1, 0] > 0


def test_groups_with_few_images_are_drawn_pale():
    rows = [{"arm": "vae", "group": g, "faint": g == "b", **interval(0.5)} for g in ("a", "b")]
    assert list(figures.dots(rows, title="T", x="X").data[0].marker.opacity) == [1, 0.35]


def test_all_have_a_title_and_a_clear_background():
    rows = [
        {
            "arm": "vae",
            "strength": 0.5,
            "severity": 1,
            "reliance": interval(0.1),
            "balanced_accuracy": interval(0.5),
        }
    ]
    for figure in (
        question_figures.strengths(rows),
        question_figures.severity(rows, "jpeg"),
        question_figures.forest([], "Loss"),
    ):
        assert figure.layout.title.text and figure.layout.paper_bgcolor == CLEAR
