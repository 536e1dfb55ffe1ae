"""A real server and a real browser: on an empty workspace, or on one with images, models and a map."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from derm_core.config import BackboneConfig, EmbedConfig
from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore
from derm_core.workspace import REPOSITORY, Workspace
from tests.browser.support import serve, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium with a fresh profile."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def new_tab(chromium, width: int) -> Iterator:
    context = chromium.new_context(viewport={"width": width, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(45_000)
    yield tab
    context.close()


@pytest.fixture
def page(chromium):
    """A new tab, 1440 px wide."""
    yield from new_tab(chromium, 1440)


@pytest.fixture
def phone(chromium):
    """A new tab, 400 px wide."""
    yield from new_tab(chromium, 400)


@pytest.fixture
def app(tmp_path) -> Iterator[str]:
    """The address of the app on an empty workspace."""
    with serve(tmp_path / "home") as address:
        yield address


@pytest.fixture(scope="session")
def furnished(tmp_path_factory) -> Iterator[Workspace]:
    """A workspace with synthetic images, two models on its shelf (where none ship), and a map in the making."""
    from derm_core.data.synth import make_synth
    from tests.app.bundles import put_bundle

    workspace = Workspace.open(tmp_path_factory.mktemp("browser") / "home")
    make_synth(workspace, "little", images=80, size=64, processes=1)
    supervisor.submit(workspace, EmbedConfig(dataset="little", arm="random", input_size=32, device="cpu",
                                             backbone=BackboneConfig(architecture="resnet18", stage=1), neighbours=8))
    if len(list((REPOSITORY / "models").glob("*/card.json"))) < 2:
        put_bundle(workspace, "tiny-vae", "vae")
        put_bundle(workspace, "tiny-imagenet", "imagenet")
    yield workspace
    for run in RunStore(workspace).list():
        if not run.final:
            supervisor.cancel(workspace, run.id, wait=10)


@pytest.fixture(scope="session")
def furnished_app(furnished) -> Iterator[str]:
    """The address of the app on the furnished workspace."""
    with serve(Path(furnished.root)) as address:
        yield address


@pytest.fixture
def finished_map(furnished) -> str:
    """The id of the furnished workspace's map, once its worker has finished it (UMAP included)."""
    def run():
        return RunStore(furnished).list(kind="embed")[0]

    until(lambda: run().final, "the map", seconds=180)
    assert run().state == "done", run().error
    return run().id
