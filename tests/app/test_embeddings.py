"""Brought embeddings in the app: on Data, in the form of a study, and as a map; with the engine's own refusals."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from derm_core.config import EmbedConfig, from_dict
from derm_core.data.embeddings import embedding_names, embeddings_info
from derm_core.files import read_json
from derm_core.jobs.dependencies import stored_config
from derm_core.jobs.store import RunStore
from tests.builders import write_dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(workspace):
    return write_dataset(workspace, images=24)


def table(dataset, **columns) -> pd.DataFrame:
    vectors = np.random.default_rng(0).normal(size=(len(dataset), 4)).astype(np.float32)
    named = {f"f{k}": vectors[:, k] for k in range(4)}
    return pd.DataFrame({"image": dataset.frame["image_id"], **named, **columns})


def bring(app, frame: pd.DataFrame, name: str = "My CLIP.csv"):
    data = frame.to_csv(index=False).encode()
    app.file_uploader(key="embeddings-file").set_value((name, data, "text/csv"))
    return press(app, "Bring embeddings", -1)


def press(app, label: str, which: int = 0):
    [button for button in app.button if button.label == label][which].click()
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return " ".join(one.value for one in [*app.markdown, *app.caption])


def test_an_uploaded_file_is_kept_and_described(open_page, workspace, tiny):
    app = open_page("data", dataset="tiny")
    app.text_input(key="embeddings-pretrained-tiny").set_value("ImageNet-1k")
    bring(app, table(tiny)[4:])
    assert not app.error
    info = embeddings_info(workspace, "tiny", "my-clip")
    assert (info.images, info.features, info.pretrained_on) == (20, 4, "ImageNet-1k")
    assert "20 vectors" in text(app) and "pretrained on: ImageNet-1k" in text(app)
    assert "4 images of tiny have no vector" in text(app)


def test_a_file_is_read_from_its_path(open_page, workspace, tiny, tmp_path):
    buffer = io.BytesIO()
    vectors = np.random.default_rng(0).normal(size=(len(tiny), 3))
    np.savez(buffer, ids=tiny.frame["image_id"].to_numpy(str), x=vectors)
    (tmp_path / "vit.npz").write_bytes(buffer.getvalue())
    app = open_page("data", dataset="tiny")
    app.text_input(key="embeddings-path-tiny").set_value(str(tmp_path / "vit.npz"))
    press(app, "Bring embeddings")
    assert not app.error and embedding_names(workspace, "tiny") == ["vit"]


def strangers(frame, dataset):
    return frame.assign(image=[f"other{i}" for i in range(len(frame))])


def with_labels(frame, dataset):
    return frame.assign(f4=dataset.labels.astype(float))


def with_duplicates(frame, dataset):
    return frame.assign(image=frame["image"].where(frame.index > 0, frame["image"][1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (strangers, "names images of this dataset"),
        (with_labels, "--allow-labels"),
        (with_duplicates, "different vectors for the same image"),
    ],
)
def test_what_the_engine_refuses_is_refused_in_its_words(open_page, workspace, tiny, change, said):
    app = bring(open_page("data", dataset="tiny"), change(table(tiny), tiny))
    assert said in app.error[0].value
    assert not embedding_names(workspace, "tiny")


def test_labels_are_taken_where_that_is_meant(open_page, workspace, tiny):
    app = open_page("data", dataset="tiny")
    app.checkbox(key="embeddings-labels-tiny").set_value(True)
    bring(app, table(tiny, f4=tiny.labels.astype(float)))
    assert not app.error and embedding_names(workspace, "tiny") == ["my-clip"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "no file yet"),
        ("/elsewhere/clip.npz", "imports from"),
        ("{here}/none.npz", "none.npz"),
        ("{here}", "can be read; give .npz"),
    ],
)
def test_a_file_that_is_not_there_is_said(open_page, workspace, tiny, tmp_path, path, said):
    app = open_page("data", dataset="tiny")
    app.text_input(key="embeddings-path-tiny").set_value(path.format(here=tmp_path))
    press(app, "Bring embeddings")
    assert said in app.error[0].value and not embedding_names(workspace, "tiny")


def test_embeddings_are_removed(open_page, workspace, tiny):
    app = bring(open_page("data", dataset="tiny"), table(tiny))
    app.button(key="remove-embeddings-my-clip").click().run()
    assert not app.exception and not embedding_names(workspace, "tiny")


def test_a_datasets_embeddings_are_listed_among_the_arms_of_its_studies(open_page, workspace, tiny):
    write_dataset(workspace, "another")
    bring(open_page("data", dataset="tiny"), table(tiny))
    offered = open_page("train", preset="demo", scale="0.1", data="another").multiselect[0].options
    assert "my-clip (embeddings)" not in offered
    app = open_page("train", preset="demo", scale="0.1", data="tiny")
    app.multiselect[0].set_value(["embeddings:my-clip", "random"]).run()
    press(app, "Launch")
    launched = stored_config(workspace, RunStore(workspace).list("study")[0].id)
    assert set(launched["arms"]) == {"embeddings:my-clip", "random"}


def test_images_that_a_run_makes_first_have_no_embeddings_yet(open_page):
    app = open_page("train", preset="demo", scale="0.1")
    assert next(one for one in app.button if one.label == "Bring embeddings").disabled


def test_embeddings_are_mapped_with_the_images_that_they_are_of(open_page, workspace, tiny):
    write_dataset(workspace, "another")
    bring(open_page("data", dataset="tiny"), table(tiny))
    app = open_page("latent")
    app.selectbox(key="map-extractor").set_value("Embeddings · my-clip, of tiny").run()
    [images] = [box for box in app.selectbox if box.label == "Images"]
    assert [one.split()[0] for one in images.options] == ["tiny"]
    press(app, "Make the map")
    run = RunStore(workspace).list(kind="embed")[0]
    config = from_dict(read_json(workspace.run(run.id).config), EmbedConfig)
    assert (config.arm, config.dataset, config.space) == ("embeddings:my-clip", "tiny", "pooled")
