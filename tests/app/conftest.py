"""The app without a browser: its pages on a fresh workspace, no worker started."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore
from derm_core.locks import hold

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def packages_are_scanned_once():
    """Every AppTest reads what all installed packages say of themselves, for components; a server does it once."""
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture
def no_workers(monkeypatch):
    """Runs are queued but no process is started for them."""
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)


@pytest.fixture
def open_page(workspace, studies, no_workers, tmp_path, monkeypatch):
    """open_page("train", run=…): the page as it stands after its first run.

    It may import from the test's own folder. No result is published but what the test publishes.
    """
    if "DERM_IMPORT_ROOTS" not in os.environ:
        monkeypatch.setenv("DERM_IMPORT_ROOTS", str(tmp_path))
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_it(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=90).run()
        app.switch_page(f"pages/{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return open_it


@pytest.fixture
def working(workspace):
    """working(run_id): the run as a worker would hold it, until the test ends."""
    with contextlib.ExitStack() as stack:

        def take(run_id: str) -> None:
            assert stack.enter_context(hold(workspace.run(run_id).lock))
            assert RunStore(workspace).transition(run_id, "queued", "running", started=1.0)

        yield take


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory) -> Path:
    """A workspace with a real, tiny study: a VAE pretrained for two epochs against random weights."""
    import torch

    from derm_core.config import BackboneConfig, PretrainConfig, StudyConfig, to_dict
    from derm_core.config.recipes import recipe
    from derm_core.events import EventLog
    from derm_core.study.protocol import study
    from derm_core.training.pretrain import pretrain
    from derm_core.workspace import Workspace
    from tests.builders import write_dataset

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    workspace = Workspace.open(tmp_path_factory.mktemp("finished") / "home")
    store, backbone = RunStore(workspace), BackboneConfig(architecture="resnet18", stage=1)
    write_dataset(workspace, "tiny", images=120)

    def finish(config, job, depends_on=None) -> str:
        run_id = store.create(config.kind, to_dict(config), depends_on=depends_on)
        store.transition(run_id, "queued", "running", started=1.0)
        events, result = EventLog(workspace.run(run_id).events), None
        for event in job(config, workspace, workspace.run(run_id)):
            if event.kind not in ("tick", "result"):
                events.append(event)
            result = event.value if event.kind == "result" else result
        store.transition(run_id, "running", "done", finished=2.0, summary=result)
        return run_id

    vae = finish(
        PretrainConfig(
            dataset="tiny",
            backbone=backbone,
            input_size=32,
            device="cpu",
            recipe=recipe("paper", epochs=2, batch_size=32, latent_dim=8, decoder_width=16),
        ),
        pretrain,
    )
    finish(
        StudyConfig(
            dataset="tiny",
            arms=("vae", "random"),
            backbone=backbone,
            input_size=32,
            vae_run=vae,
            device="cpu",
            seeds=(0, 1),
            epochs=4,
            learning_rates=(1e-3, 3e-3),
            weight_decays=(1e-2,),
            bootstrap=200,
        ),
        study,
        vae,
    )
    torch.set_num_threads(threads)
    return workspace.root


@pytest.fixture
def finished(workspace, finished_home):
    """The workspace of `finished_home`, as a copy of one's own."""
    shutil.copytree(finished_home, workspace.root, dirs_exist_ok=True)
    return workspace
