"""Images that a page's own script asks for by HTTP while the page stands still: /map-images/TOKEN?rows=1,2.

A run of the page for each would redraw it, and Streamlit 1.67 sends what changes in one moment as one request for one
part of the page: a user's choice elsewhere would be lost where a script asked for images just then.

A token stands for what one session may see. It cannot be guessed, and it ends with its session and its login.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pages.ui import login, scheduling

PATH = "/map-images"
MAX_ROWS = 100  # in a request
Answer = Callable[[list[int]], Sequence[dict[str, Any]]]  # rows -> an entry for each that is known


class Source:
    """What answers the requests of one session. The session's state holds it; it goes with that.

    Args:
        answer: the entries of rows; it runs outside of the page's script.
        version: differs for every other content.
    """

    def __init__(self, answer: Answer, version: object) -> None:
        self.answer, self.version = answer, version
        self.token = secrets.token_urlsafe(32)
        self.login = login.current_login()

    @property
    def address(self) -> str:
        """Below the server's own address, without a slash in front."""
        return f"{PATH[1:]}/{self.token}"


_sources: WeakValueDictionary[str, Source] = WeakValueDictionary()


def offer(key: str, answer: Answer, version: object) -> Source:
    """The source that this session has under `key`: a new one, where there is none of this version."""
    source = st.session_state.get(key)
    if source is None or source.version != version:
        source = Source(answer, version)
        _sources[source.token] = st.session_state[key] = source
    return source


def _respond(request: Request) -> Response:
    """JSON [{row, …}, …]; 404 where the token is none (any more), 400 where the rows are none."""
    source = _sources.get(request.path_params["token"])
    if source is None or login.has_ended(source.login):
        return JSONResponse({"error": "These images are no longer offered."}, status_code=404)
    try:
        rows = [int(row) for row in request.query_params.get("rows", "").split(",")]
    except ValueError:
        rows = []
    if not 0 < len(rows) <= MAX_ROWS:
        error = f"rows: 1 to {MAX_ROWS} numbers, separated by commas."
        return JSONResponse({"error": error}, status_code=400)
    with scheduling.turn():
        scheduling.settle()
        entries = list(source.answer(rows))
    return JSONResponse(entries, headers={"Cache-Control": "no-store"})


def routes() -> list[Route]:
    """For st.App; below the path that `server.baseUrlPath` names."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return [Route(f"/{base}{PATH}/{{token}}".replace("//", "/"), _respond, methods=["GET"])]
