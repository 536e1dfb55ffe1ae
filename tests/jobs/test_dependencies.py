"""Which runs another one needs, read from configs alone."""

import pytest

from derm_core.config import PublishConfig, to_dict
from derm_core.jobs.dependencies import dependents
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace


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
