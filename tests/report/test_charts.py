"""Figures say what their data say, in colours that can be told apart."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm_core.arms import ARM_STYLES, arm_style
from derm_core.report import figure_style
from derm_core.report.charts import Dot, ForestRow, dots, forest
from derm_core.report.label_placement import Point
from derm_core.report.sections.classes import confusion_matrix, disagreement_matrix, meanings
from derm_core.report.sections.curves import learning_curves, middle_of_runs
from derm_core.report.sections.gaps import gap_figure
from derm_core.stats.intervals import Interval

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


def test_a_curve_is_the_median_of_its_runs_with_their_quartiles():
    table = curves(seeds=4)
    middle = middle_of_runs(table, "val_loss")
    runs = np.sort(table.pivot(index="epoch", columns="seed", values="val_loss").to_numpy())
    np.testing.assert_allclose(middle["median"], runs[:, 1:3].mean(axis=1))
    np.testing.assert_allclose(middle["low"], 0.25 * runs[:, 0] + 0.75 * runs[:, 1])
    np.testing.assert_allclose(middle["high"], 0.75 * runs[:, 2] + 0.25 * runs[:, 3])


def test_one_run_has_a_band_of_no_width():
    middle = middle_of_runs(curves(seeds=1), "val_loss")
    assert (middle["low"] == middle["high"]).all()


def panels(metric: str, **tables) -> dict:
    """The panel of each arm, by its key."""
    styles = {arm: arm_style(arm) for arm in tables}
    return {arm.key: panel for arm, panel in learning_curves(tables, metric, styles).panels()}


def test_learning_curves_share_axes_and_hold_every_value():
    drawn = panels("loss", imagenet=curves(1.0), vae=curves())
    assert list(drawn) == ["vae", "imagenet"]
    assert len({tuple(figure.layout.yaxis.range) for figure in drawn.values()}) == 1
    assert len({tuple(figure.layout.xaxis.range) for figure in drawn.values()}) == 1
    low, high = drawn["vae"].layout.yaxis.range
    values = [y for figure in drawn.values() for trace in figure.data for y in trace.y]
    assert low <= min(values) and max(values) <= high


def test_learning_curves_draw_training_dotted_and_validation_solid_in_the_arm_s_colour():
    data = panels("loss", vae=curves())["vae"].data
    lines = {trace.name: trace.line for trace in data if trace.name}
    assert lines["Training"].dash == "dot" and lines["Validation"].dash == "solid"
    assert {line.color for line in lines.values()} == {arm_style("vae").colour}


def point(arm: str, x: float, y: float, reach: float | None = None) -> Point:
    return Point(arm_style(arm), estimate(x, reach), estimate(y, reach and reach / 2))


def estimate(mean: float, reach: float | None = 0.05) -> Interval:
    if reach is None:
        return Interval(mean=mean)
    return Interval(mean=mean, low=mean - reach, high=mean + reach)


def test_gap_chart_draws_the_control_in_grey_and_every_interval():
    first, control = gap_figure(
        [point("vae", 0.5, 0.02, 0.06), point("random", 0.3, 0.01)], "accuracy"
    ).data
    assert first.error_x.array[0] == pytest.approx(0.06)
    assert first.error_x.arrayminus[0] == pytest.approx(0.06)
    assert first.error_y.array[0] == pytest.approx(0.03)
    assert control.marker.color == arm_style("random").colour and control.error_x.array is None
    assert control.text[0] == arm_style("random").name


def test_labels_of_near_points_go_to_different_sides():
    rows = [point("imagenet", 0.62, 0.08), point("both", 0.63, 0.081), point("random", 0.3, 0.01)]
    spots = [trace.textposition for trace in gap_figure(rows, "loss").data]
    assert spots[0] != spots[1]


def test_a_label_that_a_phone_would_cut_off_stands_on_the_other_side():
    """As on Home at 400 px: fourteen letters, a quarter of the chart from its right edge."""
    rows = [
        point(arm, x, y, 0.06)
        for arm, x, y in (
            ("imagenet", 0.615, 0.095),
            ("both", 0.637, 0.114),
            ("random", 0.461, 0.035),
        )
    ]
    assert gap_figure(rows, "loss").data[1].textposition.endswith("left")


def test_names_that_would_lie_on_each_other_stand_in_a_legend():
    """As in the five-fold study of HAM10000: nine arms, four of them within two points of accuracy."""
    arms = ("vae", "imagenet", "both", "random", "masked", "imagenet-96", "plain", "a", "b")
    places = (0.58, 0.627, 0.658, 0.49, 0.507, 0.644, 0.462, 0.637, 0.644)
    gaps = (0.047, 0.1, 0.107, 0.058, 0.063, 0.126, 0.048, 0.113, 0.127)
    rows = [point(arm, x, y, 0.03) for arm, x, y in zip(arms, places, gaps)]
    crowded = gap_figure(rows, "accuracy")
    assert crowded.layout.showlegend
    assert all(trace.mode == "markers" and trace.text is None for trace in crowded.data)
    assert [trace.name for trace in crowded.data] == [row.arm.name for row in rows]
    roomy = gap_figure(rows[:1] + rows[3:4], "accuracy")
    assert not roomy.layout.showlegend and crowded.layout.height > roomy.layout.height


def test_dots_stay_in_their_group_s_row_and_faint_ones_are_pale():
    rows = [
        Dot(arm_style(arm), name, estimate(0.5), 9, faint=name == "nv")
        for arm in ("vae", "imagenet", "both", "random")
        for name in ("mel", "nv")
    ]
    figure = dots(rows, title="T", x="X")
    assert list(figure.layout.yaxis.tickvals) == [0, 1]
    for trace in figure.data:
        assert list(trace.marker.opacity) == [1, 0.35]
        for y, name in zip(trace.y, trace.customdata, strict=True):
            assert abs(y - ["mel", "nv"].index(name)) < 0.5


def test_the_primary_difference_is_marked_in_the_forest():
    rows = [
        ForestRow("VAE − ImageNet", "", estimate(-0.1), primary=True),
        ForestRow("B", "", estimate(0.1, 0.07)),
    ]
    data = forest(rows, "accuracy").data
    marks = [trace for trace in data if trace.mode == "markers"]
    assert [trace.marker.symbol for trace in marks] == ["diamond", "circle"]
    assert marks[0].marker.color == figure_style.ACCENT
    assert [trace.x[0] for trace in marks] == [-0.1, 0.1]
    lines = [trace for trace in data if trace.mode == "lines"]
    assert lines[1].x == pytest.approx((0.03, 0.17))


def test_known_class_codes_are_explained_and_other_names_are_not():
    assert meanings(["mel", "NV", "mole"]) == " Classes: mel: melanoma; NV: melanocytic nevus."
    assert meanings(["mole"]) == ""


def test_confusion_rows_are_shares_of_their_class():
    cells = confusion_matrix([[8, 2], [1, 3]], ["a", "b"], arm_style("vae")).data[0]
    np.testing.assert_allclose(cells.z, [[0.8, 0.2], [0.25, 0.75]])


def test_a_class_without_images_leaves_an_empty_confusion_row():
    cells = confusion_matrix([[0, 0], [1, 3]], ["a", "b"], arm_style("vae")).data[0]
    np.testing.assert_allclose(cells.z[0], [0, 0])


@pytest.mark.parametrize("arm", list(ARM_STYLES))
def test_numbers_stand_out_from_the_strongest_cell_of_a_matrix(arm):
    """plotly writes them in #444 on a light page: on the cell's colour over white."""
    scale = confusion_matrix([[9, 1], [1, 9]], ["a", "b"], arm_style(arm)).data[0].colorscale
    *parts, opacity = map(float, scale[-1][1][5:-1].split(","))
    over_white = [round(part * opacity + 255 * (1 - opacity)) for part in parts]
    assert (
        opacity < 0.5 and contrast("#444444", "#" + "".join(f"{c:02x}" for c in over_white)) >= 4.5
    )


