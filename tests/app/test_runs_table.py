"""Whatever is wrong with the table of runs (runs.db): every page says what it is and what to do, and shows no trace."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from derm_core.config import PretrainConfig, to_dict
from derm_core.events import Progress
from derm_core.jobs import store
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from pages.ui.frame import PAGES

CONFIG = to_dict(PretrainConfig(dataset="synth"))


@contextlib.contextmanager
def garbage(workspace):
    workspace.database.write_bytes(b"no table at all " * 512)
    yield


@contextlib.contextmanager
def newer(workspace):
    with contextlib.closing(sqlite3.connect(workspace.database)) as table:
        table.execute("PRAGMA user_version=99")
    yield


@contextlib.contextmanager
def locked(workspace):
    with contextlib.closing(sqlite3.connect(workspace.database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


FAULTS = {
    garbage: ("damaged", "move the file away"),
    newer: ("newer version", "update the program"),
    locked: ("busy", "try again in a moment"),
}


@pytest.fixture
def with_a_run(workspace, monkeypatch):
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.2)
    run_id = RunStore(workspace).create("pretrain", CONFIG)
    RunStore(workspace).transition(
        run_id, "queued", "failed", finished=2.0, error="The worker ended."
    )
    return run_id


@pytest.mark.slow
@pytest.mark.parametrize("page", list(PAGES))
@pytest.mark.parametrize("fault", list(FAULTS), ids=lambda fault: fault.__name__)
def test_every_page_says_what_is_wrong_and_what_to_do(
    open_page, workspace, with_a_run, fault, page
):
    with fault(workspace):
        app = open_page(page, **({"run": with_a_run} if page == "train" else {}))
        assert len(app.error) == 1 and all(words in app.error[0].value for words in FAULTS[fault])
        assert len(app.title) == 1
        if page in ("classify", "data"):  # they do not ask the table for anything
            assert app.get("file_uploader") or app.text_input


@pytest.mark.slow
@pytest.mark.parametrize("page", list(PAGES))
def test_a_read_only_workspace_is_shown(disk, workspace, open_page, with_a_run, monkeypatch, page):
    room = disk("size=8m")
    home = Workspace.open(room / "home")
    run_id = RunStore(home).create("pretrain", CONFIG)
    RunStore(home).transition(run_id, "queued", "failed", finished=2.0, error="The worker ended.")
    monkeypatch.setenv("DERM_HOME", str(home.root))
    subprocess.run(["mount", "-o", "remount,ro", str(room)], check=True)
    app = open_page(page)
    assert not app.error and len(app.title) == 1
    if page == "train":
        assert run_id in str(app.dataframe[0].value)
        next(button for button in app.button if button.label == "Launch").click()
        app.run()
        assert not app.exception and "permission" in app.error[0].value


@pytest.mark.slow
@pytest.mark.parametrize("page", ["train", "latent", "models"])
def test_a_table_that_breaks_while_a_page_follows_a_run(
    open_page, workspace, with_a_run, working, monkeypatch, page
):
    """A part of a page that runs by itself, once a second, is not inside the page's own guard."""
    kind = {"train": "pretrain", "latent": "embed", "models": "publish"}[page]
    run_id = RunStore(workspace).create(kind, CONFIG)
    working(run_id)
    RunStore(workspace).set_progress(
        run_id, Progress(what="counting", done=1, total=4, rate=1.0, unit="images")
    )
    followed, fragment = [], st.fragment

    def caught(part, *, run_every=None):
        if run_every is None:
            return fragment(part)
        return lambda *given: (followed.append((part, given)), part(*given))

    monkeypatch.setattr(st, "fragment", caught)
    assert not open_page(page, **({} if page == "models" else {"run": run_id})).error
    with garbage(workspace):
        app = AppTest.from_function(by_itself, args=followed[-1]).run()
        assert not app.exception and "damaged" in app.error[0].value


def by_itself(part, given) -> None:
    part(*given)


def test_a_damaged_table_that_was_moved_away_is_made_anew(open_page, workspace, with_a_run):
    with garbage(workspace):
        for file in workspace.root.glob("runs.db*"):
            file.rename(file.with_name(f"old-{file.name}"))
        app = open_page("train")
        assert not app.error and with_a_run in str(app.dataframe[0].value)
