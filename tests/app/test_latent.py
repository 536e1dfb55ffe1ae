"""Latent space: a map is asked for, shown as soon as there is a PCA, and its dots lead to images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.config import EmbedConfig, PretrainConfig, from_dict, to_dict
from derm_core.events import EventLog
from derm_core.files import read_json, write_atomic
from derm_core.insight import embed as module
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.app.bundles import put_bundle
from tests.study.conftest import write_dataset


@pytest.fixture(autouse=True)
def own_shelf_only(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


@pytest.fixture
def mapped(workspace, monkeypatch) -> str:
    """A finished map of 60 images: the real run, with PCA's coordinates in place of UMAP's slow ones."""
    monkeypatch.setattr(module, "_umap", lambda space, pca, *_: pca[:, ::-1].astype(np.float32))
    write_dataset(workspace, images=60)
    config = EmbedConfig(dataset="tiny", arm="random", input_size=32, device="cpu", neighbours=8)
    store = RunStore(workspace)
    run_id = store.create("embed", to_dict(config))
    store.transition(run_id, "queued", "running", started=1.0)
    events = EventLog(workspace.run(run_id).events)
    for event in module.embed(config, workspace, workspace.run(run_id)):
        if event.kind != "tick":
            events.append(event)
    store.transition(run_id, "running", "done", finished=2.0)
    return run_id


def without_umap(workspace, run_id) -> pd.DataFrame:
    """The map as it stands between PCA and UMAP."""
    path = workspace.run(run_id).artefacts / "map.parquet"
    points = pd.read_parquet(path).assign(umap_x=np.float32(np.nan), umap_y=np.float32(np.nan))
    write_atomic(path, points.to_parquet(index=False))
    return points


def text(app) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption) for element in kind)


def choices(app, label) -> list[str]:
    return next(list(widget.options) for kind in (app.selectbox, app.segmented_control) for widget in kind if widget.label == label)


def test_without_a_map_the_page_says_what_will_be_here_and_offers_it(open_page, workspace):
    app = open_page("latent")
    assert "No map yet" in text(app)
    assert any(option.startswith("synth") for option in choices(app, "Images"))


def test_the_form_queues_the_map_that_was_set(open_page, finished):
    app = open_page("latent")
    vae = RunStore(finished).list(kind="pretrain")[0].id
    app.selectbox(key="map-extractor").set_value(next(o for o in app.selectbox(key="map-extractor").options if o.startswith("VAE")))
    app.slider(key="map-neighbours").set_value(30)
    next(button for button in app.button if button.label == "Make the map").click()
    app.run()
    assert not app.exception, app.exception
    run = RunStore(finished).list(kind="embed")[0]
    config = from_dict(read_json(finished.run(run.id).config), EmbedConfig)
    assert (config.arm, config.vae_run, config.dataset, config.neighbours) == ("vae", vae, "tiny", 30)
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


def test_the_whole_map_offers_both_methods_and_every_attribute(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    assert choices(app, "Method") == ["UMAP", "PCA"]
    assert choices(app, "Colour by")[:2] == ["Class", "Split"]
    assert "Trustworthiness" in text(app) and "Click a dot" in text(app)


def test_while_umap_works_the_pca_is_there(open_page, workspace, mapped):
    without_umap(workspace, mapped)
    assert choices(open_page("latent", run=mapped), "Method") == ["PCA"]


def test_a_link_shows_its_image_with_its_neighbours(open_page, workspace, mapped):
    app = open_page("latent", run=mapped, image="i007")
    near = np.load(workspace.run(mapped).artefacts / "neighbours.npy")[7]
    assert "**i007**" in text(app)
    assert len(app.image) == 1 + min(8, (near >= 0).sum())


def test_a_link_to_an_image_that_is_not_on_the_map_is_harmless(open_page, workspace, mapped):
    assert "Click a dot" in text(open_page("latent", run=mapped, image="<b>nothing</b>"))


def choose(app, rows) -> None:
    """What a lasso does: choose these rows."""
    app.session_state["atlas-chosen"] = {"dataset": "tiny", "rows": rows, "source": "a lasso", "image": None, "turn": 1}
    app.run()
    assert not app.exception, app.exception


def test_selected_dots_show_their_images_and_classes(open_page, workspace, mapped):
    app = open_page("latent", run=mapped)
    choose(app, [0, 2, 4])
    assert "**3 images chosen**" in text(app) and len(app.image) == 3
    mix = app.table[0].value.set_index("Class")
    assert list(mix.index) == ["amber", "brown", "violet"] and set(mix["Share"]) == {"33.3\u202f%"}


def test_a_failed_map_says_why(open_page, workspace, mapped):
    store = RunStore(workspace)
    run_id = store.create("embed", to_dict(EmbedConfig(dataset="tiny", arm="random")))
    store.transition(run_id, "queued", "failed", error="The disk is full.")
    app = open_page("latent")
    assert app.error[0].value == "The disk is full." and choices(app, "Method") == ["UMAP", "PCA"]
