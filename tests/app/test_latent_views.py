"""Latent space, beside the map: latent traversals, data issues, an image of one's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from derm_core.bundles.predictor import load_predictors
from derm_core.config.shared import ImageForm
from derm_core.data.decode import decode, prepare
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.files import read_json, write_atomic, write_json
from derm_core.insight import placement as place
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from pages.ui import cached, words
from pages.ui.latent import interpolation
from tests.app.bundles import put_bundle
from tests.app.maps import put_map
from tests.app.test_latent import choose, text
from tests.builders import encode, noise, write_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_shelf_only(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


@pytest.fixture
def vae(finished) -> tuple[str, str]:
    """(a finished pretraining, a map under it)."""
    run_id = RunStore(finished).list(kind="pretrain")[0].id
    return run_id, put_map(finished, arm="vae", vae_run=run_id)


@pytest.mark.slow
def test_travel_decodes_what_the_sliders_say(open_page, finished, vae):
    app = open_page("latent", run=vae[1], view="traversal")
    before = app.image[0].proto.imgs[0].url
    assert app.slider and "dimensions are active" in text(app)
    app.slider[0].set_value(3.0).run()
    assert not app.exception and app.image[0].proto.imgs[0].url != before


def open_way(open_page, finished, vae, way: str):
    app = open_page("latent", run=vae[1], view="traversal")
    app.session_state["traversal"] = way
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.mark.slow
def test_the_way_between_two_images_has_both_at_its_ends(open_page, finished, vae):
    app = open_way(open_page, finished, vae, ":material/compare_arrows: Between two images")
    assert len(app.image) == 11 and "original, amber" in text(app)


@pytest.mark.slow
def test_mean_images_of_each_class_and_of_the_selection(open_page, finished, vae):
    app = open_way(open_page, finished, vae, ":material/blur_on: Mean images")
    assert len(app.image) == 3
    choose(app, [0, 2, 4, 6])
    assert len(app.image) == 4 and "the selection (4)" in text(app)


@pytest.mark.slow
def test_the_mean_of_a_large_selection_takes_every_class_in_proportion(
    open_page, finished, vae, monkeypatch
):
    monkeypatch.setattr(interpolation, "IMAGES_PER_MEAN", 30)
    meant = []
    monkeypatch.setattr(
        interpolation,
        "mean_latents",
        lambda workspace, travel, first, parts: (
            meant.append(parts) or dict.fromkeys(parts, travel.statistics.mean_d)
        ),
    )
    app = open_page("latent", run=vae[1], view="traversal")
    app.session_state["traversal"] = ":material/blur_on: Mean images"
    classes = load_dataset(finished, "tiny").frame["label"]
    choose(app, classes.sort_values(kind="stable").index.tolist())
    taken = classes[meant[-1]["the selection"]].value_counts().to_dict()
    assert taken == {"amber": 10, "brown": 10, "violet": 10}
    assert "the 120 images" in text(app) and "selection 30 are" in text(app)


@pytest.mark.slow
def test_a_path_towards_a_class_is_found_when_asked_for_and_kept(open_page, finished, vae):
    put_bundle(finished, "a-judge", "imagenet")
    app = open_way(open_page, finished, vae, ":material/moving: Towards a class")
    assert not app.image
    app.button(key="towards-go").click().run()
    assert not app.exception, app.exception
    assert len(app.image) == 10 and len(app.get("plotly_chart")) == 1
    assert [one.value.startswith("photograph, ") for one in app.caption].count(True) == 1, (
        "what the model says of the image itself"
    )
    app.run()
    assert len(app.image) == 10


@pytest.mark.slow
def test_a_path_towards_a_class_starts_at_the_reader_s_own_image(open_page, finished, vae):
    put_bundle(finished, "a-judge", "imagenet")
    app = open_page("latent", run=vae[1], view="traversal")
    app.file_uploader(key="map-file").upload("mole.png", encode(noise(60, 80)))
    app.session_state["traversal"] = ":material/moving: Towards a class"
    app.run()
    assert app.selectbox(key="towards-start").value == "your image" and not app.image
    app.button(key="towards-go").click().run()
    assert not app.exception, app.exception
    square, judge = (
        prepare(decode(encode(noise(60, 80)), "mole.png"), 32),
        load_predictors(finished, ["a-judge"])["a-judge"],
    )
    probability = judge.predict(square[None])[0][judge.classes.index("mel")]
    assert app.image[0].proto.imgs[0].url == interpolation.webp_url(square, 128)
    assert f"photograph, {words.chance(probability)}" in [one.value for one in app.caption]
    assert len({picture.proto.imgs[0].url for picture in app.image}) == 10
    alts = [picture.proto.imgs[0].alt for picture in app.image]
    assert all(one.startswith("From your image") and one.endswith(f"{words.THIN}%") for one in alts)


@pytest.mark.slow
def test_known_factors_stand_beside_the_latents_that_follow_them(open_page, finished, vae):
    table = pd.DataFrame(
        {
            "latent": [3, 3, 1, 1],
            "factor": ["size", "colour"] * 2,
            "information": [0.7, 0.1, 0.0, 0.4],
            "kl": [2.0, 2.0, 1.0, 1.0],
        }
    )
    write_atomic(finished.run(vae[1]).factors, table.to_parquet(index=False))
    app = open_page("latent", run=vae[1], view="traversal")
    shown = app.dataframe[0].value
    assert list(shown["latent"]) == [3, 1] and list(shown["size"]) == [0.7, 0.0]


@pytest.mark.slow
def test_a_map_of_pooled_features_says_which_map_has_the_factors(open_page, finished, vae):
    dataset = load_dataset(finished, "tiny")
    assert "map of μ" not in text(open_page("latent", run=vae[1], view="traversal"))
    save_dataset(
        finished,
        "tiny",
        dataset.frame.assign(factor_size=np.linspace(0, 1, len(dataset))),
        dataset.info,
    )
    assert text(open_page("latent", run=vae[1], view="traversal")).count("map of μ") == 1


def test_without_a_decoder_the_way_to_one_is_offered(open_page, workspace):
    write_dataset(workspace)
    app = open_page("latent", run=put_map(workspace), view="traversal")
    assert "No decoder yet" in text(app)


@pytest.mark.parametrize("view", ["issues", "trouble"])
def test_data_issues_are_ranked_with_their_reasons_and_the_known_pairs(open_page, workspace, view):
    """An address of an earlier version calls them trouble."""
    write_dataset(workspace)
    app = open_page("latent", run=put_map(workspace), view=view)
    assert app.query_params["view"] == "issues"
    assert "1 of 2 known" in text(app) and len(app.image) == 4
    assert "The same photograph, \\<b\\>nearly\\</b\\>." in text(app)
    app.toggle(key="across").set_value(True).run()
    assert len(app.image) == 2 and "Alike in two splits" in text(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("label_error", "the features say brown"), ("outlier", "Far from all others")],
)
def test_each_kind_of_data_issue_has_its_address(open_page, workspace, kind, reason):
    write_dataset(workspace)
    app = open_page("latent", run=put_map(workspace), view="issues", kind=kind)
    assert reason in text(app) and len(app.image) == 1


@pytest.mark.parametrize(
    ("state", "said"),
    [("running", "1,200 pairs are still to be compared"), ("done", "ended before 1,200 pairs")],
)
def test_near_duplicates_of_a_part_of_the_pairs_say_so(
    open_page, workspace, monkeypatch, state, said
):
    write_dataset(workspace)
    run_id = put_map(workspace)
    info = workspace.run(run_id).map_info
    write_json(info, read_json(info) | {"trouble": {"near_duplicate": 2, "pairs_left": 1200}})
    run = dataclasses.replace(RunStore(workspace).get(run_id), state=state)
    monkeypatch.setattr(cached, "run", lambda *_: run)
    assert said in text(open_page("latent", run=run_id, view="issues"))
    page = text(open_page("latent", run=run_id, view="issues", kind="outlier"))
    assert said not in page


def test_a_map_without_trouble_says_how_it_is_sought(open_page, workspace):
    write_dataset(workspace)
    assert "Not computed yet" in text(
        open_page("latent", run=put_map(workspace, trouble=False), view="issues")
    )


class Placer:
    """Puts every image at (0.5, 0.25), beside rows 3 and 5."""

    form = ImageForm(32)

    def place(self, images_nssc):
        assert images_nssc.shape == (1, 32, 32, 3)
        here, rows = np.array([[0.5, 0.25]], np.float32), np.array([[3, 5] + [-1] * 8])
        return place.MapPlaces(here, here, rows, np.zeros(rows.shape, np.float32))


def test_an_image_of_one_s_own_lands_on_the_map_with_its_neighbours(
    open_page, workspace, monkeypatch
):
    write_dataset(workspace)
    monkeypatch.setattr(place, "open_placer", lambda *_: Placer())
    app = open_page("latent", run=put_map(workspace))
    app.file_uploader(key="map-file").upload("mole.png", encode(noise(60, 80)))
    app.run()
    assert not app.exception, app.exception
    assert "your image, approximately" in app.get("plotly_chart")[0].proto.spec
    assert len(app.image) == 3 and "approximate" in text(app)


@pytest.mark.slow
def test_an_image_of_one_s_own_is_shown_to_the_models_of_the_map(open_page, workspace, monkeypatch):
    write_dataset(workspace)
    put_bundle(workspace, "a-vae", "vae")
    monkeypatch.setattr(place, "open_placer", lambda *_: Placer())
    app = open_page("latent", run=put_map(workspace))  # its other model is on no shelf here
    app.file_uploader(key="map-file").upload("mole.png", encode(noise(60, 80)))
    app.run()
    assert not app.exception, app.exception
    predictor = load_predictors(workspace, ["a-vae"])["a-vae"]
    probabilities = predictor.predict(
        prepare(decode(encode(noise(60, 80)), "mole.png"), predictor.size)[None]
    )[0]
    answer = f"**{predictor.classes[probabilities.argmax()]}** {words.chance(probabilities.max())}"
    assert [answer in one.value for one in app.markdown].count(True) == 1


def test_a_damaged_image_is_refused_in_a_sentence(open_page, workspace):
    write_dataset(workspace)
    app = open_page("latent", run=put_map(workspace))
    app.file_uploader(key="map-file").upload("mole.png", b"not an image")
    app.run()
    assert "mole.png" in app.error[0].value and not app.exception
