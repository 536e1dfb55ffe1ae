"""How many images a network's input enlarges."""

from __future__ import annotations

from derm_core.data.dataset_facts import dataset_facts, describe_enlarged, short_sides
from tests.builders import write_dataset


def test_the_shorter_side_counts(workspace):
    dataset = write_dataset(workspace, images=12)
    frame = dataset.frame.assign(width=[200] * 6 + [600] * 6, height=[150] * 6 + [450] * 6)
    assert short_sides(frame).tolist() == [150] * 6 + [450] * 6


def test_images_below_each_input_size_are_counted(workspace):
    dataset = write_dataset(workspace, images=12)
    dataset.frame[["width", "height"]] = [[200, 150]] * 6 + [[600, 450]] * 6
    assert dataset_facts(dataset).resolution.below == {"64": 0, "128": 0, "192": 6, "224": 6}


def test_nothing_is_said_where_no_image_was_enlarged():
    assert describe_enlarged(0.0, 192) == "" and "192 px" in describe_enlarged(0.5, 192)
