"""Lesion masks on Data: added by a field, counted, and drawn over the images of the gallery on request."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.data.mask_files import masks_at
from derm_core.data.masks import add_masks, mask_info
from tests.builders import write_dataset, write_image

pytestmark = pytest.mark.slow


def mask() -> np.ndarray:
    """A square of 12 pixels in an image of 32."""
    marked = np.zeros((32, 32), np.uint8)
    marked[10:22, 10:22] = 255
    return marked


@pytest.fixture
def dataset(workspace, tmp_path, monkeypatch):
    """Six images, and masks of four of them in a folder that the app may read."""
    monkeypatch.setenv("DERM_IMPORT_ROOTS", str(tmp_path))
    for i in range(4):
        write_image(tmp_path / "masks" / f"i00{i}_mask.png", mask())
    return write_dataset(workspace, images=6)


def text(app) -> str:
    return " ".join(one.value for one in [*app.markdown, *app.caption])


def test_masks_are_added_by_their_path(open_page, dataset, tmp_path):
    app = open_page("data", dataset="tiny")
    assert "None yet" in text(app) and not any(one.label == "Lesion outline" for one in app.toggle)
    field = app.text_input(key="masks-path-tiny")
    field.set_value(str(tmp_path / "masks"))
    next(one for one in app.button if one.label == "Add masks").click()
    app.run()
    assert not app.exception and not app.error
    assert mask_info(dataset.paths).masks == 4
    assert "4 of 6 images have a lesion mask, from masks" in text(app)


def test_masks_are_removed_by_a_button_that_is_there_only_with_them(open_page, dataset, tmp_path):
    assert not [one for one in open_page("data", dataset="tiny").button if one.label == "Remove"]
    add_masks(dataset, masks_at(tmp_path / "masks"))
    app = open_page("data", dataset="tiny")
    app.button(key="remove-masks-tiny").click()
    app.run()
    assert not app.exception and not app.error
    assert mask_info(dataset.paths) is None and "None yet" in text(app)
    assert len(list((tmp_path / "masks").iterdir())) == 4


def test_a_path_outside_the_allowed_folders_is_refused(open_page, dataset):
    app = open_page("data", dataset="tiny")
    app.text_input(key="masks-path-tiny").set_value("/elsewhere/masks.zip")
    next(one for one in app.button if one.label == "Add masks").click()
    app.run()
    assert "imports from" in app.error[0].value and mask_info(dataset.paths) is None


def test_the_gallery_draws_outlines_on_request_and_says_where_there_is_none(
    open_page, dataset, tmp_path
):
    add_masks(dataset, masks_at(tmp_path / "masks"))
    app = open_page("data", dataset="tiny")
    plain = [one.value for one in app.image]
    app.toggle(key="outlines-tiny").set_value(True)
    app.run()
    assert not app.exception
    outlined = [one.value for one in app.image]
    assert sum(a != b for a, b in zip(plain, outlined, strict=True)) == 4
    assert text(app).count("no mask") == 2
