"""Filters, searches and selections on a map's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.insight import selection
from derm_core.insight.saved_map import PredictionSlot

POINTS = pd.DataFrame(
    {
        "image_id": ["ISIC_1", "ISIC_12", "b", "c", "d", "e"],
        "row": [4, 2, 7, 9, 11, 12],
        "label": ["nv", "nv", "mel", "mel", None, "nv"],
        "split": ["train", "test", "val", "test", "test", "train"],
        "age": [30.0, 40.0, 50.0, np.nan, 60.0, 70.0],
        "correct_a": [True, False, True, True, None, True],
        "adjusted_correct_a": [False, True, True, True, None, False],
    }
)
MODELS = [PredictionSlot("a", "one", "vae")]


def test_filters_hold_together_and_a_range_holds_its_ends_and_nothing_missing():
    inside = selection.narrow(
        POINTS, {"label": ["nv", "mel"], "age": (40, 60), "of another map": ["x"]}
    )
    assert list(POINTS["row"][inside]) == [2, 7]


def test_what_is_missing_can_be_asked_for():
    assert list(POINTS["row"][selection.narrow(POINTS, {"label": ["unknown"]})]) == [11]
    assert list(POINTS["row"][selection.narrow(POINTS, {"correct_a": ["no"]})]) == [2]


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"label": ["a,b;c:d", "é & 100 %"]},
        {"age": (0.5, 60.0)},
        {"x;y": ["1..2x"], "b": (0.0, 1.0)},
    ],
)
def test_filters_survive_the_way_through_an_address(filters):
    assert selection.read_filters(selection.write_filters(filters)) == filters


@pytest.mark.parametrize("text", ["", ";;", "label", "label:", ":x", "age:low..high"])
def test_a_broken_address_filters_nothing(text):
    assert selection.read_filters(text) == {}


def test_a_search_prefers_the_exact_id():
    assert selection.find(POINTS, " isic_1 ") == [4]
    assert selection.find(POINTS, "isic") == [4, 2]
    assert selection.find(POINTS, "") == [] and selection.find(POINTS, "(") == []


def test_a_sample_keeps_every_class_in_proportion():
    many = pd.DataFrame({"label": ["nv"] * 900 + ["mel"] * 99 + ["df"], "row": range(1000)})
    counts = selection.sample(many, 100)["label"].value_counts()
    assert (counts["nv"], counts["mel"], counts["df"]) == (90, 9, 1)
    assert selection.sample(many, 1000) is many


def test_of_a_hundred_thousand_points_fifty_thousand_are_drawn_no_class_by_more_than_one_off():
    shares = np.array([0.0327, 0.0513, 0.1098, 0.01149, 0.1111, 0.6695, 0.0142])
    labels = np.array(
        [
            *np.random.default_rng(0).choice(list("abcdefg"), 99_998, p=shares / shares.sum()),
            "rare",
            None,
        ],
        object,
    )
    many = pd.DataFrame({"label": labels, "row": range(100_000)})
    drawn = selection.sample(many, 50_000)
    assert len(drawn) == 50_000 and drawn["row"].is_unique and drawn["row"].is_monotonic_increasing
    parts, whole = (frame["label"].value_counts(dropna=False) for frame in (drawn, many))
    assert ((parts - whole / 2).abs() <= 1).all() and parts["rare"] == 1
    assert selection.sample(many, 50_000).equals(drawn), "the same points every time the page runs"
    apart = np.random.default_rng(1).permutation(drawn["row"])[:1000]
    assert abs(apart.mean() - 50_000) < 4 * 100_000 / np.sqrt(12 * 1000), (
        "drawn from everywhere, not the first ones"
    )


def test_the_class_mix_says_how_much_commoner_a_class_is_than_on_the_map():
    mix = selection.class_mix(POINTS, [7, 9, 4]).set_index("label")
    assert list(mix.index) == ["mel", "nv"] and mix["images"].tolist() == [2, 1]
    assert mix.loc["mel", "ratio"] == pytest.approx((2 / 3) / (2 / 6))


def test_accuracy_keeps_images_that_a_model_was_trained_on_apart():
    model, adjusted = selection.accuracies(POINTS, [4, 2, 7, 11], MODELS)
    assert model.unseen == selection.PartAccuracy(2, 0.5, pytest.approx(2 / 3), 0.5)
    assert model.train == selection.PartAccuracy(1, 1.0, 1.0, 1.0)
    assert (model.decision, adjusted.decision) == ("most_probable", "adjusted")
    assert adjusted.unseen == selection.PartAccuracy(2, 1.0, 1.0, 1.0)
    assert adjusted.train.accuracy == 0
    assert selection.accuracies(POINTS, [11], MODELS)[0].unseen.accuracy is None


@pytest.mark.parametrize(
    "former", [POINTS.drop(columns="adjusted_correct_a"), POINTS.assign(adjusted_correct_a=None)]
)
def test_a_map_without_adjusted_classes_has_the_accuracy_of_the_most_probable_ones(former):
    assert [one.decision for one in selection.accuracies(former, [4], MODELS)] == ["most_probable"]
