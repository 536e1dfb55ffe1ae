"""The images that the page sends for dots under the pointer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from derm_core.data.manifest import load_dataset
from pages.ui import images, map_route
from pages.ui.latent import loaded_map, map_hover
from tests.app.maps import put_map
from tests.builders import write_dataset


@pytest.fixture
def first(workspace) -> loaded_map.LoadedMap:
    """A map of 60 images."""
    write_dataset(workspace, images=60)
    return loaded_map.load_map(workspace, put_map(workspace))


def test_rows_have_their_images_names_classes_and_predictions_in_the_order_asked(first):
    answers = map_hover.hover_images(first, [7, 3, 999, -1], seconds=60)
    assert [(image.row, image.name) for image in answers] == [(7, "i007"), (3, "i003")]
    [picture] = images.pictures(first.dataset, [7], map_hover.SIDE)
    assert answers[0].src == images.data_url(picture.webp) and not answers[0].is_reconstruction
    point = first.points.set_index("row").loc[7]
    assert answers[0].lines == [
        point["label"],
        f"Split {point['split']}",
        f"VAE: {point['prediction_a']}",
        f"ImageNet: {point['prediction_b']}",
    ]


def test_when_time_is_up_a_first_few_are_sent_and_the_others_wait_for_the_next_request(first):
    rows = list(range(40))
    in_no_time = map_hover.hover_images(first, rows, seconds=0)
    assert [image.row for image in in_no_time] == rows[: map_hover.BATCH]
    assert len(map_hover.hover_images(first, rows, seconds=60)) == 40


def test_an_image_whose_file_is_gone_is_said_to_be_gone(first, workspace):
    Path(load_dataset(workspace, "tiny").frame["path"].iloc[5]).unlink()
    [answer] = map_hover.hover_images(first, [5])
    assert answer.src is None and answer.lines[-1] == images.ABSENT


def test_rows_are_answered_and_none_or_too_many_refused_with_what_to_send(first):
    answers = json.loads(map_hover.answer(first, {"rows": "7,3"}).body)
    assert [answer["row"] for answer in answers] == [7, 3]
    for rows in ("", "a", ",".join(["1"] * 101)):
        with pytest.raises(map_route.BadQuery, match="1 to 100 numbers"):
            map_hover.answer(first, {"rows": rows})
    with pytest.raises(map_route.BadQuery):
        map_hover.answer(first, {})
