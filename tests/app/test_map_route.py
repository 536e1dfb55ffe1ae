"""The address at which a page's script asks for images: who may, for what, and until when."""

from __future__ import annotations

import gc

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from pages.ui import login, map_route


@pytest.fixture
def state(monkeypatch) -> dict:
    """What a session holds."""
    held: dict = {}
    monkeypatch.setattr(st, "session_state", held)
    monkeypatch.setattr(login, "login_configured", lambda: False)
    return held


@pytest.fixture
def client(state) -> TestClient:
    return TestClient(Starlette(routes=map_route.routes()))


def respond(query: map_route.Query) -> JSONResponse:
    if "rows" not in query:
        raise map_route.BadQuery("rows: numbers.")
    return JSONResponse(query["rows"])


def offered(version: object = 1, path: str = map_route.IMAGES) -> str:
    return map_route.offer(path, f"held-{path}", respond, version).address


def test_what_is_asked_for_is_answered_and_kept_by_nobody(client):
    answer = client.get(f"{offered()}?rows=7,3")
    assert answer.json() == "7,3" and answer.headers["cache-control"] == "no-store"


def test_what_asks_for_nothing_is_refused_with_what_to_send(client):
    answer = client.get(offered())
    assert answer.status_code == 400 and answer.json()["error"] == "rows: numbers."


def test_an_address_of_images_answers_no_points(client):
    images, points = offered(), offered(path=map_route.POINTS)
    assert client.get(f"{points}?rows=1").status_code == 200
    token = images.partition("/")[2]
    assert client.get(f"{map_route.POINTS}/{token}?rows=1").status_code == 404


def test_an_address_stays_while_its_content_does_and_ends_with_it_and_with_the_session(
    client, state
):
    first = offered()
    assert offered() == first
    second = offered(version=2)
    gc.collect()
    assert client.get(f"{first}?rows=1").status_code == 404
    assert client.get(f"{second}?rows=1").status_code == 200
    state.clear()
    gc.collect()
    assert client.get(f"{second}?rows=1").status_code == 404


def test_nobody_guesses_an_address_and_a_logged_out_one_is_refused(client, monkeypatch):
    assert client.get("map-images/none?rows=1").status_code == 404
    monkeypatch.setattr(login, "current_login", lambda: "a login")
    address = offered()
    assert client.get(f"{address}?rows=1").status_code == 200
    monkeypatch.setattr(login, "_ended", {"a login"})
    assert client.get(f"{address}?rows=1").status_code == 404


def test_below_a_path_of_the_server_the_address_is_too(state, monkeypatch):
    monkeypatch.setattr(st, "get_option", {"server.baseUrlPath": "/lesions/"}.get)
    client = TestClient(Starlette(routes=map_route.routes()))
    assert client.get(f"lesions/{offered()}?rows=1").status_code == 200
    assert client.get(f"{offered()}?rows=1").status_code == 404
