"""The login of a shared server, with a real browser and a stand-in for the provider.

Not marked `browser`: those tests must never be skipped where the gate runs, and Authlib is no part
of what it installs.
"""

from __future__ import annotations

import importlib.util

import pytest

from tests.browser.identity import provider, secrets
from tests.browser.support import PAGES, calm, no_exception, serve, until

pytestmark = pytest.mark.login
METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def identity():
    pytest.importorskip("authlib", reason="needs Authlib and httpx (requirements-extras.txt)")
    pytest.importorskip("httpx", reason="needs Authlib and httpx (requirements-extras.txt)")
    with provider() as server:
        yield server


def closed(page, address: str) -> None:
    """Assert that the page shows its login and nothing else."""
    page.goto(address, wait_until="commit")
    page.get_by_role("button", name="Log in").wait_for()
    calm(page)
    no_exception(page)
    assert page.get_by_role("heading").all_inner_texts() == ["Lesion study"]
    assert (
        page.get_by_test_id("stFileUploader").count() == 0
        and page.get_by_role("textbox").count() == 0
    )


def test_a_login_opens_every_page_and_lasts_for_another_tab(page, identity, tmp_path):
    files = secrets(tmp_path, identity.address + METADATA)
    with serve(tmp_path / "home", STREAMLIT_SECRETS_FILES=str(files)) as address:
        closed(page, f"{address}/data")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", level=1, name=PAGES[""]).wait_for()
        assert {METADATA, "/authorize", "/token", "/jwks"} <= set(identity.asked)
        other = page.context.new_page()
        other.goto(f"{address}/data", wait_until="commit")
        other.get_by_role("heading", level=1, name="Data").wait_for()


def test_a_token_that_another_key_has_signed_opens_nothing(page, identity, tmp_path):
    identity.forged = True
    files = secrets(tmp_path, identity.address + METADATA)
    with serve(tmp_path / "home", STREAMLIT_SECRETS_FILES=str(files)) as address:
        closed(page, address)
        with page.expect_event("requestfinished", lambda request: "oauth2callback" in request.url):
            page.get_by_role("button", name="Log in").click()
        until(
            lambda: {"/token", "/jwks"} <= set(identity.asked), "asking for the token and the keys"
        )
        closed(page, f"{address}/data")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("authlib") is not None, reason="Authlib is installed")
def test_without_what_a_login_needs_the_page_says_what_to_install_and_stays_closed(page, tmp_path):
    files = secrets(tmp_path, "http://127.0.0.1:9/none")
    with serve(tmp_path / "home", STREAMLIT_SECRETS_FILES=str(files)) as address:
        page.goto(f"{address}/data", wait_until="commit")
        page.get_by_text("pip install -r requirements-extras.txt").wait_for()
        calm(page)
        no_exception(page)
        assert (
            page.get_by_role("button", name="Log in").count() == 0
            and page.get_by_role("textbox").count() == 0
        )
