"""The address at which a page's script asks for images: who may, for what, and until when."""

from __future__ import annotations

import gc

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pages.ui import map_route, login


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


def offered(version: object = 1) -> str:
    return map_route.offer("images", lambda rows: [{"row": row} for row in rows], version).address


def test_the_rows_that_are_asked_for_are_answered_and_kept_by_nobody(client):
    answer = client.get(f"{offered()}?rows=7,3")
    assert answer.json() == [{"row": 7}, {"row": 3}]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["", "?rows=", "?rows=a", "?rows=" + ",".join("1" * 101)])
def test_what_asks_for_no_rows_or_too_many_is_refused_with_what_to_send(client, query):
    answer = client.get(f"{offered()}{query}")
    assert answer.status_code == 400 and "1 to 100 numbers" in answer.json()["error"]


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
