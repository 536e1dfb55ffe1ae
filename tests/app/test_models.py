"""Models: cards are read, refused bundles are named, and models come and go through the page."""

from __future__ import annotations

import shutil

import pytest

from derm_core.bundles.archive import export_bundle
from derm_core.bundles.model_library import verify_bundle
from derm_core.config import from_dict
from derm_core.files import read_json
from derm_core.jobs import worker
from derm_core.jobs.store import SHORT_SLOT, RunStore
from derm_core.workspace import Workspace
from tests.app.bundles import METRIC, put_bundle
from tests.app.test_classify import publish_evidence

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_shelf_only(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


def press(app, label=None, key=None):
    next(
        button
        for button in app.button
        if key in (None, button.key) and label in (None, button.label)
    ).click()
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption) for element in kind)


@pytest.mark.slow
def test_an_empty_shelf_says_what_to_do(open_page):
    app = open_page("models")
    assert "library is empty" in text(app) and "Train a study" in [
        button.label for button in app.button
    ]


def test_a_model_stands_with_its_metrics_interval_data_and_terms(open_page, workspace):
    put_bundle(workspace, "a-vae", "vae")
    app = open_page("models")
    assert app.metric[0].value.startswith("61.0") and "55.0–67.0" in app.metric[0].delta
    assert "Trained on moles" in text(app) and "CC0; research only" in text(app)


def test_the_card_opens_with_its_limits_and_commands(open_page, workspace):
    card = put_bundle(workspace, "a-vae", "vae")
    app = press(open_page("models"), key="card-a-vae")
    assert "Not for diagnosis." in text(app) and card.sha256 in text(app)
    assert app.code[0].value == "python -m derm_core compare"


def test_a_tampered_model_is_refused_and_named(open_page, workspace):
    put_bundle(workspace, "a-vae", "vae")
    path = workspace.models / "a-vae" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    app = open_page("models")
    assert "a-vae" in app.error[0].value and "SHA-256" in app.error[0].value and not app.metric


def test_deleting_takes_a_model_from_the_shelf(open_page, workspace):
    put_bundle(workspace, "a-vae", "vae")
    app = press(open_page("models"), key="really-a-vae")
    assert not (workspace.models / "a-vae").exists() and "library is empty" in text(app)


@pytest.mark.slow
def test_what_was_exported_can_be_imported(open_page, workspace):
    card = put_bundle(workspace, "a-vae", "vae")
    archive = export_bundle(workspace, "a-vae")
    app = press(open_page("models"), key="really-a-vae")
    app.file_uploader[0].set_value(("a-vae.zip", archive, "application/zip"))
    press(app.run(), "Import")
    assert verify_bundle(workspace.models / "a-vae").sha256 == card.sha256


def test_an_archive_that_is_no_bundle_is_refused(open_page, workspace):
    app = open_page("models")
    app.file_uploader[0].set_value(("a.zip", b"PK nothing", "application/zip"))
    press(app.run(), "Import")
    assert "not a readable bundle" in app.error[0].value


def ask_for(open_page, arm: str, name: str):
    """The page after Publish was pressed for an arm of the latest study."""
    app = open_page("models")
    app.selectbox(key="publish-arm").set_value(arm)
    app.text_input(key="publish-name").set_value(name)
    return press(app, "Publish")


@pytest.mark.slow
def test_publishing_is_a_run_that_the_page_shows_and_ends_on_the_shelf(open_page, finished):
    study = RunStore(finished).list(kind="study")[0]
    app = ask_for(open_page, "vae", "my-vae")
    run = RunStore(finished).list(kind="publish")[0]
    config = from_dict(read_json(finished.run(run.id).config))
    assert (config.run, config.arm, config.name, config.dataset) == (
        study.id,
        "vae",
        "my-vae",
        "tiny",
    )
    assert (
        run.state == "queued"
        and run.device == SHORT_SLOT
        and not (finished.models / "my-vae").exists()
    )
    assert "window is closed" in text(app) and f"cancel-{run.id}" in [
        button.key for button in app.button
    ]
    assert worker.main(run.id, finished) == 0
    app.run()
    assert (
        not app.exception
        and "my-vae" in text(app)
        and not [one for one in app.button if one.key == f"cancel-{run.id}"]
    )
    card = verify_bundle(finished.models / "my-vae")
    assert (card.run, card.arm, card.seed) == (study.id, "vae", 0)


@pytest.mark.slow
def test_a_publication_can_be_cancelled_and_one_that_failed_says_why(open_page, finished):
    app = ask_for(open_page, "vae", "my-vae")
    first = RunStore(finished).list(kind="publish")[0].id
    press(app, key=f"cancel-{first}")
    assert RunStore(finished).get(first).state == "cancelled" and not app.error
    app = ask_for(open_page, "vae", "my-vae")
    second = RunStore(finished).list(kind="publish")[0].id
    shutil.rmtree(finished.run(RunStore(finished).list(kind="study")[0].id).artefacts / "heads")
    assert worker.main(second, finished) == 1
    app.run()
    assert "cannot be read" in app.error[0].value and not list(finished.models.iterdir())


def test_a_name_that_is_taken_is_refused_before_anything_is_queued(open_page, finished):
    put_bundle(finished, "my-vae", "vae")
    app = ask_for(open_page, "vae", "my-vae")
    assert "in the library" in app.error[0].value and not RunStore(finished).list(kind="publish")


def test_a_name_that_is_no_id_is_explained(open_page, finished):
    app = open_page("models")
    app.text_input(key="publish-name").set_value("../outside")
    press(app, "Publish")
    assert "lower-case" in app.error[0].value and not list(finished.models.iterdir())


def test_the_card_says_how_often_sets_held_the_truth_in_every_class(open_page, workspace):
    held = {
        "coverage": METRIC,
        "mean_size": 1.7,
        "per_class": {"mel": {"coverage": 0.69, "images": 40}},
    }
    put_bundle(
        workspace, "a-vae", "vae", conformal={"coverages": {"0.90": 0.5}, "test": {"0.90": held}}
    )
    app = press(open_page("models"), key="card-a-vae")
    rows = next(table.value for table in app.table if "90% sets" in table.value).set_index(
        "Images of"
    )["90% sets"]
    assert rows["mel (40)"].startswith("69.0") and rows["All images"].startswith("61.0")


@pytest.mark.slow
def test_images_of_private_data_leave_only_where_that_is_confirmed(open_page, workspace):
    put_bundle(workspace, "a-vae", "vae")
    publish_evidence(workspace, "a-vae", "imagenet", limit=1.0, reference={"public": False})
    app = open_page("models")
    assert "private" in text(app) and not app.checkbox(key="pass-on-a-vae").value
    button = next(one for one in app.download_button if one.key == "export-a-vae")
    assert button.label == "Download"
