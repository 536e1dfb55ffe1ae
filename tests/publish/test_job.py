"""Publishing as a run: what it leaves, what it finds again after a kill, and what is refused before it is queued."""

from __future__ import annotations

import dataclasses

import pytest

from derm_core.bundles.model_library import verify_bundle
from derm_core.config import PublishConfig, from_dict, to_dict
from derm_core.errors import BundleError, ConfigError, NotFound, RunError
from derm_core.jobs import preflight
from derm_core.jobs.dependencies import dataset_users
from derm_core.jobs.store import RunStore
from derm_core.publish import job as module
from derm_core.publish.job import publish_run
from tests.publish.test_classifier import STUDY, study  # noqa: F401  (study: a fixture)

CONFIG = PublishConfig(dataset="moles", run=STUDY, arm="vae", name="my-vae", seed=7)
pytestmark = pytest.mark.parametrize("study", ["frozen"], indirect=True)


@pytest.mark.slow
def test_the_bundle_is_the_runs_result_and_is_found_again_when_the_run_is_resumed(
    study, monkeypatch
):
    shelf, _ = study
    events = list(publish_run(CONFIG, shelf, shelf.run("publish-1")))
    measured = [event.value for event in events if event.kind == "progress"]
    assert measured[-1].done == measured[-1].total == 40 and measured[-1].unit == "images"
    result = events[-1].value
    card = verify_bundle(shelf.models / "my-vae")
    assert (events[-1].kind, result["name"], result["path"]) == (
        "result",
        "my-vae",
        str(shelf.models / "my-vae"),
    )
    assert (card.run, card.arm, card.seed) == (STUDY, "vae", 7) and result[
        "bytes"
    ] > card.file_bytes
    monkeypatch.setattr(
        module, "publish", lambda *_, **__: pytest.fail("it is in the library already")
    )
    assert list(publish_run(CONFIG, shelf, shelf.run("publish-1")))[-1].value == result


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_nothing_on_the_shelf(study):
    shelf, _ = study
    events = publish_run(CONFIG, shelf, shelf.run("publish-1"))
    next(events), next(events)
    events.close()
    assert not list(shelf.models.glob("*/card.json"))


def test_what_cannot_be_published_is_refused_before_it_is_queued(study):
    preflight.check(study[0], CONFIG)
    for change, error in (
        ({"name": "../outside"}, ConfigError),
        ({"run": "study-9"}, NotFound),
        ({"arm": "imagenet"}, RunError),
        ({"seed": 5}, RunError),
    ):
        with pytest.raises(error):
            preflight.check(study[0], dataclasses.replace(CONFIG, **change))
    (study[0].models / "my-vae").mkdir()
    with pytest.raises(BundleError, match="already in the library"):
        preflight.check(study[0], CONFIG)


def test_its_config_survives_the_file_and_keeps_its_dataset_in_use(study):
    assert from_dict(to_dict(CONFIG)) == CONFIG
    run_id = RunStore(study[0]).create(CONFIG.kind, to_dict(CONFIG))
    assert dataset_users(study[0], "moles") == [run_id]
