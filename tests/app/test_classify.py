"""Classify: every model speaks on every readable image; what cannot be read or compared is said."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from derm_core.serve.predictor import predict_images
from derm_core.workspace import Workspace
from pages.ui import words
from pages.ui.classify.answers import result
from tests.app.bundles import put_bundle


@pytest.fixture
def shelf(workspace, monkeypatch):
    """Two models that can be compared, and nothing that ships in the repository."""
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    put_bundle(workspace, "a-vae", "vae")
    put_bundle(workspace, "b-imagenet", "imagenet")
    return workspace


def picture(seed: int, size=(80, 60)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(app, *files: tuple[str, bytes]):
    app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.subheader, app.title) for element in kind)


def test_both_models_answer_as_the_predictor_does(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    said = predict_images(shelf, ["a-vae", "b-imagenet"], [("one.png", picture(0))])["images"][0]
    tops = [arm["probabilities"][arm["top"]] for arm in said["arms"].values()]
    assert len(app.metric) == 2
    for metric, top in zip(app.metric, tops):
        assert metric.value.startswith(f"{100 * top:.1f}")
    assert ("models agree" in text(app)) == said["agree"]


def test_the_notice_stands_on_the_page_once(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert text(app).count("Not for diagnosis") == 1


def test_refused_files_are_named_and_do_not_stop_the_others(open_page, shelf):
    good = picture(1)
    app = upload(open_page("classify"), ("good.png", good), ("half.png", good[:len(good) // 2]), ("words.jpg", b"hello"))
    assert len(app.error) == 1 and len(app.metric) == 2
    assert "half.png" in app.error[0].value and "words.jpg" in app.error[0].value


def test_several_images_stand_in_one_table(open_page, shelf):
    app = upload(open_page("classify"), *((f"{i}.png", picture(i)) for i in range(3)))
    table = app.dataframe[0].value
    assert table["File"].tolist() == ["0.png", "1.png", "2.png"]
    assert {words.arm("vae").name, words.arm("imagenet").name, "Agree"} <= set(table)


def test_an_image_that_is_taken_away_is_forgotten(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)), ("two.png", picture(1)))
    assert len(app.session_state["predictions"]) == 2
    upload(app, ("two.png", picture(1)))
    assert [key[0] for key in app.session_state["predictions"]] == ["two.png"]


def test_models_that_cannot_be_compared_are_called_so(open_page, shelf):
    put_bundle(shelf, "c-other", "bundle:c", classes=("a", "b"), input_size=48)
    app = upload(open_page("classify", models="a-vae,c-other"), ("one.png", picture(0)))
    assert app.multiselect[0].value == ["a-vae", "c-other"]
    assert "classes" in app.warning[0].value and "input size" in app.warning[0].value
    assert "models agree" not in text(app) and "disagree" not in text(app)


def test_one_model_of_each_arm_is_asked_first(open_page, shelf):
    put_bundle(shelf, "a-second-vae", "vae")
    assert open_page("classify").multiselect[0].value == ["a-second-vae", "b-imagenet"]


def test_a_sample_is_classified_by_its_link(open_page, shelf):
    app = open_page("classify", **{"from": "samples", "sample": "2"})
    assert len(app.metric) == 2 and "generated" in text(app)


def test_an_empty_shelf_says_what_to_do(open_page, workspace, monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    app = open_page("classify")
    assert "No model" in text(app) and not app.file_uploader
    assert [button.label for button in app.button] == ["Go to the models"]


def test_the_download_is_what_the_command_line_prints(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert {"Download CSV", "Download JSON"} <= {button.label for button in app.download_button}
    expected = predict_images(shelf, ["a-vae", "b-imagenet"], [("one.png", picture(0))])
    assert json.dumps(result(list(app.session_state["predictions"].values()))) == json.dumps(expected)
