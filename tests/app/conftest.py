"""The app without a browser: its pages on a fresh workspace, no worker started."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from derm_core.jobs import supervisor
from derm_core.jobs.locks import hold
from derm_core.jobs.store import RunStore

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_workers(monkeypatch):
    """Runs are queued but no process is started for them."""
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id: True)


@pytest.fixture
def open_page(workspace, no_workers):
    """open_page("train", run=…): the page as it stands after its first run."""
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_it(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=30).run()
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
