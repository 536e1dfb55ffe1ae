"""What a page's own script asks for by HTTP while the page stands still: /map-images/TOKEN?rows=1,2 and /map-points/….

A run of the page for each would redraw it, and Streamlit 1.67 sends what changes in one moment as one request for one
part of the page: a user's choice elsewhere would be lost where a script asked for something just then.

A token stands for what one session may see. It cannot be guessed, and it ends with its session and its login.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pages.ui import login, scheduling

IMAGES, POINTS = "map-images", "map-points"
PATHS = IMAGES, POINTS
Query = Mapping[str, str]  # what stands behind the "?" of an address
Answer = Callable[[Query], Response]  # raises BadQuery


class BadQuery(Exception):
    """What was asked for is not to be had; the text says what to send."""


class Source:
    """What answers the requests of one session. The session's state holds it; it goes with that.

    Args:
        path: one of PATHS.
        answer: a query's response; it runs outside of the page's script.
        version: differs for every other content.
    """

    def __init__(self, path: str, answer: Answer, version: object) -> None:
        self.path, self.answer, self.version = path, answer, version
        self.token = secrets.token_urlsafe(32)
        self.login = login.current_login()

    @property
    def address(self) -> str:
        """Below the server's own address, without a slash in front."""
        return f"{self.path}/{self.token}"


_sources: WeakValueDictionary[tuple[str, str], Source] = WeakValueDictionary()


def offer(path: str, key: str, answer: Answer, version: object) -> Source:
    """The source that this session has under `key`: a new one, where there is none of this version."""
    source = st.session_state.get(key)
    if source is None or source.version != version:
        source = Source(path, answer, version)
        _sources[path, source.token] = st.session_state[key] = source
    return source


def _respond(path: str, request: Request) -> Response:
    """The source's answer; 404 where the token is none (any more), 400 where it is asked for nothing."""
    source = _sources.get((path, request.path_params["token"]))
    if source is None or login.has_ended(source.login):
        return JSONResponse({"error": "This is no longer offered."}, status_code=404)
    try:
        with scheduling.turn():
            scheduling.settle()
            response = source.answer(request.query_params)
    except BadQuery as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    response.headers["Cache-Control"] = "no-store"
    return response


def routes() -> list[Route]:
    """For st.App; below the path that `server.baseUrlPath` names."""
    base = st.get_option("server.baseUrlPath").strip("/")

    def route(path: str) -> Route:
        address = f"/{base}/{path}/{{token}}".replace("//", "/")
        return Route(address, lambda request: _respond(path, request), methods=["GET"])

    return [route(path) for path in PATHS]
