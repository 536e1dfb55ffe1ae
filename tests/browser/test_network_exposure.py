"""The running server's doors: whom it lets in, and what a page of another site, or a form without its token, can do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from derm_core.config import PretrainConfig, to_dict
from derm_core.data.decode import MAX_BYTES
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.browser.support import PAGES, visit

pytestmark = pytest.mark.browser


def test_it_listens_to_this_machine_alone(furnished_app):
    port = urlsplit(furnished_app).port
    listening = {
        c.laddr.ip
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


def test_what_it_writes_is_its_owners_alone(page, furnished_app):
    visit(page, furnished_app, PAGES[""])
    port = urlsplit(furnished_app).port
    server = next(
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    )
    assert "Umask:\t0077\n" in Path(f"/proc/{server}/status").read_text()


def put(address: str, **headers: str) -> int:
    """Status of an upload to a session's address, as a page of another site would send it."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("PUT", f"/_stcore/upload_file/{uuid.uuid4()}/{uuid.uuid4()}", b"x", headers)
    return connection.getresponse().status


def test_an_upload_without_the_token_is_refused(furnished_app):
    assert put(furnished_app) == 403
    assert put(furnished_app, Cookie="_streamlit_xsrf=a", **{"X-Xsrftoken": "b"}) == 403


def test_an_upload_above_the_limit_is_refused_by_the_server_itself(page, furnished_app, tmp_path):
    """Sent to a session's own address with its token, past the page's uploader.

    Also where its length is not told before.
    """
    visit(page, f"{furnished_app}/models", PAGES["models"])
    page.get_by_text("Import a model", exact=True).click()
    (tmp_path / "no-model.zip").write_bytes(b"no zip")
    with page.expect_request(
        lambda request: "/_stcore/upload_file/" in request.url and request.method == "PUT"
    ) as upload:
        page.locator("input[type=file]").set_input_files(tmp_path / "no-model.zip")
    seen = upload.value.all_headers()
    headers = {
        "Content-Type": "multipart/form-data; boundary=b",
        "Cookie": seen["cookie"],
        "X-Xsrftoken": seen["x-xsrftoken"],
    }

    def sent(size: int, told: bool = True) -> int:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
            + bytes(size)
            + b"\r\n--b--\r\n"
        )
        connection = http.client.HTTPConnection(urlsplit(furnished_app).netloc, timeout=60)
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it need not wait for the rest
            connection.request(
                "PUT",
                urlsplit(upload.value.url).path,
                body if told else iter([body]),
                headers,
                encode_chunked=not told,
            )
        return connection.getresponse().status

    assert sent(1000) == 204
    assert sent(MAX_BYTES + 1) == 413 and sent(MAX_BYTES + 2**20, told=False) == 413


def test_a_table_is_downloaded_by_the_products_own_button_alone_with_no_formula_in_it(
    page, app, tmp_path
):
    store = RunStore(Workspace.open(tmp_path / "home"))
    run_id = store.create(
        "pretrain", to_dict(PretrainConfig(dataset="synth")), name="=HYPERLINK(1)"
    )
    store.transition(run_id, "queued", "failed", finished=2.0)
    visit(page, f"{app}/train", PAGES["train"])
    page.get_by_test_id("stDataFrame").hover()
    page.get_by_role("button", name="Fullscreen").wait_for()
    buttons = page.get_by_test_id("stElementToolbarButton").all()
    assert buttons and not any("ownload" in button.inner_html() for button in buttons)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    written = Path(download.value.path()).read_text()
    assert "'=HYPERLINK(1)" in written and ",=" not in written


def test_a_page_of_another_site_gets_no_session(furnished_app):
    def opened(origin: str) -> bool:
        try:
            with connect(
                furnished_app.replace("http", "ws") + "/_stcore/stream",
                origin=origin,
                subprotocols=["streamlit"],
            ):
                return True
        except InvalidStatus as error:
            assert error.response.status_code == 403
            return False

    assert opened("https://planted.example") is False
    assert opened(furnished_app) is True


def test_nothing_answers_on_the_machines_other_addresses(furnished_app):
    port = urlsplit(furnished_app).port
    others = {
        a.address for of in psutil.net_if_addrs().values() for a in of if a.family == socket.AF_INET
    } - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=5)
