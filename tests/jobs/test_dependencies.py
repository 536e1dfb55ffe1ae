"""Which runs another one needs, read from configs alone."""

import pytest

from derm_core.config import PublishConfig, StudyConfig, to_dict
from derm_core.data.manifest import load_dataset
from derm_core.files import sha256_file, write_json
from derm_core.jobs.dependencies import dependents, matching_run
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.builders import write_dataset


@pytest.mark.parametrize(
    ("state", "needs"), [("queued", True), ("running", True), ("done", False), ("failed", False)]
)
def test_a_study_is_needed_until_its_publication_has_ended(tmp_path, state, needs):
    workspace = Workspace.open(tmp_path)
    store = RunStore(workspace)
    config = PublishConfig(
        dataset="mine", run="study-20260101-000000-abcd", arm="vae", name="mine-vae"
    )
    run_id = store.create("publish", to_dict(config))
    if state != "queued":
        assert store.transition(run_id, "queued", state)
    assert (
        dependents(workspace, config.run) == ([run_id] if needs else [])
        and dependents(workspace, "study-other") == []
    )


def put_embeddings(workspace, sha256):
    folder = workspace.dataset("tiny").embeddings
    folder.mkdir(exist_ok=True)
    write_json(folder / "clip.json", {"sha256": sha256})
    return {"name": "embeddings:clip", "info": {"sha256": sha256}}


def put_weights(workspace, content):
    file = workspace.root / "weights" / "mine.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content.encode())
    info = {"file": file.name, "sha256": sha256_file(file)}
    return {"name": "file:mine.safetensors+resnet18", "info": info}


def put_model(workspace, sha256):
    folder = workspace.models / "net"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "card.json", {"sha256": sha256})
    return {"name": "bundle:net", "info": {"bundle": "net", "sha256": sha256}}


@pytest.mark.parametrize("put", [put_embeddings, put_weights, put_model])
@pytest.mark.parametrize("state", ["done", "interrupted"])
def test_a_run_of_weights_that_were_exchanged_under_one_name_is_not_taken_for_the_same(
    workspace, monkeypatch, put, state
):
    monkeypatch.setenv("DERM_WEIGHTS", str(workspace.root / "weights"))
    write_dataset(workspace)
    first = put(workspace, "first")
    config = StudyConfig(dataset="tiny", arms=(first["name"], "random"))
    store = RunStore(workspace)
    run_id = store.create("study", to_dict(config), "", None)
    files = workspace.run(run_id).create()
    if state == "done":
        dataset = {"fingerprint": load_dataset(workspace, "tiny").fingerprint}
        arms = {first["name"]: {"extractor": {"variants": [[first]]}}}
        write_json(files.study, {"dataset": dataset, "arms": arms})
    else:
        weights = {first["name"]: first["info"]}
        write_json(files.protocol, {"content": {"weights": weights}})
    assert store.transition(run_id, "queued", "running") and store.transition(
        run_id, "running", state
    )
    assert matching_run(workspace, config).id == run_id
    put(workspace, "other")
    assert matching_run(workspace, config) is None
    put(workspace, "first")
    assert matching_run(workspace, config).id == run_id
