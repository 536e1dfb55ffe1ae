"""An upload is answered by both models, side by side."""

from __future__ import annotations

import pytest
from PIL import Image

from derm_core.data.synth import generate
from derm_core.serve.predictor import predict_images
from tests.browser.support import calm, no_exception, visit

pytestmark = pytest.mark.browser


def test_an_upload_gets_two_predictions_side_by_side(page, furnished, furnished_app, tmp_path):
    picture = tmp_path / "lesion.png"
    Image.fromarray(next(generate(1, 128, seed=7))[0]).save(picture)
    visit(page, f"{furnished_app}/classify", "Classify")
    page.locator("input[type=file]").set_input_files(picture)
    page.get_by_text("The models", exact=False).first.wait_for()
    calm(page)
    no_exception(page)
    metrics = page.get_by_test_id("stMetric")
    assert metrics.count() == 2 and page.locator(".js-plotly-plot").count() == 2
    left, right = (metrics.nth(place).bounding_box() for place in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"], "side by side"
    arms = predict_images(furnished, None, [("lesion.png", picture)])["images"][0]["arms"].values()
    said = metrics.nth(0).inner_text() + metrics.nth(1).inner_text()
    assert all(f"{100 * arm['probabilities'][arm['top']]:.1f}" in said for arm in arms)
    assert page.get_by_text("Not for diagnosis").is_visible()


def test_a_refused_file_is_explained_and_the_other_classified(page, furnished_app, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "half.png"
    Image.fromarray(next(generate(1, 128, seed=8))[0]).save(good)
    bad.write_bytes(good.read_bytes()[:2000])
    visit(page, f"{furnished_app}/classify", "Classify")
    page.locator("input[type=file]").set_input_files([good, bad])
    page.get_by_test_id("stAlert").get_by_text("half.png").wait_for()
    page.get_by_test_id("stMetric").nth(1).wait_for()
    calm(page)
    assert page.get_by_test_id("stMetric").count() == 2