def test_agreement_is_not_shaded():
    figure = disagreement_matrix([[8, 2], [1, 3]], ["a", "b"], "A", "B")
    shade = np.array(figure.data[0].z)
    assert (np.diag(shade) == 0).all() and shade[0, 1] > shade[1, 0] > 0


def test_every_cell_of_a_matrix_can_be_pressed():
    for figure in (
        confusion_matrix([[8, 2], [1, 3]], ["a", "b"], arm_style("vae")),
        disagreement_matrix([[8, 2], [1, 3]], ["a", "b"], "A", "B"),
    ):
        cells, marks = figure.data
        assert [tuple(place) for place in marks.customdata] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for (i, j), x, y in zip(marks.customdata, marks.x, marks.y, strict=True):
            assert (cells.y[i], cells.x[j]) == (y, x)
        assert marks.marker.opacity == 0 and figure.layout.clickmode == "event+select"


def test_few_epochs_far_up_lie_above_the_axis_and_are_told():
    """One seed of one arm explodes at an epoch: the other curves must not be flat lines for it."""
    epochs = pd.DataFrame({"epoch": range(60), "seed": 0, "train_loss": 1.0, "val_loss": 1.2})
    wild = epochs.assign(val_loss=[80.0, *[1.2] * 59])
    styles = {arm: arm_style(arm) for arm in ("vae", "imagenet")}
    section = learning_curves({"vae": epochs, "imagenet": wild}, "loss", styles)
    for figure in section.figure().values():
        assert figure.layout.yaxis.range[1] < 2
    assert "1 of 240 values of single runs lie above it, up to 80" in section.caption
    calm = learning_curves({"vae": epochs, "imagenet": epochs}, "loss", styles)
    assert "above" not in calm.caption


