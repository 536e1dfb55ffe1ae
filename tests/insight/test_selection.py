"""Filters, searches and selections on a map's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.insight import selection

POINTS = pd.DataFrame({
    "image_id": ["ISIC_1", "ISIC_12", "b", "c", "d", "e"], "row": [4, 2, 7, 9, 11, 12],
    "label": ["nv", "nv", "mel", "mel", None, "nv"], "split": ["train", "test", "val", "test", "test", "train"],
    "age": [30.0, 40.0, 50.0, np.nan, 60.0, 70.0], "correct_a": [True, False, True, True, None, True]})
OPINIONS = [{"slot": "a", "name": "one", "arm": "vae"}]


def test_filters_hold_together_and_a_range_holds_its_ends_and_nothing_missing():
    kept = selection.narrow(POINTS, {"label": ["nv", "mel"], "age": (40, 60), "of another map": ["x"]})
    assert list(POINTS["row"][kept]) == [2, 7]


def test_what_is_missing_can_be_asked_for():
    assert list(POINTS["row"][selection.narrow(POINTS, {"label": ["unknown"]})]) == [11]
    assert list(POINTS["row"][selection.narrow(POINTS, {"correct_a": ["no"]})]) == [2]


@pytest.mark.parametrize("filters", [
    {}, {"label": ["a,b;c:d", "é & 100 %"]}, {"age": (0.5, 60.0)}, {"x;y": ["1..2x"], "b": (0.0, 1.0)}])
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


def test_the_class_mix_says_how_much_commoner_a_class_is_than_on_the_map():
    mix = selection.class_mix(POINTS, [7, 9, 4]).set_index("label")
    assert list(mix.index) == ["mel", "nv"] and mix["images"].tolist() == [2, 1]
    assert mix.loc["mel", "ratio"] == pytest.approx((2 / 3) / (2 / 6))


def test_accuracy_keeps_images_that_a_model_was_trained_on_apart():
    found, = selection.accuracies(POINTS, [4, 2, 7, 11], OPINIONS)
    assert found["unseen"] == {"images": 2, "accuracy": 0.5, "overall": pytest.approx(2 / 3)}
    assert found["train"] == {"images": 1, "accuracy": 1.0, "overall": 1.0}
    assert selection.accuracies(POINTS, [11], OPINIONS)[0]["unseen"]["accuracy"] is None
