"""The server imports and loads before it is asked, and answers even where that fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import psutil
import pytest
import streamlit as st
from streamlit.web.server.app_discovery import discover_asgi_app

from benchmarks.load import served
from derm_core.bundles import bundle
from derm_core.workspace import REPOSITORY, Workspace
from pages.ui import cached, cached_models, first_answers, warm_up
from pages.ui.classify import models
from tests.app.bundles import put_bundle
from tests.browser.support import until


def test_streamlit_finds_the_servers_app_and_importing_it_loads_no_page():
    assert discover_asgi_app(REPOSITORY / "app.py").import_string == "app:app"
    code = (
        "import sys, app; import streamlit as st; assert isinstance(app.app, st.App); "
        "assert not {'pages.ui.frame', 'pages.ui.cached', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


async def start() -> None:
    async with warm_up.lifespan(st.App(REPOSITORY / "app.py")):
        pass


@pytest.mark.parametrize("broken", ["import_first", "load_rest"])
def test_a_server_whose_warm_up_fails_starts(broken, monkeypatch, caplog):
    def fail() -> None:
        raise ImportError("no such library")

    for step in ("import_first", "load_rest"):
        monkeypatch.setattr(warm_up, step, fail if step == broken else lambda: None)
    asyncio.run(start())
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join(30)
    assert "no such library" in caplog.text


def test_a_server_answers_when_the_imports_are_done_or_take_too_long(monkeypatch):
    steps: list[str] = []
    release = threading.Event()
    monkeypatch.setattr(warm_up, "import_first", lambda: steps.append("imported"))
    monkeypatch.setattr(warm_up, "load_rest", lambda: None)
    asyncio.run(start())
    assert steps == ["imported"]
    monkeypatch.setattr(warm_up, "import_first", lambda: release.wait(30))
    monkeypatch.setattr(warm_up, "PATIENCE_SECONDS", 0.01)
    asyncio.run(start())  # returns while the imports still wait
    release.set()


def test_the_models_that_classify_chooses_are_loaded_once(workspace, studies, monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    for name, arm in (("a-vae", "vae"), ("b-vae", "vae"), ("an-imagenet", "imagenet")):
        put_bundle(workspace, name, arm)
    loaded, load = [], bundle.load_classifier
    monkeypatch.setattr(
        bundle, "load_classifier", lambda folder: loaded.append(folder.name) or load(folder)
    )
    first_answers.load_networks()
    chosen = [card.name for card in models.default_models(cached.bundles(workspace))]
    assert loaded == chosen == ["a-vae", "an-imagenet"]
    for name in chosen:
        assert cached_models.predictor(workspace, name).name == name
    assert loaded == chosen


def test_a_damaged_model_does_not_keep_the_others_from_being_read(workspace, studies, monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    put_bundle(workspace, "a-vae", "vae")
    (workspace.models / "a-vae" / "model.safetensors").write_bytes(b"")
    first_answers.read_results()
    first_answers.load_networks()
    assert [one.card for one in cached.bundles(workspace)] == [None]


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="asks Linux which libraries a process has loaded")
def test_a_server_imports_pytorch_before_anybody_opens_a_page(workspace):
    with served("app.py", workspace.root) as (_, process):
        until(
            lambda: any("libtorch_cpu" in mapped.path for mapped in process.memory_maps()),
            "the import",
        )
