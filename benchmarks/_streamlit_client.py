"""A browser's side of a Streamlit session, without the browser: its websocket protocol and its upload address.

async with Session(address) as session:
    await session.open("classify")                       the page's script has run
    await session.upload("photo.jpg", data)              and once more with the file in its uploader
    await session.select_point(3)                        on the first chart that takes selections: its fragment runs
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from typing import Any

import numpy as np
import websockets
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

COOKIE = "_streamlit_xsrf"
PATIENCE_SECONDS = 120.0


class PageError(Exception):
    """A page showed an error, or not what it is for, or did not come to its end."""


class Session:
    """One session; `elements` are those of the last whole run of the script, by kind. Raises PageError."""

    def __init__(self, address: str):
        self.address, self.pages, self.page = address, {}, ""
        self.elements: dict[str, list[Any]] = {}
        self.fragments: dict[
            str, str
        ] = {}  # by chart, the part of the page that runs when it is used
        self.states: dict[str, dict] = {}  # by widget id, a field of WidgetState and its value

    async def __aenter__(self) -> Session:
        with urllib.request.urlopen(f"{self.address}/_stcore/health") as answer:
            cookies = answer.headers.get_all("Set-Cookie") or []
        found = [text.split(";")[0].split("=", 1)[1] for text in cookies if text.startswith(COOKIE)]
        self.token = found[0] if found else ""
        self.socket = await websockets.connect(
            f"{self.address.replace('http', 'ws', 1)}/_stcore/stream",
            max_size=None,
            origin=self.address,
            subprotocols=["streamlit", *([self.token.replace('"', "")] if self.token else [])],
            additional_headers={"Cookie": f"{COOKIE}={self.token}"},
        )
        await self.rerun()
        return self

    async def __aexit__(self, *error) -> None:
        await self.socket.close()

    async def open(self, page: str) -> None:
        """Go to a page, as a click in the menu does; its widgets start anew."""
        self.page, self.states = self.pages[page], {}
        await self.rerun()

    async def rerun(self, fragment: str = "") -> None:
        """Run the script, or this fragment of it, with the widgets' states, to its end."""
        message = BackMsg()
        message.rerun_script.page_script_hash, message.rerun_script.fragment_id = (
            self.page,
            fragment,
        )
        for widget, state in self.states.items():
            target = message.rerun_script.widget_states.widgets.add()
            target.id = widget
            if "files" in state:
                for info in state["files"]:
                    target.file_uploader_state_value.uploaded_file_info.append(info)
            else:
                target.string_value = state["text"]
        await self.socket.send(message.SerializeToString())
        try:
            await asyncio.wait_for(self._until_finished(), PATIENCE_SECONDS)
        except TimeoutError:
            raise PageError(f"a page did not come to its end in {PATIENCE_SECONDS:.0f} s") from None

    async def _until_finished(self) -> None:
        elements: dict[str, list[Any]] = {}
        while True:
            message = ForwardMsg.FromString(await self.socket.recv())
            kind = message.WhichOneof("type")
            if kind == "navigation":
                self.pages = {
                    page.url_pathname or "home": page.page_script_hash
                    for page in message.navigation.app_pages
                }
            elif kind == "new_session":
                self.session_id, elements = message.new_session.initialize.session_id, {}
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                name = message.delta.new_element.WhichOneof("type")
                elements.setdefault(name, []).append(getattr(message.delta.new_element, name))
                if hasattr(elements[name][-1], "id"):
                    self.fragments[elements[name][-1].id] = message.delta.fragment_id
            elif (
                kind == "script_finished"
                and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                break
        self.elements = elements
        if "exception" in elements:
            raise PageError(f"{elements['exception'][0].type}: {elements['exception'][0].message}")
        refused = [alert.body for alert in elements.get("alert", []) if alert.format == Alert.ERROR]
        if refused:
            raise PageError(refused[0])

    def need(self, kind: str, words: str = "") -> Any:
        """The first element of a kind, such as "plotly_chart", whose body has these words.

        Raises:
            PageError: there is none in what was last run.
        """
        matching = [
            element for element in self.elements.get(kind, []) if not words or words in element.body
        ]
        if not matching:
            raise PageError(f"the page shows no {kind}" + f" with “{words}”" * bool(words))
        return matching[0]

    async def upload(self, name: str, data: bytes) -> None:
        """Put one file into the page's uploader, in place of those before."""
        uploader = self.need("file_uploader")
        message = BackMsg()
        message.file_urls_request.request_id, message.file_urls_request.session_id = (
            "1",
            self.session_id,
        )
        message.file_urls_request.file_names.append(name)
        await self.socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(await self.socket.recv())
            if answer.WhichOneof("type") == "file_urls_response":
                break
        urls = answer.file_urls_response.file_urls[0]
        await asyncio.to_thread(self._put, urls.upload_url, name, data)
        message.rerun_script.Clear()
        info = (
            BackMsg()
            .rerun_script.widget_states.widgets.add()
            .file_uploader_state_value.uploaded_file_info.add()
        )
        info.file_id, info.name, info.size = urls.file_id, name, len(data)
        info.file_urls.CopyFrom(urls)
        self.states[uploader.id] = {"files": [info]}
        await self.rerun(self.fragments[uploader.id])

    def _put(self, path: str, name: str, data: bytes) -> None:
        border = "a-border-of-parts"
        body = (
            (
                f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                "Content-Type: image/jpeg\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{border}--\r\n".encode()
        )
        request = urllib.request.Request(
            self.address + path,
            body,
            method="PUT",
            headers={
                "Content-Type": f"multipart/form-data; boundary={border}",
                "X-Xsrftoken": self.token.replace('"', ""),
                "Cookie": f"{COOKIE}={self.token}",
            },
        )
        urllib.request.urlopen(request).read()

    async def select_point(self, number: int) -> None:
        """Choose a point of the first chart that takes selections. Raises PageError where the page has none."""
        charts = [
            chart
            for chart in self.elements.get("plotly_chart", [])
            if chart.id and chart.selection_mode
        ]
        if not charts:
            raise PageError("the page shows no chart that takes selections")
        row = _numbers(json.loads(charts[0].spec)["data"][0]["customdata"])[number]
        self.states[charts[0].id] = {
            "text": json.dumps(
                {
                    "selection": {
                        "points": [
                            {
                                "curve_number": 0,
                                "point_index": number,
                                "point_number": number,
                                "customdata": int(row),
                            }
                        ],
                        "point_indices": [number],
                        "box": [],
                        "lasso": [],
                    }
                }
            )
        }
        await self.rerun(self.fragments[charts[0].id])


def _numbers(values: list | dict) -> np.ndarray:
    """Numbers of a figure's JSON, where plotly writes arrays as their bytes."""
    if isinstance(values, list):
        return np.array(values)
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
