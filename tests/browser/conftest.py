"""A real server and a real browser: each test may have the app on a workspace of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.browser.support import serve

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


@pytest.fixture
def page(chromium):
    """A new tab, 1440 px wide; a test that fails by an uncaught page error says so."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    yield tab
    context.close()


@pytest.fixture
def app(tmp_path) -> Iterator[str]:
    """The address of the app on an empty workspace."""
    with serve(tmp_path / "home") as address:
        yield address