def test_losses_that_shoot_up_within_the_first_epoch_leave_the_later_ones_readable():
    """Many evaluations fall into the first epoch, where a high learning rate throws the loss far up in every run."""
    early = [0, 0.02, 0.04, 0.08, 0.15, 0.3]
    table = pd.DataFrame({"epoch": [*early, *range(1, 31)], "seed": 0})
    table["val_loss"] = [1.9, 250, 240, 100, 30, 5, *np.linspace(0.9, 0.6, 30)]
    table["train_loss"] = table["val_loss"] - 0.1
    figure = panels("loss", imagenet=table)["imagenet"]
    low, high = figure.layout.yaxis.range
    assert 1.9 <= high < 2.1 and low < 0.5


def test_a_difference_of_long_names_takes_two_lines_and_short_ones_one():
    long = "VAE + SimCLR + ImageNet − ImageNet at 64 and 96 px"
    rows = [
        ForestRow(name, "+1.0", Interval(mean=0.01, low=0, high=0.02)) for name in ("A − B", long)
    ]
    texts = {label.text: label.yshift for label in forest(rows, "accuracy").layout.annotations}
    assert texts["A − B"] < texts["VAE + SimCLR + ImageNet<br>− ImageNet at 64 and 96 px"]


def test_a_figure_with_many_names_is_higher_for_its_legend():
    value = Interval(mean=0.5, low=0.4, high=0.6)
    heights = []
    for arms in (list(ARM_STYLES)[:3], list(ARM_STYLES)[:9]):
        drawn = dots([Dot(arm_style(arm), "a", value) for arm in arms], title="", x="")
        heights.append(drawn.layout.height - 15 * len(arms))
    assert heights[1] - heights[0] >= 9 * 12


def test_no_band_of_losses_lies_below_zero():
    """One run of four shoots up: a standard deviation around the mean would reach below 0."""
    table = curves(shift=0.2, seeds=4)
    table.loc[(table["seed"] == 0) & (table["epoch"] == 2), "val_loss"] = 50.0
    drawn = panels("loss", imagenet=table)["imagenet"]
    assert min(y for trace in drawn.data for y in trace.y) > 0 and drawn.layout.yaxis.range[1] < 2
