"""Figures say what their data say, in colours that can be told apart."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm_core.arms import ARM_STYLES, arm_style
from derm_core.report import figure_style, figures

CONFIG = tomllib.loads(
    (Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text()
)["theme"]
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    high, low = sorted(
        (float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True
    )
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB (D65)."""
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = matrix @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def curves(shift: float = 0.0, seeds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "epoch": e,
                "step": 10 * e,
                "seed": s,
                "train_loss": 1 / (1 + e) + shift + 0.01 * rng.normal(),
                "val_loss": 1.1 / (1 + e) + shift + 0.01 * rng.normal(),
            }
            for e in range(5)
            for s in range(seeds)
        ]
    )


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("arm", list(ARM_STYLES))
def test_arm_colours_stand_out_from_the_page(arm, mode):
    assert contrast(arm_style(arm).colour, CONFIG[mode]["backgroundColor"]) >= 3


@pytest.mark.parametrize("deficiency", ["none", *DEFICIENCIES])
def test_arms_stay_apart_for_colour_blind_readers(deficiency):
    matrix = np.array(DEFICIENCIES.get(deficiency, np.eye(3)))
    seen = {
        key: lab(matrix @ linear(arm_style(key).colour))
        for key in ("vae", "imagenet", "both", "random")
    }
    for one, other in itertools.combinations(seen, 2):
        apart = float(np.linalg.norm(seen[one] - seen[other]))
        assert apart >= 12, (one, other, apart)


def test_symbols_tell_arms_apart_without_colour():
    symbols = [arm_style(key).symbol for key in ARM_STYLES]
    assert len(set(symbols)) == len(symbols)


def test_seed_band_is_mean_and_sample_deviation_over_seeds():
    table = curves()
    band = figures.seed_band(table, "val_loss")
    expected = table.pivot(index="epoch", columns="seed", values="val_loss").to_numpy()
    np.testing.assert_allclose(band["mean"], expected.mean(axis=1))
    np.testing.assert_allclose(
        band["std"], np.sqrt(((expected - expected.mean(1, keepdims=True)) ** 2).sum(1) / 2)
    )


def test_one_seed_has_a_band_of_no_width():
    assert (figures.seed_band(curves(seeds=1), "val_loss")["std"] == 0).all()


def test_learning_curves_share_axes_and_hold_every_value():
    panels = figures.learning_curves({"imagenet": curves(1.0), "vae": curves()}, "loss")
    assert list(panels) == ["vae", "imagenet"]
    assert len({tuple(figure.layout.yaxis.range) for figure in panels.values()}) == 1
    assert len({tuple(figure.layout.xaxis.range) for figure in panels.values()}) == 1
    low, high = panels["vae"].layout.yaxis.range
    drawn = [y for figure in panels.values() for trace in figure.data for y in trace.y]
    assert low <= min(drawn) and max(drawn) <= high


def test_learning_curves_draw_training_dotted_and_validation_solid_in_the_arm_s_colour():
    lines = {
        trace.name: trace.line
        for trace in figures.learning_curves({"vae": curves()}, "loss")["vae"].data
        if trace.name
    }
    assert lines["Training"].dash == "dot" and lines["Validation"].dash == "solid"
    assert {line.color for line in lines.values()} == {arm_style("vae").colour}


def test_gap_chart_draws_the_control_in_grey_and_every_interval():
    rows = [
        {
            "arm": "vae",
            "x": 0.5,
            "x_low": 0.45,
            "x_high": 0.56,
            "y": 0.02,
            "y_low": 0.0,
            "y_high": 0.05,
        },
        {"arm": "random", "x": 0.3, "y": 0.01},
    ]
    first, control = figures.gap_against_accuracy(rows).data
    assert first.error_x.array[0] == pytest.approx(0.06) and first.error_x.arrayminus[
        0
    ] == pytest.approx(0.05)
    assert first.error_y.array[0] == pytest.approx(0.03) and first.error_y.arrayminus[
        0
    ] == pytest.approx(0.02)
    assert control.marker.color == arm_style("random").colour and control.error_x.array is None
    assert control.text[0] == arm_style("random").name


def test_labels_of_near_points_go_to_different_sides():
    rows = [
        {"arm": "imagenet", "x": 0.62, "y": 0.08},
        {"arm": "both", "x": 0.63, "y": 0.081},
        {"arm": "random", "x": 0.3, "y": 0.01},
    ]
    spots = [trace.textposition for trace in figures.gap_against_accuracy(rows).data]
    assert spots[0] != spots[1]


def test_a_label_that_a_phone_would_cut_off_stands_on_the_other_side():
    """As on Home at 400 px: fourteen letters, a quarter of the chart from its right edge."""
    rows = [
        {
            "arm": arm,
            "x": x,
            "x_low": x - 0.06,
            "x_high": x + 0.06,
            "y": y,
            "y_low": y - 0.023,
            "y_high": y + 0.023,
        }
        for arm, x, y in (
            ("imagenet", 0.615, 0.095),
            ("both", 0.637, 0.114),
            ("random", 0.461, 0.035),
        )
    ]
    assert figures.gap_against_accuracy(rows).data[1].textposition.endswith("left")


def test_per_class_dots_stay_in_their_class_s_row():
    rows = [
        {"arm": arm, "class": name, "n": 9, "mean": 0.5, "low": 0.4, "high": 0.7}
        for arm in ("vae", "imagenet", "both", "random")
        for name in ("mel", "nv")
    ]
    figure = figures.per_class(rows)
    assert list(figure.layout.yaxis.tickvals) == [0, 1]
    for trace in figure.data:
        for y, name in zip(trace.y, trace.customdata):
            assert abs(y - ["mel", "nv"].index(name)) < 0.5


def test_confusion_rows_are_shares_of_their_class():
    shown = figures.confusion([[8, 2], [1, 3]], ["a", "b"], "vae").data[0]
    np.testing.assert_allclose(shown.z, [[0.8, 0.2], [0.25, 0.75]])


def test_a_class_without_images_leaves_an_empty_confusion_row():
    np.testing.assert_allclose(
        figures.confusion([[0, 0], [1, 3]], ["a", "b"], "vae").data[0].z[0], [0, 0]
    )


def test_every_figure_has_a_title_and_a_clear_background():
    drawn = [
        figures.gap_against_accuracy([{"arm": "vae", "x": 0.5, "y": 0.1}]),
        figures.confusion([[1]], ["a"], "vae"),
        *figures.learning_curves({"vae": curves()}, "loss").values(),
    ]
    for figure in drawn:
        assert figure.layout.title.text
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == figure_style.CLEAR
