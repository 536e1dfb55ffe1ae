"""The running server's doors: whom it lets in, and what a page of another site, or a form without its token, can do."""

from __future__ import annotations

import http.client
import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.browser.support import PAGES, visit

pytestmark = pytest.mark.browser


def test_it_listens_to_this_machine_alone(furnished_app):
    port = urlsplit(furnished_app).port
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    assert listening == {"127.0.0.1"}


def test_what_it_writes_is_its_owners_alone(page, furnished_app):
    visit(page, furnished_app, PAGES[""])
    port = urlsplit(furnished_app).port
    server = next(c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port)
    assert "Umask:\t0077\n" in Path(f"/proc/{server}/status").read_text()


def put(address: str, **headers: str) -> int:
    """Status of an upload to a session's address, as a page of another site would send it."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("PUT", f"/_stcore/upload_file/{uuid.uuid4()}/{uuid.uuid4()}", b"x", headers)
    return connection.getresponse().status


def test_an_upload_without_the_token_is_refused(furnished_app):
    assert put(furnished_app) == 403
    assert put(furnished_app, Cookie="_streamlit_xsrf=a", **{"X-Xsrftoken": "b"}) == 403


def test_a_page_of_another_site_gets_no_session(furnished_app):
    def opened(origin: str) -> bool:
        try:
            with connect(furnished_app.replace("http", "ws") + "/_stcore/stream", origin=origin, subprotocols=["streamlit"]):
                return True
        except InvalidStatus as error:
            assert error.response.status_code == 403
            return False
    assert opened("https://planted.example") is False
    assert opened(furnished_app) is True


def test_nothing_answers_on_the_machines_other_addresses(furnished_app):
    port = urlsplit(furnished_app).port
    others = {a.address for of in psutil.net_if_addrs().values() for a in of if a.family == socket.AF_INET} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=5)
