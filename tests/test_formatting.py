"""Names, order and numbers."""

from __future__ import annotations

import pytest

from derm_core import formatting
from derm_core.arms import arm_style, in_order


def test_arms_always_stand_in_one_order():
    assert in_order(["random", "both", "bundle:x", "imagenet", "vae"]) == [
        "vae",
        "imagenet",
        "both",
        "bundle:x",
        "random",
    ]


def test_a_bundle_s_colour_does_not_depend_on_what_stands_beside_it():
    assert arm_style("bundle:skin-1") == arm_style("bundle:skin-1")
    assert arm_style("bundle:skin-1").name == "skin-1"


@pytest.mark.parametrize(
    ("value", "text"), [(0.7123, "71.2 %"), (1, "100.0 %"), (None, "–"), (float("nan"), "–")]
)
def test_percentages_have_one_decimal(value, text):
    assert formatting.percent(value).replace(formatting.THIN, " ") == text


def test_signs_are_true_minus_signs():
    assert (
        formatting.number(-0.0613) == "−0.061"
        and formatting.percent(-0.2, sign=True) == f"−20.0{formatting.THIN}%"
    )
    assert formatting.number(0.04, sign=True) == "+0.040"


def test_intervals_stand_beside_their_means():
    assert (
        formatting.interval({"mean": 0.5, "low": 0.4, "high": 0.6})
        == f"50.0{formatting.THIN}%\u00a0(40.0–60.0)"
    )
    assert formatting.interval({"mean": 0.5, "low": None, "high": None}, "log_loss") == "0.500"
    assert formatting.span({"low": -0.1, "high": 0.2}, "loss") == "−0.100\u00a0to\u00a00.200"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8, "8 s"),
        (200, "3 min 20 s"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (None, "–"),
        (-3, "0 s"),
    ],
)
def test_durations(seconds, text):
    assert formatting.duration(seconds).replace(formatting.THIN, " ") == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (5, "just now"),
        (300, "5 min ago"),
        (7200, "2 h ago"),
        (86400, "1 day ago"),
        (3 * 86400, "3 days ago"),
    ],
)
def test_how_long_ago(before, text):
    assert formatting.ago(1e9 - before, now=1e9).replace(formatting.THIN, " ") == text


def test_a_long_name_is_cut_and_a_short_one_is_not():
    assert (
        formatting.short("melanoma", 8) == "melanoma"
        and formatting.short("actinic keratosis", 9) == "actinic…"
    )
