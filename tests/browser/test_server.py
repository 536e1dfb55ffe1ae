"""A shared server as docs/server.md sets it up: TLS and a sub-path by nginx, OpenID Connect, a workspace for each user.

A real nginx and a real browser; a stand-in for the identity provider.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from derm_core.config import PretrainConfig, to_dict
from derm_core.data.decode import MAX_BYTES
from derm_core.jobs.store import RunStore
from derm_core.users import user_workspace
from derm_core.workspace import Workspace
from tests.browser.identity import Provider, provider, secrets
from tests.browser.nginx import proxy
from tests.browser.support import PAGES, calm, free_port, no_exception, serve, until
from tests.builders import encode, noise

pytestmark = pytest.mark.browser
PATH = "lesions"
METADATA = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Server:
    """address: public, with the path; plain: of the port without TLS; home: the server's workspace."""

    address: str
    plain: str
    home: Workspace
    identity: Provider

    def workspace_of(self, subject: str) -> Workspace:
        return user_workspace(self.home, {"iss": self.identity.address, "sub": subject})


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    pytest.importorskip("authlib", reason="needs Authlib and httpx (requirements-dev.txt)")
    folder, port, app_port = tmp_path_factory.mktemp("server"), free_port(), free_port()
    public = f"https://127.0.0.1:{port}/{PATH}"
    with contextlib.ExitStack() as stack:
        identity = stack.enter_context(provider())
        plain = stack.enter_context(proxy(port, app_port))
        files = secrets(folder, identity.address + METADATA, f"{public}/oauth2callback")
        settings = {"STREAMLIT_SECRETS_FILES": str(files), "STREAMLIT_SERVER_BASE_URL_PATH": PATH}
        stack.enter_context(serve(folder / "home", port=app_port, path=f"/{PATH}", **settings))
        yield Server(public, plain, Workspace.open(folder / "home"), identity)


@contextlib.contextmanager
def browser_of(chromium):
    """A tab of a browser of its own, which takes the test's certificate."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1000}, ignore_https_errors=True
    )
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    yield tab
    context.close()


def log_in(tab, server: Server, subject: str, page: str = "") -> None:
    server.identity.subject = subject
    tab.goto(f"{server.address}/{page}", wait_until="commit")
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("heading", level=1, name=PAGES[""]).wait_for()


def opened(tab, address: str, heading: str) -> str:
    """Open a page; what it shows, as text."""
    tab.goto(address, wait_until="commit")
    tab.get_by_role("heading", level=1, name=heading).wait_for()
    calm(tab)
    no_exception(tab)
    return tab.get_by_test_id("stMain").inner_text()


def closed(tab, address: str) -> None:
    """Assert that the page shows its login and nothing else."""
    tab.goto(address, wait_until="commit")
    tab.get_by_role("button", name="Log in").wait_for()
    calm(tab)
    no_exception(tab)
    assert tab.get_by_role("heading").all_inner_texts() == ["Lesion study"]
    assert tab.get_by_test_id("stFileUploader").count() == tab.get_by_role("textbox").count() == 0


def test_two_users_log_in_and_do_not_see_each_others_runs(chromium, server):
    runs = {}
    for subject in ("7", "8"):
        store = RunStore(server.workspace_of(subject))
        config = to_dict(PretrainConfig(dataset="synth"))
        runs[subject] = store.create("pretrain", config, name=f"run of {subject}")
        store.transition(runs[subject], "queued", "failed", finished=2.0)
    with browser_of(chromium) as first, browser_of(chromium) as second:
        sockets = []
        first.on("websocket", lambda socket: sockets.append(socket.url))
        closed(first, f"{server.address}/data")
        log_in(first, server, "7")
        log_in(second, server, "8")
        assert set(sockets) == {f"{server.address.replace('https', 'wss')}/_stcore/stream"}
        link = f"{server.address}/train?run="
        assert "run of 7" in opened(first, link + runs["7"], "Train")
        for tab, other in ((first, "8"), (second, "7")):
            text = opened(tab, link + runs[other], "Train")
            assert f"run of {other}" not in text and "There is no run of that name" in text
        first.get_by_role("button", name="Log out").click()
        first.get_by_role("button", name="Log in").wait_for()
        assert "run of 8" in opened(second, link + runs["8"], "Train")


def test_an_image_of_10_mb_arrives_and_one_above_the_limit_is_refused_with_words(
    chromium, server, tmp_path
):
    large, too_large = tmp_path / "large.bmp", tmp_path / "too-large.bmp"
    large.write_bytes(encode(noise(1850, 1850), "BMP"))
    assert 10e6 < large.stat().st_size < MAX_BYTES
    too_large.write_bytes(bytes(MAX_BYTES + 1))
    with browser_of(chromium) as tab:
        log_in(tab, server, "7")
        opened(tab, f"{server.address}/classify", "Classify")
        uploader = tab.locator("input[type=file]").first
        uploader.set_input_files(too_large)
        tab.get_by_text("must be 15.0MB or smaller").wait_for()
        with tab.expect_response(
            lambda response: (
                "/_stcore/upload_file/" in response.url and response.request.method == "PUT"
            )
        ) as upload:
            uploader.set_input_files(large)
        assert upload.value.status == 204
        tab.get_by_text("large.bmp").first.wait_for()
        calm(tab)
        no_exception(tab)


def test_images_of_a_map_come_to_who_is_logged_in_and_end_with_the_login(chromium, server):
    with browser_of(chromium) as tab, browser_of(chromium) as stranger:
        log_in(tab, server, "7")
        with tab.expect_response(lambda response: "/map-images/" in response.url) as images:
            opened(tab, f"{server.address}/latent", "Latent space")
        address = images.value.url
        assert address.startswith(f"{server.address}/map-images/") and images.value.ok
        assert images.value.json()[0]["src"].startswith("data:image/webp")
        assert not stranger.request.get(f"{server.address}/map-images/other?rows=1").ok
        tab.get_by_role("button", name="Log out").click()
        tab.get_by_role("button", name="Log in").wait_for()
        assert tab.request.get(address).status == 404


def test_what_is_not_for_everyone_is_refused_by_nginx_itself(server):
    trust = ssl._create_unverified_context()

    def status(address: str, method: str = "GET", size: int = 0) -> tuple[int, str]:
        parts = urlsplit(address)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        settings = {"context": trust} if parts.scheme == "https" else {}
        connection = kind(parts.netloc, timeout=30, **settings)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, parts.path, bytes(size) or None)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", "")

    assert status(f"{server.address}/_stcore/health")[0] == 200
    assert status(f"{server.address}/_stcore/metrics")[0] == 404
    assert status(f"{server.address}/_stcore/upload_file/a/b", "PUT", 17 * 2**20)[0] == 413
    assert status(server.address)[0] == 301 and status(server.address)[1].endswith(f"/{PATH}/")
    moved, location = status(f"{server.plain}/{PATH}/train")
    assert moved == 301 and location.startswith("https://") and location.endswith(f"/{PATH}/train")


def test_a_token_that_another_key_has_signed_opens_nothing(chromium, server):
    server.identity.forged = True
    server.identity.asked.clear()
    try:
        with browser_of(chromium) as tab:
            closed(tab, server.address)
            with tab.expect_event(
                "requestfinished", lambda request: "oauth2callback" in request.url
            ):
                tab.get_by_role("button", name="Log in").click()
            until(
                lambda: {"/token", "/jwks"} <= set(server.identity.asked),
                "asking for the token and the keys",
            )
            closed(tab, f"{server.address}/data")
    finally:
        server.identity.forged = False
