"""A real, tiny study with every question answered, and what a hostile user may have written into it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from derm_core.config import FinetuneSchedule, to_dict
from derm_core.files import write_json
from derm_core.jobs.store import RunStore
from derm_core.study.protocol import study
from derm_core.workspace import Workspace
from tests.builders import write_dataset
from tests.study.test_protocol import finish, make_config

HOSTILE = "<img src=x onerror=alert(1)>"
ODD_WORD = "quagga"  # in the path of the workspace, and nowhere else
SCRIPT = "</script><script>alert(2)</script>"


@pytest.fixture(scope="session")
def reported_home(tmp_path_factory):
    """The workspace of a study whose class "amber" and whose own name are HTML."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    workspace = Workspace.open(tmp_path_factory.mktemp(ODD_WORD) / "home")
    write_dataset(workspace)
    write_dataset(workspace, "other", images=60, seed=3)
    config = dataclasses.replace(
        make_config(workspace),
        arms=("vae", "random", "colour"),
        epochs=4,
        label_fractions=(0.5, 1.0),
        corruptions=("defocus",),
        external=("other",),
        finetune=FinetuneSchedule(epochs=1, batch_size=32),
    )
    store = RunStore(workspace)
    run = workspace.run(store.create("study", to_dict(config), name=SCRIPT))
    finish(study(config, workspace, run))
    store.transition(run.id, "queued", "done")
    store.annotate(run.id, tags=["<i>tag"], note=f"a note & {HOSTILE}\nsecond line")
    path = run.study
    write_json(path, json.loads(path.read_text().replace('"amber"', json.dumps(HOSTILE))))
    torch.set_num_threads(threads)
    return workspace.root, run.id


@pytest.fixture
def reported(workspace, reported_home):
    """(run folder, study.json) of that study in a workspace of one's own."""
    root, run_id = reported_home
    shutil.copytree(root, workspace.root, dirs_exist_ok=True)
    folder = workspace.run(run_id).root
    return folder, json.loads((folder / "artefacts" / "study.json").read_text())
