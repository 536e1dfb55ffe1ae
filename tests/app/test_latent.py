"""Latent space: a map is asked for, shown as soon as there is a PCA, and its dots lead to images."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from derm_core.config import BackboneConfig, EmbedConfig, PretrainConfig, from_dict, to_dict
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.files import read_json, write_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from pages.ui import map_scatter, words
from pages.ui.latent import loaded_map, map_chart, selection
from pages.ui.latent.filters import MapSettings
from tests.app.bundles import put_bundle, put_extractor, put_whole_bundle
from tests.app.maps import put_map
from tests.builders import write_dataset


@pytest.fixture(autouse=True)
def own_shelf_only(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


@pytest.fixture
def mapped(workspace) -> str:
    """A finished map of 60 images."""
    write_dataset(workspace, images=60)
    return put_map(workspace)


@pytest.fixture
def beside(workspace, mapped) -> str:
    """A second map of the same images: other places, other neighbours."""
    return put_map(workspace, seed=1, arm="imagenet")


def text(app) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption) for element in kind)


def choices(app, label) -> list[str]:
    return next(
        list(widget.options)
        for kind in (app.selectbox, app.segmented_control)
        for widget in kind
        if widget.label == label
    )


def test_without_a_map_the_page_says_what_will_be_here_and_offers_it(open_page, workspace):
    app = open_page("latent")
    assert "No map yet" in text(app)
    assert any(option.startswith("synth") for option in choices(app, "Images"))


def test_the_form_queues_the_map_that_was_set(open_page, finished):
    app = open_page("latent")
    vae = RunStore(finished).list(kind="pretrain")[0].id
    offers = app.selectbox(key="map-extractor").options
    app.selectbox(key="map-extractor").set_value(
        next(offer for offer in offers if offer.startswith("VAE"))
    )
    app.slider(key="map-neighbours").set_value(30)
    next(button for button in app.button if button.label == "Make the map").click()
    app.run()
    assert not app.exception, app.exception
    run = RunStore(finished).list(kind="embed")[0]
    config = from_dict(read_json(finished.run(run.id).config), EmbedConfig)
    assert (config.arm, config.vae_run, config.dataset, config.neighbours) == (
        "vae",
        vae,
        "tiny",
        30,
    )
    pretrained = from_dict(read_json(finished.run(vae).config), PretrainConfig)
    assert (config.backbone, config.input_size) == (pretrained.backbone, pretrained.input_size)
    assert run.id in app.query_params["run"]


def test_models_of_the_shelf_can_be_mapped_at_their_own_size(open_page, workspace):
    write_dataset(workspace)
    put_bundle(workspace, "a-vae", "vae", input_size=48)
    app = open_page("latent")
    app.selectbox(key="map-extractor").set_value("Model · a-vae")
    next(button for button in app.button if button.label == "Make the map").click()
    app.run()
    run = RunStore(workspace).list(kind="embed")[0]
    config = from_dict(read_json(workspace.run(run.id).config), EmbedConfig)
    assert (config.arm, config.input_size, config.backbone.stage) == ("bundle:a-vae", 48, 1)


@pytest.mark.slow
def test_a_whole_network_of_the_library_can_be_mapped(open_page, workspace):
    write_dataset(workspace)
    put_whole_bundle(workspace, "my-vit")
    app = open_page("latent")
    app.selectbox(key="map-extractor").set_value("Model · my-vit")
    next(button for button in app.button if button.label == "Make the map").click()
    app.run()
    assert not app.exception, app.exception
    run = RunStore(workspace).list(kind="embed")[0]
    config = from_dict(read_json(workspace.run(run.id).config), EmbedConfig)
    assert (config.arm, config.input_size) == ("bundle:my-vit", 48)


@pytest.mark.slow
def test_posterior_means_are_mapped_of_an_extractor_and_refused_of_a_classifier(
    open_page, workspace
):
    write_dataset(workspace)
    put_extractor(workspace, "skin")
    put_bundle(workspace, "a-vae", "vae")
    app = open_page("latent")
    for offer in ("Model · a-vae", "Extractor · skin"):
        app.selectbox(key="map-extractor").set_value(offer)
        app.selectbox(key="map-space").set_value("mu")
        next(button for button in app.button if button.label == "Make the map").click()
        app.run()
        if offer.startswith("Model"):
            assert "no posterior means" in app.error[0].value
    [run] = RunStore(workspace).list(kind="embed")
    config = from_dict(read_json(workspace.run(run.id).config), EmbedConfig)
    assert (config.arm, config.space) == ("bundle:skin", "mu")


def test_the_whole_map_offers_both_methods_and_every_attribute(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    assert choices(app, "Method") == ["UMAP", "PCA"]
    assert choices(app, "Colour by")[:2] == ["Class", "Split"]
    assert "Click a dot" in text(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "measures"),
    [
        ("umap", "Trustworthiness 0.91 · neighbours kept 25.0"),
        ("pca", "Trustworthiness 0.80 · neighbours kept 10.0"),
    ],
)
def test_four_measures_stand_below_a_map_with_what_they_mean(
    open_page, workspace, mapped, method, measures
):
    page = text(open_page("latent", run=mapped, method=method))
    assert f"{measures}{words.THIN}%" in page and f"accuracy 55.0{words.THIN}%" in page
    assert "silhouette −0.04" in page and "on 2,000 images drawn at random" in page
    assert ("UMAP mean little" in page) == (method == "umap")


def test_while_umap_works_the_pca_is_there(open_page, workspace, mapped):
    run_id = put_map(workspace, umap=False)
    assert choices(open_page("latent", run=run_id), "Method") == ["PCA"]


@pytest.fixture
def first_look(workspace, mapped):
    """A map that shows nine of its images so far, without neighbours."""
    run = workspace.run(mapped)
    points = pd.read_parquet(run.map_points)
    points.head(9).to_parquet(run.map_points, index=False)
    write_json(run.map_info, {**read_json(run.map_info), "expected": len(points)})
    run.neighbours.unlink()
    run.distances.unlink()
    return mapped


def test_the_first_images_of_a_map_are_there_before_the_others(open_page, first_look):
    app = open_page("latent", run=first_look, image="i007")
    assert "**i007**" in text(app) and "looked up once the PCA of all" in text(app)
    assert re.search(r"9 of \d+ images so far, drawn at random", text(app))


def test_a_link_to_an_image_that_follows_is_kept(open_page, first_look):
    app = open_page("latent", run=first_look, image="i020")
    assert "Click a dot" in text(app) and app.query_params["image"] == "i020"


def test_a_link_shows_its_image_with_its_neighbours(open_page, workspace, mapped):
    app = open_page("latent", run=mapped, image="i007")
    near = np.load(workspace.run(mapped).artefacts / "neighbours.npy")[7]
    assert "**i007**" in text(app)
    assert len(app.image) == 1 + min(8, (near >= 0).sum())


def test_a_link_to_an_image_that_is_not_on_the_map_is_harmless(open_page, workspace, mapped):
    assert "Click a dot" in text(open_page("latent", run=mapped, image="<b>nothing</b>"))


def choose(app, rows, beyond=False) -> None:
    """What a lasso does: choose these rows."""
    app.session_state[selection.KEY] = selection.Selection(
        "tiny", tuple(rows), "a lasso", beyond=beyond, table_version=1
    )
    app.run()
    assert not app.exception, app.exception


def test_selected_dots_show_their_images_and_classes(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    choose(app, [0, 2, 4])
    assert "**3 images chosen**" in text(app) and len(app.image) == 3
    mix = app.table[0].value.set_index("Class")
    assert list(mix.index) == ["amber", "brown", "violet"] and set(mix["Share"]) == {"33.3\u202f%"}


@pytest.mark.slow
def test_the_gallery_of_many_images_holds_every_class_in_proportion(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    classes = load_dataset(workspace, "tiny").frame["label"]
    choose(
        app, classes.sort_values(kind="stable").index.tolist()
    )  # class by class, as a lasso gives them
    shown = pd.Series([picture.proto.imgs[0].alt for picture in app.image]).str.split(", ").str[1]
    assert shown.value_counts().to_dict() == {"amber": 12, "brown": 12, "violet": 12}
    assert "36 of 60" in text(app)


def traces_of(app, chart: int = 0) -> list[dict]:
    return json.loads(app.get("plotly_chart")[chart].proto.spec)["data"]


def drawn_rows(trace: dict) -> list[int]:
    return np.frombuffer(
        base64.b64decode(trace["customdata"]["bdata"]), trace["customdata"]["dtype"]
    ).tolist()


@pytest.mark.slow
def test_a_filter_comes_before_the_sample_of_what_is_drawn(
    open_page, workspace, mapped, monkeypatch
):
    monkeypatch.setattr(map_scatter, "MAP_LIMIT", 20)
    app = open_page("latent", run=mapped, filter="label:amber")
    behind, amber = traces_of(app)
    labels = load_dataset(workspace, "tiny").frame["label"]
    assert sorted(drawn_rows(amber)) == labels.index[labels == "amber"].tolist(), (
        "all that the filter leaves"
    )
    assert "customdata" not in behind and ", 2 points" in text(app)
    app = open_page("latent", run=mapped)
    assert sum(len(drawn_rows(trace)) for trace in traces_of(app)) == 20
    assert "20 of 60 points" in text(app)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["", "label:amber"])
def test_an_image_that_a_link_names_is_drawn_and_ringed_whatever_else_is(
    open_page, workspace, mapped, monkeypatch, rule
):
    monkeypatch.setattr(map_scatter, "MAP_LIMIT", 6)
    before = open_page("latent", run=mapped, filter=rule)
    shown = {
        row for trace in traces_of(before) if "customdata" in trace for row in drawn_rows(trace)
    }
    labels = load_dataset(workspace, "tiny").frame["label"]
    missing = next(row for row in range(60) if row not in shown and labels[row] == "brown")
    place = (
        pd.read_parquet(workspace.run(mapped).map_points)
        .loc[missing, ["umap_x", "umap_y"]]
        .tolist()
    )
    app = open_page("latent", run=mapped, filter=rule, image=f"i{missing:03d}")
    rings = [trace for trace in traces_of(app) if trace["name"] == "Chosen"]
    assert len(rings) == 2
    for axis, value in zip("xy", place, strict=True):
        ring = np.frombuffer(base64.b64decode(rings[0][axis]["bdata"]), rings[0][axis]["dtype"])
        low, high = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"][f"{axis}axis"][
            "range"
        ]
        assert ring == pytest.approx([value]) and low < value < high


def test_a_selection_beyond_what_is_drawn_says_so(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    choose(app, [1, 2, 3], beyond=True)
    assert "also those that the map does not draw" in text(app)
    choose(app, [1, 2, 3])
    assert "does not draw" not in text(app)


def test_a_box_in_a_chart_of_some_points_selects_among_all(workspace, mapped, monkeypatch):
    monkeypatch.setattr(map_scatter, "MAP_LIMIT", 20)
    first = loaded_map.load_map(workspace, mapped)
    settings = MapSettings("umap", "label", np.ones(60, bool))
    detail = map_chart.build_chart(first, first, settings, [], 560).detail
    points = first.points
    west, east = points["umap_x"].min(), points["umap_x"].median()
    inside = points.loc[points["umap_x"] <= east, "row"]
    drawn = [{"customdata": int(row)} for row in inside if detail.is_drawn[detail.rows == row][0]]
    box = {"x": [float(east), float(west)], "y": [-1e9, 1e9]}
    state = {"chart": {"selection": {"points": drawn, "box": [box], "lasso": []}}}
    monkeypatch.setattr(selection.st, "session_state", state)
    monkeypatch.setattr(selection.st, "query_params", {})
    selection.select_in_chart(first, "chart", detail)
    assert sorted(selection.current().rows) == sorted(inside) and len(drawn) < len(inside)
    assert selection.current().beyond


@pytest.mark.slow
def test_two_maps_stand_side_by_side_and_share_what_is_chosen(open_page, workspace, mapped, beside):
    app = open_page("latent", run=mapped, beside=beside)
    assert len(app.get("plotly_chart")) == 2 and "laid out independently" in text(app)
    choose(app, [4, 9])
    for chart in app.get("plotly_chart"):
        traces = json.loads(chart.proto.spec)["data"]
        assert sum(len(trace.get("selectedpoints", [])) for trace in traces) == 2
    assert beside in app.query_params["beside"]


@pytest.mark.slow
def test_one_image_has_its_neighbours_in_both_spaces_and_both_answers(
    open_page, workspace, mapped, beside
):
    app = open_page("latent", run=mapped, beside=beside, image="i007")
    assert len(app.image) == 1 + 2 * 8
    assert "Random initialisation" in text(app) and "feature space** · ImageNet" in text(app)
    assert "**brown**" in text(app) or "**amber**" in text(app) or "**violet**" in text(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        ({"input_size": 64}, {"input_size": 96}, ["ImageNet, 64 px", "ImageNet, 96 px"]),
        (
            {"arm": "vae", "vae_run": "pretrain-1111"},
            {"arm": "vae", "vae_run": "pretrain-2222"},
            ["VAE (from scratch), 1111", "VAE (from scratch), 2222"],
        ),
        (
            {"backbone": BackboneConfig(stage=2)},
            {"backbone": BackboneConfig(stage=3)},
            ["ImageNet, resnet18 to stage 2", "ImageNet, resnet18 to stage 3"],
        ),
    ],
)
def test_two_spaces_of_one_arm_are_told_apart(open_page, workspace, mapped, ours, theirs, names):
    first, second = (
        put_map(workspace, seed=seed, **{"arm": "imagenet", **fields})
        for seed, fields in enumerate((ours, theirs))
    )
    app = open_page("latent", run=first, beside=second, image="i007")
    headings = [one.value for one in app.markdown if "Nearest in feature space" in one.value]
    assert headings == [
        f"**Nearest in feature space** · {name.replace(' px', words.THIN + 'px')}" for name in names
    ]
    assert len(app.image) == 1 + 2 * 8 and "in both spaces" in text(app)


def test_two_layouts_of_one_space_have_its_neighbours_once(open_page, workspace, mapped):
    again = put_map(workspace, neighbours=30, min_dist=0.5)
    app = open_page("latent", run=mapped, beside=again, image="i007")
    assert len(app.image) == 1 + 8 and "in both spaces" not in text(app)


def test_the_page_says_where_neighbours_are_approximate(open_page, workspace, mapped):
    assert "approximately: now and then" not in text(open_page("latent", run=mapped, image="i007"))
    path = workspace.run(mapped).map_info
    write_json(path, read_json(path) | {"approximate_neighbours": True})
    assert "approximately: now and then" in text(open_page("latent", run=mapped, image="i007"))


@pytest.mark.slow
def test_a_map_that_was_not_aligned_can_be(open_page, workspace, mapped, beside):
    app = open_page("latent", run=mapped, beside=beside)
    app.button(key="align").click().run()
    run = RunStore(workspace).list(kind="embed")[0]
    config = from_dict(read_json(workspace.run(run.id).config), EmbedConfig)
    assert (config.arm, config.aligned_to) == ("imagenet", mapped) and run.id in app.query_params[
        "beside"
    ]


def test_a_selection_says_how_right_each_model_is_inside(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    choose(app, list(range(12)))
    table = next(table.value for table in app.table if "Model" in table.value).set_index("Model")
    assert table.loc["VAE", "Validation and test"] == "100.0\u202f% of 8"
    assert table.loc["ImageNet", "Validation and test"] == "25.0\u202f% of 8"


def test_the_filter_of_the_address_pales_what_it_leaves_out(open_page, workspace, mapped):
    app = open_page("latent", run=mapped, filter="split:test;correct_b:no", colour="confidence_b")
    traces = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert "customdata" not in traces[0] and traces[1]["name"] == "Confidence, ImageNet"
    assert "leaves" in text(app) and "split:test;correct_b:no" in app.query_params["filter"]


@pytest.fixture
def aged(workspace) -> str:
    """A map of 60 images whose ages are known: 20 to 79 years, one each; of the last, none is."""
    dataset = write_dataset(workspace, images=60)
    save_dataset(workspace, "tiny", dataset.frame.assign(age=[*range(20, 79), None]), dataset.info)
    return put_map(workspace)


@pytest.mark.slow
def test_an_attribute_colours_the_map_and_filters_it(open_page, workspace, aged):
    app = open_page("latent", run=aged, colour="age", filter="age:30..49")
    assert "Age" in choices(app, "Colour by") and "leaves 20 of 60" in text(app)
    behind, scale = traces_of(app)
    assert "customdata" not in behind and scale["name"] == "Age"
    assert drawn_rows(scale) == list(range(10, 30)) and scale["marker"]["colorscale"]
    sent = np.frombuffer(
        base64.b64decode(scale["marker"]["color"]["bdata"]), scale["marker"]["color"]["dtype"]
    )
    assert sent.tolist() == list(range(30, 50))
    assert [trace["name"] for trace in traces_of(open_page("latent", run=aged, colour="age"))] == [
        "unknown",
        "Age",
    ]


@pytest.mark.slow
def test_a_range_of_an_attribute_is_set_in_the_filter(open_page, workspace, aged):
    app = open_page("latent", run=aged, filter="age:20..78")
    app.session_state["filter"] = True
    app.run()
    next(widget for widget in app.slider if widget.label == "Age").set_range(30, 39).run()
    assert "age:30..39" in app.query_params["filter"] and "leaves 10 of 60" in text(app)


def test_a_rule_set_in_the_filter_stands_in_the_address(open_page, workspace, mapped):
    app = open_page("latent", run=mapped, filter="label:amber")
    app.session_state["filter"] = True
    app.run()
    next(widget for widget in app.multiselect if widget.label == "Class").set_value(
        ["amber", "violet"]
    ).run()
    assert "label:amber,violet" in app.query_params["filter"] and "leaves 40 of 60" in text(app)


def test_a_search_finds_an_image_or_says_that_there_is_none(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    app.text_input(key="search").set_value("I007").run()
    assert "**i007**" in text(app) and "i007" in app.query_params["image"]
    app.text_input(key="search").set_value("nowhere").run()
    assert "holds “nowhere”" in text(app)


def test_the_table_holds_what_the_filter_leaves(open_page, workspace, mapped):
    app = open_page("latent", run=mapped, filter="split:test")
    assert not app.dataframe
    app.session_state["table"] = True
    app.run()
    shown = app.dataframe[0].value
    assert set(shown["split"]) == {"test"} and "confidence_a" in shown


def test_maps_of_the_first_version_open_without_what_they_lack(open_page, workspace, mapped):
    app = open_page("latent", run=put_map(workspace, opinions=False, trouble=False))
    assert choices(app, "Colour by") == ["Class", "Split"]


def test_a_choice_outlives_the_change_of_its_label(
    open_page, workspace, mapped, beside, monkeypatch
):
    """Labels say how long ago a map was made, so they change; the browser sends the label that it was shown."""
    from derm_core import formatting
    from pages.ui import words as shown

    app = open_page("latent", run=mapped)
    for module_ in (formatting, shown):
        monkeypatch.setattr(module_, "ago", lambda *_: "a minute later")
    app.run()
    assert mapped in app.query_params["run"]


def test_a_failed_map_says_why(open_page, workspace, mapped):
    store = RunStore(workspace)
    run_id = store.create("embed", to_dict(EmbedConfig(dataset="tiny", arm="random")))
    store.transition(run_id, "queued", "failed", error="The disk is full.")
    app = open_page("latent")
    assert app.error[0].value == "The disk is full." and choices(app, "Method") == ["UMAP", "PCA"]
