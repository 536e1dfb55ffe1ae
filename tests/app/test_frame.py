"""What every page has."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from derm_core.config import PretrainConfig, to_dict
from derm_core.glossary import TERMS
from derm_core.jobs.store import RunStore
from pages.ui.frame import PAGES
from pages.ui.page_guides import GUIDES
from pages.ui.words import NOTICE, plain
from tests.app.conftest import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_stands_in_an_empty_workspace_with_the_notice_once(open_page, name):
    app = open_page(name)
    notices = [
        element.value
        for kind in (app.caption, app.markdown)
        for element in kind
        if NOTICE in element.value
    ]
    assert len(notices) == 1
    assert len(app.title) == 1 and not app.error


def test_a_page_says_how_it_is_used_and_links_to_the_documentation(open_page):
    app = open_page("data")
    steps = "\n".join(f"{place}. {step}" for place, step in enumerate(GUIDES["data"].steps, 1))
    assert steps in [element.value for element in app.markdown]
    (link,) = [link for link in app.page_link if link.label == "Documentation"]
    assert "document=data" in link.proto.query_string
    page = open_page("docs", document="glossary")
    assert page.header[0].value == "Glossary" and not page.error
    assert TERMS["balanced-accuracy"].text in "".join(element.value for element in page.markdown)


def test_work_under_way_is_linked_from_every_page(open_page, workspace, working):
    run_id = RunStore(workspace).create("pretrain", to_dict(PretrainConfig(dataset="synth")))
    working(run_id)
    link = next(link for link in open_page("compare").page_link if "at work" in link.label)
    assert run_id in link.proto.query_string


def test_a_workspace_that_cannot_be_made_is_said_in_one_sentence(open_page, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DERM_HOME", str(tmp_path / "file" / "home"))
    app = open_page("home")
    assert plain("DERM_HOME") in app.error[0].value


@pytest.mark.slow
def test_pages_that_show_no_tensor_do_not_load_torch(workspace):
    script = """
import json, sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
for name in ("home", "train", "compare", "latent", "data", "models"):
    app.switch_page(f"pages/{name}.py").run()
    assert not app.exception, (name, app.exception)
heavy = ("torch", "umap", "sklearn", "scipy.stats")
print(json.dumps([package for package in heavy if package in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == []
