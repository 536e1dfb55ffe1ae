"""A real server and a real browser: on an empty workspace, or on one with images and models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from derm_core.workspace import REPOSITORY, Workspace
from tests.browser.support import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium with a fresh profile."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright (requirements-dev.txt)"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def new_tab(chromium, width: int, **settings: bool) -> Iterator:
    context = chromium.new_context(
        viewport={"width": width, "height": 1000}, accept_downloads=True, **settings
    )
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
def furnished(tmp_path_factory) -> Workspace:
    """A workspace with synthetic images and two models on its shelf (where none ship)."""
    from derm_core.data.synth.dataset import make_synth
    from tests.app.bundles import put_bundle

    workspace = Workspace.open(tmp_path_factory.mktemp("browser") / "home")
    make_synth(workspace, "little", images=80, size=64, processes=1)
    if len(list((REPOSITORY / "models").glob("*/card.json"))) < 2:
        put_bundle(workspace, "tiny-vae", "vae")
        put_bundle(workspace, "tiny-imagenet", "imagenet")
    return workspace


@pytest.fixture(scope="session")
def furnished_app(furnished) -> Iterator[str]:
    """The address of the app on the furnished workspace."""
    with serve(Path(furnished.root)) as address:
        yield address
